"""Brightness of white matter, cortex and fluid in a scan, and what a lesion differs by from white matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.volume import Grid

WHITE = ("left white matter", "right white matter")
CORTEX = ("left cortex", "right cortex")
VENTRICLES = ("left lateral ventricle", "right lateral ventricle")
#: Voxels of a tissue from which its brightness is measured.
FEWEST_VOXELS = 100


@dataclass(frozen=True)
class TissueLevels:
    """Medians of three tissues and the noise of white matter (robust standard deviation), units of the scan."""

    white: float
    grey: float
    fluid: float
    noise: float


@dataclass(frozen=True)
class LesionContrast:
    """What a lesion differs by from white matter.

    Attributes:
        t1w: as a share of the distance from white matter to cortex.
        t2w, flair: as a share of the distance between white matter and fluid.
    """

    t1w: float
    t2w: float
    flair: float

    def on(self, levels: TissueLevels) -> float:
        """Lesion less white matter, units of the scan, by the order of white matter, cortex and fluid.

        Raises:
            InputError: white and grey matter are alike, or the order is that of no contrast known here.
        """
        white, grey, fluid = levels.white, levels.grey, levels.fluid
        # On T2w, white and grey matter may differ by less than the noise; fluid says which contrast it is.
        if fluid > max(white, grey) + 2.0 * levels.noise and grey > white - 0.5 * levels.noise:
            return self.t2w * (fluid - white)
        if abs(white - grey) <= 0.5 * levels.noise:
            raise InputError("White and grey matter are alike in this scan; lesions are offered on T1w, T2w and FLAIR.")
        if white > grey > fluid:
            return self.t1w * (grey - white)
        if grey > white > fluid:
            return self.flair * (white - fluid)
        raise InputError("The tissues of this scan are not those of T1w, T2w or FLAIR; lesions are offered on these.")


def share_of(shares: Shares, parts: tuple[str, ...]) -> NDArray[np.float32]:
    """Share of several parts together in each voxel."""
    empty = np.zeros(shares.grid.shape, np.float32)
    return np.asarray(sum((shares.parts[part] for part in parts if part in shares.parts), empty))


def box_of(mask: NDArray[np.bool_], coarse: Grid, scan: Grid) -> tuple[tuple[slice, slice, slice], Grid]:
    """The part of the scan that holds a mask, with a margin, and its grid."""
    occupied = [np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    ends = np.array([(o[0] - 2.0, o[-1] + 2.0) for o in occupied])
    corners = coarse.to_world(np.array([[ends[a, c[a]] for a in range(3)] for c in np.ndindex(2, 2, 2)]))
    indices = scan.to_indices(corners)
    sizes = np.array(scan.shape[::-1])
    low = np.clip(np.floor(indices.min(axis=0)), 0, sizes - 1).astype(int)
    high = np.clip(np.ceil(indices.max(axis=0)) + 1, low + 1, sizes).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    affine = scan.affine.copy()
    affine[:3, 3] = scan.to_world(low.astype(float))
    shape = tuple(int(n) for n in (high - low)[::-1])
    return box, Grid(shape, affine)  # type: ignore[return-value, arg-type]


def tissue_levels(
    image: NDArray[np.float32],
    white: NDArray[np.float32],
    cortex: NDArray[np.float32],
    fluid: NDArray[np.float32],
    edge: NDArray[np.float32],
) -> TissueLevels:
    """Levels of a scan.

    Args:
        image: the scan, and on its grid the shares of ``white`` matter, ``cortex`` and ``fluid`` ``(K, J, I)``.
        edge: distance from the edge of white matter, mm, positive inside.

    Raises:
        InputError: too little of one of them.
    """
    deep, grey, wet = image[_sure(white, 0.9) & (edge > 1.0)], image[_sure(cortex, 0.85)], image[_sure(fluid, 0.9)]
    if min(len(deep), len(grey), len(wet)) < FEWEST_VOXELS:
        raise InputError("The scan shows too little white matter, cortex or ventricle for lesions.")
    level = float(np.median(deep))
    noise = 1.4826 * float(np.median(np.abs(deep - level)))
    middle = float(np.median(wet))
    if abs(middle - level) < 3.0 * noise:
        # Ventricles that were found beside their place hold tissue as well; fluid is what is farthest from it.
        middle = max(map(float, np.percentile(wet, (5.0, 95.0))), key=lambda value: abs(value - level))
    return TissueLevels(level, float(np.median(grey)), middle, noise)


def _sure(share: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    """Where a share is above a limit, or, where it hardly ever is, above a lower one."""
    sure = share > least
    return sure if np.count_nonzero(sure) >= FEWEST_VOXELS else share > 0.6
