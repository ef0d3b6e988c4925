"""Regions of prescribed change, and their fraction of each voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.parcellation import Parcellation
from SITTranslateLib.segmentation.structures import STRUCTURES
from SITTranslateLib.volume import Grid, Volume

SPACING_MM = 2.0
#: Margin about the brain in which the velocity fades out.
MARGIN_MM = 16.0
#: A label map with less fluid around the brain than this share of it shows no outer CSF.
LEAST_OUTER_CSF = 0.04
#: Brain with its ventricles in a head, and the least of a part that counts as shown, mL.
BRAIN_ML = (400.0, 2200.0)
LEAST_ML = 0.1


@dataclass(frozen=True)
class Region:
    """A part of the brain whose volume can be prescribed.

    Attributes:
        name: in tables of changes; ``left`` or ``right`` before it means one side.
        left, right: FreeSurfer labels; ``right`` is empty for a region of the midline.
        fluid: gives way where no volume is asked for; tissue keeps its volume instead.
        thin: too small to be held unless it is named.
    """

    name: str
    left: tuple[int, ...]
    right: tuple[int, ...] = ()
    fluid: bool = False
    thin: bool = False

    @property
    def parts(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and labels of its left and right part, or of the whole."""
        if not self.right:
            return ((self.name, self.left),)
        return ((f"left {self.name}", self.left), (f"right {self.name}", self.right))


REGIONS: tuple[Region, ...] = (
    Region("lateral ventricle", (4, 5), (43, 44), fluid=True),
    Region("third ventricle", (14, 72), fluid=True),
    Region("fourth ventricle", (15,), fluid=True),
    Region("hippocampus", (17,), (53,)),
    Region("amygdala", (18,), (54,)),
    Region("thalamus", (10,), (49,)),
    Region("caudate", (11,), (50,)),
    Region("putamen", (12, 30), (51, 62)),
    Region("pallidum", (13,), (52,)),
    Region("accumbens", (26,), (58,), thin=True),
    Region("ventral diencephalon", (28,), (60,)),
    Region("cortex", (3,), (42,)),
    Region("white matter", (2, 25), (41, 57)),
    Region("cerebellum", (7, 8), (46, 47)),
    Region("brain stem", (16,)),
)
PARTS: dict[str, tuple[int, ...]] = {name: labels for region in REGIONS for name, labels in region.parts}
"""Labels of every part by name, left and right apart."""
OUTER_CSF = 24
_PARCELLATED = {label for structure in STRUCTURES for label in structure.labels}
BRAIN_STEM = "brain stem"
_ALIASES = {
    "ventricles": ("lateral ventricle", "third ventricle"),
    "lateral ventricles": ("lateral ventricle",),
    "cerebral cortex": ("cortex",),
    "grey matter": ("cortex",),
    "cerebral white matter": ("white matter",),
    "brainstem": (BRAIN_STEM,),
    "accumbens area": ("accumbens",),
    "ventraldc": ("ventral diencephalon",),
    "3rd ventricle": ("third ventricle",),
    "4th ventricle": ("fourth ventricle",),
}
#: Further labels of FreeSurfer's parcellations: corpus callosum; cortex by region.
_CORPUS_CALLOSUM = range(251, 256)
_LEFT_CORTEX, _RIGHT_CORTEX = range(1000, 1036), range(2000, 2036)


