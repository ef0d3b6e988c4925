"""Where strokes lie: maps learned from masks, brought onto a scan, and one stroke of a given volume drawn from them.

The maps are non-negative factors of masks of acute strokes in MNI space, all brought to the left hemisphere. How often
each occurs, and on which side, depends on volume and severity. A stroke begins at a point drawn from the maps, and
takes the tissue that is near it and that strokes which hold this point usually hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.volume import Grid, Volume

#: NIHSS and mL at which the frequencies of the maps are tabled.
SEVERITIES, VOLUMES_ML = (0.0, 3.0, 8.0, 16.0, 30.0), (0.5, 2.0, 8.0, 32.0, 128.0)
#: Middle of each structure in MNI space, mm, on the left (mean of both sides, the right one mirrored): by the library's
#: parcellation of the ICBM152 average (Fonov 2011), as ``sittranslate evaluate stroke`` writes it to landmarks.json; to
#: be measured again with new weights. Of three other averages of MNI152, two on T1w differ by up to 3 mm (brain stem of
#: one: 5), one on T2w by 1 to 3 (white matter and cortex: 5).
LANDMARKS_MM: dict[str, tuple[float, float, float]] = {
    "lateral ventricle": (-14.5, -14.9, 12.6),
    "third ventricle": (0.0, -9.0, -5.3),
    "fourth ventricle": (0.0, -43.9, -32.8),
    "hippocampus": (-25.9, -21.8, -14.6),
    "amygdala": (-23.3, -3.8, -20.6),
    "thalamus": (-12.3, -17.5, 6.5),
    "caudate": (-13.6, 10.1, 8.4),
    "putamen": (-25.9, 1.1, -2.2),
    "pallidum": (-20.6, -3.2, -3.5),
    "cortex": (-32.7, -17.8, 14.8),
    "white matter": (-28.5, -16.8, 20.9),
    "cerebellum": (-22.6, -60.9, -36.4),
    "brain stem": (0.0, -30.5, -33.7),
}
#: Weight of the maps against the distance from the first point, in radii of a sphere of the stroke's volume.
MAPS_WEIGHT = 0.3
#: Unevenness of the outline in such radii, and how far its waves reach, as a share of the radius.
ROUGHNESS, WAVES = 0.12, 0.35
#: Pieces smaller than this share of the stroke are left out.
LEAST_PIECE = 0.03
#: Largest share of the tissue at hand that a stroke may take.
MOST_OF_TISSUE = 0.35


@dataclass(frozen=True, eq=False)
class StrokeSites:
    """Maps of where strokes lie in MNI space, and how often each occurs.

    Attributes:
        maps: density of each ``(N, K, J, I)``, sum 1, of strokes on the left.
        affine: 4x4 of the maps to MNI mm.
        frequency: of each map by severity and volume ``(len(SEVERITIES), len(VOLUMES_ML), N)``, sum 1.
        left: share of strokes on the left, the same table without N.
    """

    maps: NDArray[np.float32]
    affine: NDArray[np.float64]
    frequency: NDArray[np.float32]
    left: NDArray[np.float32]

    def likelihood(self, weights: NDArray[np.floating], to_mni: NDArray[np.float64], side: str) -> Volume:
        """Density of a mixture of the maps, to be read in the scan's own mm.

        Args:
            weights: of the maps.
            to_mni: 4x4 of the scan's mm to MNI.
            side: ``left`` or ``right``.
        """
        mirror = np.diag([1.0 if side == "left" else -1.0, 1.0, 1.0, 1.0])
        array = np.tensordot(np.asarray(weights, np.float32), self.maps, axes=1)
        # Outside of the maps the border is repeated: it must be empty.
        affine = self.affine.copy()
        affine[:3, 3] -= affine[:3, :3].sum(axis=1)
        return Volume(np.pad(array, 1).astype(np.float32), np.linalg.inv(to_mni) @ mirror @ affine)

    def holding(self, point_mm: NDArray[np.floating], side: str, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weights of the maps given that a stroke holds a point in MNI mm."""
        mirrored = np.array([point_mm[0] if side == "left" else -point_mm[0], *point_mm[1:]])
        place = (np.linalg.inv(self.affine) @ np.append(mirrored, 1.0))[2::-1]
        at = np.array([ndimage.map_coordinates(m, place[:, None], order=1, mode="nearest")[0] for m in self.maps])
        likely = np.asarray(weights, np.float64) * at + 1e-12
        return np.asarray(likely / likely.sum())


def alignment(shares: Shares) -> NDArray[np.float64]:
    """Affine (4x4) from a scan's mm to MNI by the middles of its structures, least squares.

    Raises:
        InputError: too few structures are found.
    """
    middles = structure_middles(shares)
    known = [part for part in middles if _mni(part) is not None]
    if len(known) < 8:
        raise InputError("Too few structures are found in this scan to tell where strokes lie in it.")
    here = np.array([[*middles[part], 1.0] for part in known])
    there = np.array([_mni(part) for part in known])
    matrix = np.eye(4)
    matrix[:3] = np.linalg.lstsq(here, there, rcond=None)[0].T
    return matrix


def structure_middles(shares: Shares) -> Mapping[str, NDArray[np.float64]]:
    """Middle of each part, mm."""
    found = {}
    for part, share in shares.parts.items():
        sums = [share.sum(axis=axes, dtype=np.float64) for axes in ((0, 1), (0, 2), (1, 2))]
        place = [float(np.dot(s, np.arange(len(s))) / s.sum()) for s in sums]
        found[part] = shares.grid.to_world(np.array(place))
    return found


