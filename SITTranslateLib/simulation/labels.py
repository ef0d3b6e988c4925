"""Label maps of heads: meaning of the numbers, and reading.

Numbers are FreeSurfer's for the brain and SynthSeg's (Billot et al., Medical Image Analysis 2023) for the rest of
the head. Arrays are ``[k, j, i]``; affines are IJK to RAS mm; maps are brought to axes along +R, +A, +S.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Grid, Volume

LabelArray = NDArray[np.int16]

TISSUE_LABELS: dict[str, tuple[int, ...]] = {
    "air": (0,),
    "csf": (4, 5, 14, 15, 24, 43, 44, 72),
    "wm": (2, 41),
    "cerebellar_wm": (7, 46),
    "gm": (3, 42),
    "cerebellar_gm": (8, 47),
    "thalamus": (10, 49),
    "caudate": (11, 50),
    "putamen": (12, 51, 26, 58),
    "pallidum": (13, 52),
    "hippocampus": (17, 18, 53, 54),
    "brain_stem": (16, 28, 60),
    "lesion": (25, 57),
    "vessel": (30, 62, 502, 514),
    "nerve_cord": (85, 512, 530),
    "eye": (506,),
    "soft": (507,),
    "muscle": (508,),
    "mucosa": (509,),
    "skin": (511,),
    "bone_cortical": (515,),
    "bone_cancellous": (516,),
}
"""Tissue class of each label; a class has one row in :data:`SITTranslateLib.simulation.tissue.TISSUES`."""

TISSUE_OF_LABEL: dict[int, str] = {label: tissue for tissue, labels in TISSUE_LABELS.items() for label in labels}

LABEL_NAMES: dict[int, str] = {
    0: "background", 14: "third ventricle", 15: "fourth ventricle", 16: "brain stem", 24: "outer CSF",
    72: "cavum septi pellucidi", 85: "optic chiasm", 502: "artery", 506: "eye", 507: "soft tissue",
    508: "rectus muscle", 509: "mucosa", 511: "skin", 512: "spinal cord", 514: "vein", 515: "cortical bone",
    516: "cancellous bone", 530: "optic nerve",
}  # fmt: skip

_SIDED_NAMES = {
    (2, 41): "cerebral white matter", (3, 42): "cerebral cortex", (4, 43): "lateral ventricle",
    (5, 44): "inferior lateral ventricle", (7, 46): "cerebellar white matter", (8, 47): "cerebellar cortex",
    (10, 49): "thalamus", (11, 50): "caudate", (12, 51): "putamen", (13, 52): "pallidum", (17, 53): "hippocampus",
    (18, 54): "amygdala", (25, 57): "white-matter lesion", (26, 58): "accumbens", (28, 60): "ventral diencephalon",
    (30, 62): "vessel",
}  # fmt: skip
for (_left, _right), _name in _SIDED_NAMES.items():
    LABEL_NAMES[_left], LABEL_NAMES[_right] = f"left {_name}", f"right {_name}"

LEFT_RIGHT: dict[int, int] = {a: b for pair in _SIDED_NAMES for a, b in (pair, pair[::-1])}
"""The label of the same structure on the other side."""

LATERAL_VENTRICLES = (4, 5, 43, 44)
VENTRICLES = (*LATERAL_VENTRICLES, 14, 15, 72)
OUTER_CSF = 24
WHITE_MATTER = (2, 41)
BRAIN_TISSUES = {
    *("wm", "cerebellar_wm", "gm", "cerebellar_gm", "thalamus", "caudate", "putamen", "pallidum"),
    *("hippocampus", "brain_stem", "lesion"),
}
BRAIN_LABELS: tuple[int, ...] = tuple(
    sorted({label for label, tissue in TISSUE_OF_LABEL.items() if tissue in BRAIN_TISSUES} | set(VENTRICLES))
)
"""Brain tissue and ventricles, without the CSF around the brain."""

_MERGED = {136: 4, 137: 5, 163: 43, 164: 44}
TABLE_SIZE = 600


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A whole head as labels.

    Attributes:
        array: labels ``(K, J, I)``, int16.
        affine: 4x4 from (i, j, k) to RAS mm.
    """

    array: LabelArray
    affine: NDArray[np.float64]
    name: str = "head"

    def __post_init__(self) -> None:
        array = np.ascontiguousarray(self.array, dtype=np.int16)
        if array.ndim != 3:
            raise ValueError(f"a label map has three axes (K, J, I), got shape {array.shape}")
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", Grid(array.shape, self.affine).affine)  # type: ignore[arg-type]

    @property
    def grid(self) -> Grid:
        return Grid(self.array.shape, self.affine)  # type: ignore[arg-type]

    def mask(self, *labels: int) -> NDArray[np.bool_]:
        """Mask of the labels, ``(K, J, I)``."""
        return lookup(dict.fromkeys(labels, True), np.bool_)[self.array]

    def millilitres(self, *labels: int) -> float:
        """Volume of the labels together in mL."""
        return float(np.count_nonzero(self.mask(*labels))) * self.grid.voxel_volume / 1000.0

    def cropped(self, margin_mm: float = 6.0) -> LabelMap:
        """The map without the empty air around the head."""
        occupied = self.array > 0
        if not occupied.any():
            raise InputError("The label map is empty: give a map of a head with labels above 0.")
        bounds = []
        for axis, spacing in zip(range(3), reversed(self.grid.spacing), strict=True):
            where = np.flatnonzero(occupied.any(axis=tuple(a for a in range(3) if a != axis)))
            margin = int(np.ceil(margin_mm / spacing))
            bounds.append(slice(max(0, int(where[0]) - margin), int(where[-1]) + 1 + margin))
        affine = self.affine.copy()
        affine[:3, 3] = self.grid.to_world(np.array([b.start for b in reversed(bounds)]))
        return LabelMap(self.array[tuple(bounds)], affine, self.name)

    def as_volume(self) -> Volume:
        return Volume(self.array.astype(np.float32), self.affine, self.name)


