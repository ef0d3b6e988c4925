"""Tissue classes of a structure map, and the intensities it is computed from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.files.checks import is_ct
from SITTranslateLib.simulation.labels import TISSUE_OF_LABEL, lookup

SPACING_MM = 2.0
"""Voxels of the grid that structure is found on."""
CLASSES = ("outside", "CSF", "cortical grey matter", "deep grey matter", "white matter", "other soft tissue", "bone")
"""``outside`` is air, and what skull stripping took away; white matter includes brain stem and lesions."""
BRAIN = (1, 2, 3, 4)

_CLASS_OF_TISSUE = {
    "air": 0, "csf": 1, "gm": 2, "cerebellar_gm": 2, "hippocampus": 2,
    "thalamus": 3, "caudate": 3, "putamen": 3, "pallidum": 3,
    "wm": 4, "cerebellar_wm": 4, "brain_stem": 4, "lesion": 4, "bone_cortical": 6, "bone_cancellous": 6,
}  # fmt: skip
CLASS_OF_LABEL: NDArray[np.uint8] = lookup(
    {label: _CLASS_OF_TISSUE.get(tissue, 5) for label, tissue in TISSUE_OF_LABEL.items()}, np.uint8
)
"""Index into :data:`CLASSES` of each label of :mod:`SITTranslateLib.simulation.labels`."""

HOUNSFIELD_WINDOW = (-150.0, 200.0)
"""HU; brain and fluid differ by 25 HU and would vanish in the range of bone."""


def normalised(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A scan as the network sees it: the middle 99 % of its intensities in [0, 1], the rest clipped.

    A CT, known by its air, is cut to :data:`HOUNSFIELD_WINDOW` first.

    Args:
        array: ``(K, J, I)``, native units.
    """
    values = np.asarray(array, dtype=np.float32)
    if is_ct(values):
        values = np.clip(values, *HOUNSFIELD_WINDOW)
    low, high = np.percentile(values[::2, ::2, ::2], (0.5, 99.5))
    if high <= low:
        low, high = float(values.min()), max(float(values.max()), float(values.min()) + 1.0)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), dtype=np.float32)