def parts_named(name: str) -> tuple[str, ...]:
    """Keys of :data:`PARTS` that a name means: ``hippocampus`` both sides, ``left hippocampus`` or FreeSurfer's
    ``Left-Hippocampus`` one.

    Raises:
        InputError: no such region.
    """
    words = " ".join(name.lower().replace("-", " ").replace("_", " ").split())
    side = next((s for s in ("left", "right") if words.startswith(f"{s} ")), "")
    rest = words.removeprefix(side).strip()
    rest = rest.removesuffix(" proper")
    found = []
    for wanted in _ALIASES.get(rest, (rest, rest.removesuffix("s"))):
        for region in REGIONS:
            if region.name == wanted and not (side and not region.right and rest == wanted):
                found += [part for part, _ in region.parts if not side or part.startswith(side) or not region.right]
    if not found:
        known = ", ".join(region.name for region in REGIONS)
        raise InputError(f"'{name[:60]}' is no region whose volume can be prescribed; known are {known}.")
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, eq=False)
class Shares:
    """Fraction of each part in a voxel, on a grid along +R, +A, +S about the brain.

    Attributes:
        parts: name to share ``(K, J, I)`` in [0, 1]; empty parts are left out.
        outer_csf: share of the fluid around the brain.
        grid: isotropic.
        volumes_ml: of the parts, as the label map has them.
        fine: the label map itself as numbers of the parts in the order of :data:`PARTS` from 1, cut to the brain, and
            its grid; None where the shares are probabilities.
    """

    parts: dict[str, NDArray[np.float32]]
    outer_csf: NDArray[np.float32]
    grid: Grid
    volumes_ml: dict[str, float]
    fine: tuple[NDArray[np.uint8], Grid] | None = None

    @property
    def brain(self) -> NDArray[np.float32]:
        """Share of everything that is brain or ventricle."""
        return np.asarray(np.clip(sum(self.parts.values()), 0.0, 1.0), dtype=np.float32)

    @property
    def has_outer_csf(self) -> bool:
        """Whether the labels show the fluid around the brain."""
        return float(self.outer_csf.sum()) > LEAST_OUTER_CSF * float(self.brain.sum())


def shares_of_labels(labels: Volume, spacing_mm: float = SPACING_MM) -> Shares:
    """Shares of a label map with FreeSurfer's numbers (``aseg``, ``aparc+aseg``, SynthSeg, or this project's).

    Raises:
        InputError: fractions or negative values, or no brain in it.
    """
    whole = np.rint(labels.array)
    if not np.array_equal(whole, labels.array) or whole.min(initial=0) < 0:
        raise InputError(f"'{labels.name}' is no label map: its voxels must be whole numbers from 0 up.")
    # FreeSurfer's numbers end below 3,000 where volumes can be prescribed; atlases go up to billions.
    integers = np.where(whole < 3000, whole, 0).astype(np.int32)
    table = np.zeros(3000, np.uint8)
    names = list(PARTS)
    for index, name in enumerate(names, start=1):
        table[list(PARTS[name])] = index
    csf = len(names) + 1
    table[OUTER_CSF] = csf
    table[list(_LEFT_CORTEX)], table[list(_RIGHT_CORTEX)] = (
        1 + names.index("left cortex"),
        1 + names.index("right cortex"),
    )
    table[77] = table[2]
    table[list(_CORPUS_CALLOSUM)] = table[2]
    classes = table[integers]
    counts = np.bincount(classes.ravel(), minlength=csf + 1)
    brain = (classes > 0) & (classes < csf)
    if counts[1:csf].sum() * labels.grid.voxel_volume < 2e5 or counts[1 + names.index("left white matter")] == 0:
        raise InputError(
            f"'{labels.name}' shows no brain in FreeSurfer's numbers (2 and 41 are white matter, 17 and 53 the "
            "hippocampus); give a map with those numbers."
        )
    grid = _grid_about(brain, labels.grid, spacing_mm)
    shares = _averaged(classes, labels.grid, grid, csf + 1)
    voxel = labels.grid.voxel_volume / 1000.0
    present = [index for index in range(1, csf) if counts[index]]
    return Shares(
        {names[index - 1]: shares[index] for index in present},
        shares[csf],
        grid,
        {names[index - 1]: float(counts[index]) * voxel for index in present},
        _cut(np.where(brain, classes, 0), labels.grid),
    )