def lookup(values: dict[int, float] | dict[int, bool] | dict[int, int], dtype: type) -> NDArray:
    """A table indexed by label; labels that are not named read zero."""
    table: NDArray = np.zeros(TABLE_SIZE, dtype=dtype)
    for label, value in values.items():
        table[label] = value
    return table


def read_label_map(path: str | Path) -> LabelMap:
    """Read a label map of a head, on axes along +R, +A, +S.

    Raises:
        InputError: the file cannot be read, is not three-dimensional, or holds labels this project does not know.
    """
    path = Path(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"The label map {path.name} cannot be read: check that it is a NIfTI or NRRD file.") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"The label map {path.name} is not one 3D image: give one label per voxel in three dimensions."
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    array = np.asarray(sitk.GetArrayViewFromImage(image))
    found = np.unique(array)
    unknown = [float(v) for v in found if v != int(v) or int(v) not in TISSUE_OF_LABEL.keys() | _MERGED.keys()]
    if unknown:
        raise InputError(
            f"The label map {path.name} holds values that are no known labels ({unknown[:5]}): "
            "use FreeSurfer's numbers for the brain and SynthSeg's for the rest of the head."
        )
    array = array.astype(np.int16)
    for partial, whole in _MERGED.items():
        array[array == partial] = whole
    name = path.name.split(".")[0]
    return _along_ras(LabelMap(array, affine, name))


def _along_ras(labels: LabelMap) -> LabelMap:
    """The same map with its axes permuted and flipped so that i, j, k run mostly along +R, +A, +S."""
    axes = labels.grid.axes / np.linalg.norm(labels.grid.axes, axis=0)
    order = [int(np.argmax(np.abs(axes[row]))) for row in range(3)]
    if sorted(order) != [0, 1, 2]:
        return labels
    array = labels.array.transpose([2 - order[2 - a] for a in range(3)])
    affine = labels.affine.copy()
    affine[:, :3] = labels.affine[:, order]
    for axis in range(3):
        if affine[axis, axis] < 0:
            size = array.shape[2 - axis]
            affine[:3, 3] += affine[:3, axis] * (size - 1)
            affine[:3, axis] *= -1
            array = np.flip(array, 2 - axis)
    return LabelMap(array, affine, labels.name)
