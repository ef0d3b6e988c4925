"""The brain of the demo: the ICBM152 average that comes with nilearn, with its tissues and lateral ventricles."""

from __future__ import annotations

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
#: Box around the lateral ventricles and a point inside each, RAS mm of the ICBM152 space (Fonov et al. 2011).
_BOX = np.array([[-42.0, -56.0, -12.0], [42.0, 34.0, 36.0]])
_SEEDS = np.array([[-10.0, 5.0, 20.0], [10.0, 5.0, 20.0]])
#: Half width of the septum and the third ventricle between them.
_MIDLINE_MM = 1.5


def load_brain() -> tuple[Volume, Volume]:
    """The T1-weighted average brain at 1 mm, without skull, and its label map (see ``NAMES``); no download.

    Raises:
        InputError: nilearn is not installed.
    """
    try:
        from nilearn import datasets
    except ImportError as error:
        raise InputError(
            "The demo needs nilearn for its brain: install it with pip install 'sittranslate[demo]'."
        ) from error
    image = datasets.load_mni152_template(resolution=1)
    brain = Volume(SCALE * _array(image), np.asarray(image.affine), "ICBM152 T1")
    grey = _array(datasets.load_mni152_gm_template(resolution=1))
    white = _array(datasets.load_mni152_wm_template(resolution=1))
    mask = _array(datasets.load_mni152_brain_mask(resolution=1)) > 0.5
    labels = tissue_labels(grey, white, mask)
    labels[lateral_ventricles(labels == CSF, brain.grid)] = VENTRICLES
    return brain, brain.with_array(labels, "ICBM152 tissues")


def _array(image: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.get_fdata(dtype=np.float32).T)


def tissue_labels(grey: NDArray[np.float32], white: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The likeliest tissue of every voxel of the brain; what is neither grey nor white is CSF."""
    fluid = np.clip(1.0 - grey - white, 0.0, 1.0)
    likeliest = np.argmax(np.stack([fluid, grey, white]), axis=0).astype(np.uint8) + 1
    return np.where(mask, likeliest, 0).astype(np.uint8)


def lateral_ventricles(fluid: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """The fluid that hangs together with a point inside each lateral ventricle, apart from the midline."""
    from scipy import ndimage

    k, j, i = np.meshgrid(*[np.arange(n, dtype=np.float64) for n in grid.shape], indexing="ij")
    world = grid.to_world(np.stack([i, j, k], axis=-1))
    inside = np.all((world > _BOX[0]) & (world < _BOX[1]), axis=-1) & (np.abs(world[..., 0]) > _MIDLINE_MM)
    # Opened once, so that a bridge of a voxel to the cisterns does not count as hanging together.
    core = ndimage.binary_opening(fluid & inside)
    parts, _count = ndimage.label(core)
    found = np.zeros(core.shape, dtype=bool)
    for seed in _SEEDS:
        centre = np.rint(grid.to_indices(seed)).astype(int)[::-1]
        near = tuple(slice(c - 6, c + 7) for c in centre)
        numbers = parts[near][parts[near] > 0]
        if numbers.size:
            found |= parts == np.bincount(numbers).argmax()
    return np.asarray(ndimage.binary_dilation(found) & fluid & inside)