def _cut(classes: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.uint8], Grid]:
    """The part of a map that is not 0."""
    occupied = [np.flatnonzero(classes.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(int(o[0]), int(o[-1]) + 1) for o in occupied)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(np.array([s.start for s in reversed(box)], dtype=float))
    cut = np.ascontiguousarray(classes[box])
    return cut, Grid(cut.shape, affine)  # type: ignore[arg-type]


def shares_of_parcellation(found: Parcellation, grid: Grid) -> Shares:
    """Shares and volumes from the probabilities of a parcellation.

    Args:
        found: on ``grid``.
        grid: isotropic, along +R, +A, +S.

    Raises:
        InputError: as little brain as no head has, or more than any.
    """
    millilitre = grid.voxel_volume / 1000.0
    parts = {}
    for name, labels in PARTS.items():
        shares = [found.of_label(label) for label in labels if label in _PARCELLATED]
        parts[name] = np.asarray(np.clip(sum(shares), 0.0, 1.0), dtype=np.float32)
    outer = found.of_label(OUTER_CSF)
    brain = np.asarray(sum(parts.values()))
    volume = float(brain.sum()) * millilitre
    if not BRAIN_ML[0] < volume < BRAIN_ML[1]:
        raise InputError(f"The scan shows {volume:.0f} mL of brain, which is none; give labels of its structures.")
    margin = int(MARGIN_MM / grid.spacing[0])
    occupied = [np.flatnonzero((brain > 0.5).any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(
        slice(max(0, int(o[0]) - margin), min(n, int(o[-1]) + 1 + margin))
        for o, n in zip(occupied, grid.shape, strict=True)
    )
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(np.array([s.start for s in reversed(box)], dtype=float))
    cut = {name: np.ascontiguousarray(share[box]) for name, share in parts.items()}
    shape = next(iter(cut.values())).shape
    volumes = {name: float(share.sum()) * millilitre for name, share in parts.items()}
    shown = {name: cut[name] for name in PARTS if volumes[name] > LEAST_ML}
    return Shares(
        shown,
        np.ascontiguousarray(outer[box]),
        Grid(shape, affine),
        {name: volumes[name] for name in shown},
    )


def _grid_about(brain: NDArray[np.bool_], grid: Grid, spacing_mm: float) -> Grid:
    """A grid along +R, +A, +S about the voxels of a mask, with the margin."""
    occupied = [np.flatnonzero(brain.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    ends = np.array([(o[0], o[-1]) for o in reversed(occupied)], dtype=float)
    corners = grid.to_world(np.array([[ends[a, c[a]] for a in range(3)] for c in np.ndindex(2, 2, 2)]))
    low, high = corners.min(axis=0) - MARGIN_MM, corners.max(axis=0) + MARGIN_MM
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    return Grid.centred((low + high) / 2, tuple(shape[::-1]), spacing_mm)


def _averaged(classes: NDArray[np.uint8], source: Grid, target: Grid, count: int) -> NDArray[np.float32]:
    """Share of each class in the voxels of a coarser grid, from points inside them: ``(count, K, J, I)``."""
    per_axis = int(np.clip(np.ceil(target.spacing[0] / min(source.spacing)), 1, 4))
    shares = np.zeros((count, int(np.prod(target.shape))), np.float32)
    voxel = np.arange(shares.shape[1])
    matrix = np.linalg.inv(source.affine) @ target.affine
    sizes = source.shape[::-1]
    k, j, i = (np.arange(n, dtype=np.float64) for n in target.shape)
    steps = (np.arange(per_axis) + 0.5) / per_axis - 0.5
    weight = np.float32(1.0 / per_axis**3)
    for dk, dj, di in np.ndindex(per_axis, per_axis, per_axis):
        index, inside = np.zeros(target.shape, np.int64), np.ones(target.shape, bool)
        for axis, stride in enumerate((1, sizes[0], sizes[0] * sizes[1])):
            place = (
                matrix[axis, 0] * (i + steps[di])[None, None, :]
                + matrix[axis, 1] * (j + steps[dj])[None, :, None]
                + (matrix[axis, 2] * (k + steps[dk]) + matrix[axis, 3])[:, None, None]
            )
            nearest = np.rint(place).astype(np.int64)
            inside &= (nearest >= 0) & (nearest < sizes[axis])
            index += np.clip(nearest, 0, sizes[axis] - 1) * stride
        found = np.where(inside, classes.ravel()[index], 0)
        shares[found.ravel(), voxel] += weight
    return shares.reshape(count, *target.shape)