def draw_stroke(
    sites: StrokeSites,
    to_mni: NDArray[np.float64],
    tissue: NDArray[np.bool_],
    grid: Grid,
    millilitres: float,
    severity: float,
    rng: np.random.Generator,
    side: str = "",
) -> NDArray[np.bool_]:
    """One stroke.

    Args:
        to_mni: of :func:`alignment`.
        tissue: where it may lie, on ``grid``.
        grid: isotropic.
        millilitres: its volume.
        severity: NIHSS; with the volume it says which sites are likely.
        side: ``left`` or ``right``; otherwise drawn.

    Returns:
        Mask on ``grid`` of that volume, to a voxel.

    Raises:
        InputError: more than the tissue can hold.
    """
    wanted = max(1, round(millilitres * 1000.0 / grid.voxel_volume))
    if wanted > MOST_OF_TISSUE * np.count_nonzero(tissue):
        raise InputError(f"A stroke of {millilitres:.0f} mL is larger than this scan's brain has room for.")
    weights = between(sites.frequency, severity, millilitres)
    if side not in ("left", "right"):
        side = "left" if rng.uniform() < float(between(sites.left, severity, millilitres)) else "right"
    density = fields.resample_volume(sites.likelihood(weights, to_mni, side), grid).array * tissue
    cumulative = np.cumsum(density.ravel(), dtype=np.float64)
    if cumulative[-1] <= 0.0:
        raise InputError("The brain in this scan does not lie where strokes are known; look at its orientation.")
    first = int(np.searchsorted(cumulative, rng.uniform(0.0, cumulative[-1])))
    return grown(sites, to_mni, tissue, grid, wanted, np.array(np.unravel_index(first, grid.shape)), side, weights, rng)


def grown(
    sites: StrokeSites,
    to_mni: NDArray[np.float64],
    tissue: NDArray[np.bool_],
    grid: Grid,
    wanted: int,
    first: NDArray[np.integer],
    side: str,
    weights: NDArray[np.floating],
    rng: np.random.Generator | None = None,
    maps_weight: float = MAPS_WEIGHT,
) -> NDArray[np.bool_]:
    """The ``wanted`` voxels of tissue that a stroke with this first voxel (k, j, i) most likely holds.

    Without ``rng``, the outline is smooth; with a ``maps_weight`` of 0, a ball of tissue.
    """
    point = (to_mni @ np.append(grid.to_world(first[::-1].astype(float)), 1.0))[:3]
    likely = sites.likelihood(sites.holding(point, side, weights), to_mni, side)
    likely = likely.with_array(np.log(likely.array / max(float(likely.array.max()), 1e-30) + 1e-3))
    spacing = grid.spacing[0]
    radius = (3.0 * wanted * grid.voxel_volume / (4.0 * np.pi)) ** (1.0 / 3.0)
    away = np.sqrt(sum(
        ((np.arange(n) - c) * spacing).reshape([-1 if a == axis else 1 for a in range(3)]) ** 2
        for axis, (n, c) in enumerate(zip(grid.shape, first, strict=True))
    ))  # fmt: skip
    score = np.float32(maps_weight) * fields.resample_volume(likely, grid).array - (away / radius).astype(np.float32)
    if rng is not None:
        waves = _waves(grid, max(WAVES * radius, spacing), rng)
        score += np.float32(ROUGHNESS) * waves
    allowed = tissue.copy()
    for _ in range(3):
        values = np.where(allowed, score, -np.inf)
        limit = np.partition(values, -wanted, axis=None)[-wanted]
        mask = values >= limit
        pieces, count = ndimage.label(mask, np.ones((3, 3, 3), bool))
        if count == 1:
            break
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        small = sizes < LEAST_PIECE * wanted
        small[0] = small[pieces[tuple(first)]] = False
        if not small.any():
            break
        allowed &= ~small[pieces]
    return np.asarray(mask)


def _waves(grid: Grid, reach_mm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise of standard deviation 1; drawn on a grid as coarse as its waves allow."""
    coarse_mm = max(grid.spacing[0], 0.5 * reach_mm)
    extent = np.array(grid.shape) * grid.spacing[0]
    shape = np.ceil(extent / coarse_mm).astype(int) + 4
    noise = ndimage.gaussian_filter(rng.normal(size=shape), reach_mm / coarse_mm).astype(np.float32)
    affine = grid.affine.copy()
    affine[:3, :3] *= coarse_mm / grid.spacing[0]
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    values = fields.resample_volume(Volume(noise, affine), grid).array
    return np.asarray(values / max(float(values.std()), 1e-6), dtype=np.float32)


def _mni(part: str) -> tuple[float, float, float] | None:
    """Middle of a part in MNI mm, None if it is no landmark."""
    side, _, region = part.partition(" ")
    if side not in ("left", "right"):
        return LANDMARKS_MM.get(part)
    place = LANDMARKS_MM.get(region)
    return place if place is None or side == "left" else (-place[0], place[1], place[2])


def between(table: NDArray[np.floating], severity: float, millilitres: float) -> NDArray[np.float64]:
    """A table of severity and volume read between its rows, both on logarithmic axes."""
    rows = np.interp(np.log1p(severity), np.log1p(SEVERITIES), np.arange(len(SEVERITIES)))
    columns = np.interp(np.log(max(millilitres, 1e-3)), np.log(VOLUMES_ML), np.arange(len(VOLUMES_ML)))
    i, j = min(int(rows), len(SEVERITIES) - 2), min(int(columns), len(VOLUMES_ML) - 2)
    a, b = rows - i, columns - j
    return np.asarray(
        (1 - a) * ((1 - b) * table[i, j] + b * table[i, j + 1])
        + a * ((1 - b) * table[i + 1, j] + b * table[i + 1, j + 1])
    )
