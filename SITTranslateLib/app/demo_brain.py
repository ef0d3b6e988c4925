"""The brain of the demo: the ICBM152 average that comes with nilearn, with its tissues and lateral ventricles."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Grid, Volume

CSF, GREY, WHITE, VENTRICLES = 1, 2, 3, 4
NAMES = {
    CSF: "CSF outside the ventricles",
    GREY: "Grey matter",
    WHITE: "White matter",
    VENTRICLES: "Lateral ventricles",
}
#: nilearn scales the template to 0..1; scans have larger numbers, which read better.
SCALE = 1000.0
#: Where nilearn keeps a template, its functions for them by kind, and the value above which a voxel is brain to it.
_FILE = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_LOADERS = {"t1": "load_mni152_template", "gm": "load_mni152_gm_template", "wm": "load_mni152_wm_template"}
_BRAIN = 0.2
#: Box around the lateral ventricles and a point inside each, RAS mm of the ICBM152 space (Fonov et al. 2011).
_BOX = np.array([[-42.0, -56.0, -12.0], [42.0, 34.0, 36.0]])
_SEEDS = np.array([[-10.0, 5.0, 20.0], [10.0, 5.0, 20.0]])
#: Half width of the septum and the third ventricle between them.
_MIDLINE_MM = 1.5


def load_brain() -> tuple[Volume, Volume]:
    """The T1-weighted average brain at 1 mm, without skull, and its label map (see ``NAMES``); no download.

    The values are those of nilearn's ``load_mni152_template`` and ``load_mni152_brain_mask``.

    Raises:
        InputError: nilearn is not installed, or has no such templates.
    """
    scan, affine = template("t1")
    brain = Volume(SCALE * scan, affine, "ICBM152 T1")
    labels = tissue_labels(template("gm")[0], template("wm")[0], scan > _BRAIN)
    labels[lateral_ventricles(labels == CSF, brain.grid)] = VENTRICLES
    return brain, brain.with_array(labels, "ICBM152 tissues")


def template(kind: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The ``t1``, ``gm`` or ``wm`` template, ``(K, J, I)``, 0 to 1, and its affine.

    Its file is read where nilearn keeps it, since importing ``nilearn.datasets`` loads scikit-learn as well; where it
    lies elsewhere, nilearn itself is asked.
    """
    import nibabel

    found = find_spec("nilearn")
    if found is None:
        raise InputError("The demo needs nilearn for its brain: install it with pip install 'sittranslate[demo]'.")
    files = [Path(folder, _FILE.format(kind)) for folder in found.submodule_search_locations or ()]
    image: Any
    if files and files[0].is_file():
        image = nibabel.load(files[0])
    else:
        try:
            from nilearn import datasets

            image = getattr(datasets, _LOADERS[kind])(resolution=1)
        except (ImportError, AttributeError) as error:
            raise InputError(
                "This nilearn has no average brain for the demo: install version 0.11 or later."
            ) from error
    array = np.ascontiguousarray(np.asanyarray(image.dataobj).astype(np.float32).T)
    return array / array.max(), np.asarray(image.affine)


def tissue_labels(grey: NDArray[np.float32], white: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The likeliest tissue of every voxel of the brain; what is neither grey nor white is CSF."""
    fluid = np.clip(1.0 - grey - white, 0.0, 1.0)
    # The first of equals, as argmax has it, which takes four times as long.
    likeliest = np.where(grey >= white, np.uint8(2), np.uint8(3))
    likeliest[(fluid >= grey) & (fluid >= white)] = 1
    likeliest[~mask] = 0
    return likeliest


def lateral_ventricles(fluid: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """The fluid that hangs together with a point inside each lateral ventricle, apart from the midline."""
    from scipy import ndimage

    # Only the box, with the voxels that opening and dilation look at around it.
    corners = grid.to_indices(_BOX)[:, ::-1]
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(corners.max(axis=0)).astype(int) + 3
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    whole, fluid = np.zeros(fluid.shape, dtype=bool), fluid[box]
    k, j, i = np.indices(fluid.shape) + low[:, None, None, None]
    world = grid.to_world(np.stack([i, j, k], axis=-1))
    inside = np.all((world > _BOX[0]) & (world < _BOX[1]), axis=-1) & (np.abs(world[..., 0]) > _MIDLINE_MM)
    # Opened once, so that a bridge of a voxel to the cisterns does not count as hanging together.
    core = ndimage.binary_opening(fluid & inside)
    parts, _count = ndimage.label(core)
    found = np.zeros(core.shape, dtype=bool)
    for seed in _SEEDS:
        centre = np.rint(grid.to_indices(seed)).astype(int)[::-1] - low
        near = tuple(slice(c - 6, c + 7) for c in centre)
        numbers = parts[near][parts[near] > 0]
        if numbers.size:
            found |= parts == np.bincount(numbers).argmax()
    whole[box] = ndimage.binary_dilation(found) & fluid & inside
    return whole
