"""White-matter lesions of a prescribed volume: where they are likely, discrete, drawn by a seed; or their removal.

Sites and sizes are those of the consensus masks of 30 patients with multiple sclerosis in MNI space (Lesjak et al.,
Neuroinformatics 2018;16:51, CC BY): the probability of a lesion by distance from the lateral ventricles and from the
cortex, and the distribution of the volumes of single lesions. Existing lesions grow first. The brightness of a lesion
follows from that of white matter, cortex and fluid in the scan at hand: dark on T1w, bright on T2w and FLAIR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.systems.prescribed.tissue_levels import (
    CORTEX,
    VENTRICLES,
    WHITE,
    LesionContrast,
    box_of,
    share_of,
    tissue_levels,
)
from SITTranslateLib.volume import Volume

#: Edges in mm of the distances from lateral ventricle and cortex; the last class has no end.
FROM_VENTRICLE_MM = (0.0, 1.5, 3.0, 4.5, 6.0, 8.0, 10.0, 13.0, 17.0, 22.0)
FROM_CORTEX_MM = (0.0, 1.5, 3.0, 5.0, 8.0)
PRIOR_PERCENT: tuple[tuple[float, ...], ...] = (
    (5.0, 5.0, 5.0, 5.1, 16.6),
    (8.5, 7.5, 5.6, 7.8, 18.7),
    (4.7, 4.8, 6.1, 9.5, 14.0),
    (2.5, 3.3, 5.4, 8.4, 10.1),
    (2.9, 3.5, 4.7, 7.3, 7.7),
    (2.3, 3.0, 4.1, 6.4, 6.1),
    (1.7, 2.2, 3.4, 5.3, 5.2),
    (1.1, 1.5, 2.4, 3.6, 3.9),
    (0.7, 0.9, 1.4, 2.1, 2.8),
    (0.2, 0.4, 0.7, 1.2, 1.2),
)
"""Percentage of patients with a lesion in a voxel of white matter, by distance from ventricle (rows) and cortex."""
#: Volumes of single lesions, mL, and the shares of 2,035 lesions (of 0.01 mL or more) that are smaller.
SIZE_ML, SIZE_SHARE = (0.03, 0.034, 0.076, 0.453, 4.2, 8.0), (0.0, 0.5, 0.75, 0.95, 0.99, 1.0)
#: What a lesion differs by from white matter, measured on two patients (medians of lesions and of their cores): on
#: T1w as a share of the distance from white matter to cortex, on T2w and FLAIR of that to fluid.
CONTRAST = LesionContrast(t1w=0.9, t2w=0.27, flair=0.45)
#: Existing lesions grow by at most this share of their volume, and by at most this far, mm.
GROWTH, GROWTH_MM = 0.5, 3.0
#: A lesion's edge: full change this far inside of its outline, none this far outside, mm.
EDGE_IN_MM, EDGE_OUT_MM = 0.5, 0.1
#: Smallest existing lesion, mL.
LEAST_FOUND_ML = 0.02
LARGEST_ML = 60.0
#: Pieces of cortex below this share of it are none where white matter and ventricles have this share about them.
LARGEST_ISLAND, LEAST_AROUND = 0.02, 0.8


@dataclass(frozen=True, eq=False)
class LesionChange:
    """What is added to a scan.

    Attributes:
        change: on the scan's grid, native units.
        delivered_ml: volume that changes by half a lesion's contrast or more; negative where lesions were removed.
        found_ml: lesions that the scan shows, mL.
        count: lesions added, or removed.
        contrast: of a lesion to white matter, native units; negative where it is dark.
        warnings: what could not be done, a sentence each.
    """

    change: NDArray[np.float32]
    delivered_ml: float
    found_ml: float
    count: int
    contrast: float
    warnings: tuple[str, ...] = ()


def lesion_change(scan: Volume, shares: Shares, millilitres: float, seed: int = 0) -> LesionChange:
    """Lesions of a volume in mL, to be added (or, negative, removed).

    Args:
        scan: T1w, T2w or FLAIR, any grid.
        shares: of its structures.
        millilitres: above half a lesion's contrast.
        seed: of sites, sizes and shapes.

    Raises:
        InputError: more than white matter can hold, or a scan in which white and grey matter are alike.
    """
    if abs(millilitres) > LARGEST_ML:
        raise InputError(f"Lesions of {millilitres:g} mL are beyond what is offered ({LARGEST_ML:g} mL either way).")
    tissue = _Tissue.of(scan, shares)
    existing = _existing(tissue)
    voxel = scan.grid.voxel_volume / 1000.0
    found = float(np.count_nonzero(existing)) * voxel
    rng = np.random.default_rng(seed)
    warnings: tuple[str, ...] = ()
    if millilitres >= 0.0:
        profile, count = _added(tissue, existing, millilitres, rng)
        change = tissue.contrast * profile
    else:
        profile, count = _removed(existing, -millilitres / voxel)
        noise = rng.normal(0.0, tissue.noise, existing.shape)
        change = profile * (tissue.white_level + noise.astype(np.float32) - tissue.image)
        if found < -millilitres:
            warnings = (
                f"All {found:.1f} mL of lesions that the scan shows were removed, of {-millilitres:.1f} mL asked for.",
            )
    delivered = float(np.count_nonzero(np.abs(change) >= 0.5 * abs(tissue.contrast) * (1 - 1e-6))) * voxel
    whole = np.zeros(scan.shape, np.float32)
    whole[tissue.box] = change
    sign = 1.0 if millilitres >= 0.0 else -1.0
    return LesionChange(whole, sign * delivered, found, count, tissue.contrast, warnings)


@dataclass(frozen=True, eq=False)
class _Tissue:
    """The part of the scan about the white matter: intensities, levels, and where a lesion may lie.

    Attributes:
        box: of the scan.
        axes: mm along R, A, S of one voxel along i, j, k (columns).
        white_level: brightness of white matter about each voxel.
        contrast: of a lesion, signed; ``noise``: of white matter.
        allowed: white matter away from every other tissue.
        prior: relative probability of a lesion there, 0 where none may be.
        inwards: distance from the edge of white matter, mm, positive inside.
        outwards: direction away from the ventricles ``(K, J, I)`` is the gradient of ``from_ventricle``, mm.
    """

    box: tuple[slice, slice, slice]
    axes: NDArray[np.float64]
    image: NDArray[np.float32]
    white_level: NDArray[np.float32]
    contrast: float
    noise: float
    allowed: NDArray[np.bool_]
    prior: NDArray[np.float32]
    inwards: NDArray[np.float32]
    from_ventricle: NDArray[np.float32]

    @classmethod
    def of(cls, scan: Volume, shares: Shares) -> _Tissue:
        coarse = shares.grid
        spacing = coarse.spacing[0]
        cortex = share_of(shares, CORTEX)
        white = share_of(shares, WHITE)
        islands = _islands(cortex, white + share_of(shares, VENTRICLES))
        white = white + islands
        cortex = cortex - islands
        other = np.clip(shares.brain - white, 0.0, 1.0)

        def distance(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
            away = ndimage.distance_transform_edt(~inside) * spacing
            return np.asarray(away, dtype=np.float32)

        ventricles = share_of(shares, VENTRICLES) > 0.5
        if not ventricles.any() or not (cortex > 0.5).any() or white.sum() * coarse.voxel_volume < 5e4:
            raise InputError("The scan shows too little white matter for lesions.")
        box, grid = box_of(white > 0.5, coarse, scan.grid)
        image = np.ascontiguousarray(scan.array[box])

        def fine(values: NDArray[np.floating]) -> NDArray[np.float32]:
            return fields.resample_volume(Volume(values.astype(np.float32), coarse.affine), grid).array

        share = fine(white)
        # Half a voxel of the coarse grid is what its edge may be off by.
        edge = fine(distance(white < 0.5) - distance(white >= 0.5)) - 0.5 * spacing
        other_away = fine(distance(other > 0.5))
        from_ventricle, from_cortex = fine(distance(ventricles)), fine(distance(cortex > 0.5))
        levels = tissue_levels(image, share, fine(cortex), fine(share_of(shares, VENTRICLES)), edge)
        contrast, noise = CONTRAST.on(levels), levels.noise
        white_level = _local_level(scan, shares, white, levels.white, contrast)
        smooth = ndimage.gaussian_filter(image, [0.7 / s for s in reversed(grid.spacing)])
        local = fine(white_level)
        alike = np.abs(smooth - local) < max(0.5 * abs(contrast), 2.0 * noise)
        allowed = (share > 0.6) & (edge > 0.0) & (other_away > 0.5) & alike
        rows = np.searchsorted(FROM_VENTRICLE_MM, from_ventricle, side="right") - 1
        columns = np.searchsorted(FROM_CORTEX_MM, from_cortex, side="right") - 1
        prior = np.asarray(PRIOR_PERCENT, np.float32)[np.clip(rows, 0, None), np.clip(columns, 0, None)]
        return cls(box, grid.axes, image, local, contrast, noise, allowed, prior, edge, from_ventricle)

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.axes))) / 1000.0

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Of the axes (k, j, i), mm."""
        i, j, k = np.linalg.norm(self.axes, axis=0)
        return float(k), float(j), float(i)


def _islands(cortex: NDArray[np.float32], around: NDArray[np.float32]) -> NDArray[np.float32]:
    """What of the cortex lies in pieces of its own inside white matter: on T1w, lesions taken for grey matter.

    Args:
        around: share of white matter and ventricles.
    """
    labels, count = ndimage.label(cortex > 0.5)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    islands = np.zeros(cortex.shape, np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] > LARGEST_ISLAND * sizes[1:].sum():
            continue
        wider = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in box)
        inside = labels[wider] == number
        near = ndimage.binary_dilation(inside)
        shell = ndimage.binary_dilation(near) & ~near
        if shell.any() and float(around[wider][shell].mean()) > LEAST_AROUND:
            # Its rim has smaller shares.
            islands[wider] = np.where(near, cortex[wider], islands[wider])
    return islands


def _local_level(
    scan: Volume, shares: Shares, white: NDArray[np.float32], level: float, contrast: float
) -> NDArray[np.float32]:
    """Brightness of white matter about each voxel of the coarse grid: its mean within some 12 mm, lesions left out."""
    image = fields.resample_volume(scan, shares.grid).array
    weight = np.where((white > 0.9) & (np.abs(image - level) < 0.5 * abs(contrast)), white, 0.0)
    sigma = 12.0 / shares.grid.spacing[0]
    total = ndimage.gaussian_filter(weight, sigma)
    mean = ndimage.gaussian_filter(weight * image, sigma) / np.maximum(total, 1e-6)
    return np.where(total > 1e-3, mean, level).astype(np.float32)


def _existing(tissue: _Tissue) -> NDArray[np.bool_]:
    """Lesions that the scan shows: clusters inside white matter that differ as lesions do."""
    differs = np.sign(tissue.contrast) * (tissue.image - tissue.white_level)
    limit = max(0.5 * abs(tissue.contrast), 3.0 * tissue.noise)
    # Next to fluid and cortex, partial volume looks alike.
    seen = (differs > limit) & (tissue.inwards > 1.0) & (tissue.from_ventricle > 2.0)
    labels, count = ndimage.label(seen)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    kept = sizes * tissue.voxel_ml >= LEAST_FOUND_ML
    kept[0] = False
    return np.asarray(kept[labels])


def _added(
    tissue: _Tissue, existing: NDArray[np.bool_], millilitres: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], int]:
    """Share of a lesion's contrast in each voxel, and how many lesions grew or are new."""
    wanted = round(millilitres / tissue.voxel_ml)
    nowhere = np.float32(-1e3)
    depth = np.full(existing.shape, nowhere, np.float32)
    if wanted == 0:
        return np.zeros(existing.shape, np.float32), 0
    allowed = tissue.allowed & ~existing
    count = 0
    if existing.any():
        away = ndimage.distance_transform_edt(~existing, sampling=tissue.spacing)
        rough = ndimage.gaussian_filter(rng.normal(size=existing.shape), [1.5 / s for s in tissue.spacing])
        rough *= 0.5 / max(float(rough.std()), 1e-6)
        rim = allowed & (away <= GROWTH_MM)
        share = min(wanted, round(GROWTH * np.count_nonzero(existing)), int(np.count_nonzero(rim)))
        if share:
            score = np.where(rim, -(away + rough), -np.inf).astype(np.float32)
            limit = np.partition(score[rim], -share)[-share]
            depth = np.where(rim, score - limit + 1e-4, nowhere).astype(np.float32)
            count = int(ndimage.label(existing)[1])
    places = np.flatnonzero(allowed & (tissue.prior > 0))
    if len(places) < wanted:
        raise InputError(
            f"The white matter that this scan shows has room for {len(places) * tissue.voxel_ml:.0f} mL of lesions."
        )
    cumulative = np.cumsum(tissue.prior.ravel()[places], dtype=np.float64)
    have, tries = int(np.count_nonzero(depth > 0)), 0
    while have < wanted:
        tries += 1
        if tries > 20000:
            raise InputError(f"The white matter has no room for {millilitres:g} mL of discrete lesions.")
        place = places[np.searchsorted(cumulative, rng.uniform(0.0, cumulative[-1]))]
        centre = np.array(np.unravel_index(place, existing.shape))
        left = (wanted - have) * tissue.voxel_ml
        size = float(np.exp(np.interp(rng.uniform(), SIZE_SHARE, np.log(SIZE_ML))))
        region, inside = _blob(tissue, centre, min(size, max(1.2 * left, SIZE_ML[0])), rng)
        inside = np.where(allowed[region], np.minimum(inside, tissue.inwards[region] + 0.5), nowhere)
        before = np.count_nonzero(depth[region] > 0)
        joined = np.maximum(depth[region], inside)
        gained = int(np.count_nonzero(joined > 0) - before)
        if gained * tissue.voxel_ml < 0.5 * min(SIZE_ML[0], left):
            continue
        depth[region] = joined
        have += gained
        count += 1
    # The last lesion may be too large by a few voxels: the outlines move in a little.
    values = depth[depth > 0]
    threshold = np.partition(values, len(values) - wanted)[len(values) - wanted]
    depth -= threshold
    return np.where(depth >= 0, np.clip(0.5 + 0.5 * depth / EDGE_IN_MM, 0.0, 1.0),
                    np.clip(0.5 + 0.5 * depth / EDGE_OUT_MM, 0.0, 1.0)).astype(np.float32), count  # fmt: skip


def _blob(
    tissue: _Tissue, centre: NDArray[np.integer], millilitres: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]]:
    """One lesion: the part of the grid about it, and how deep each voxel lies inside its outline, mm.

    An ellipsoid with an uneven outline; near the ventricles its long axis points away from them.
    """
    radius = (3.0 * 1000.0 * millilitres / (4.0 * np.pi)) ** (1.0 / 3.0)
    stretch = float(rng.uniform(1.1, 1.9))
    spacing = np.array(tissue.spacing)
    reach = np.ceil((radius * stretch + 1.5) / spacing).astype(int)
    low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, tissue.image.shape)
    region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    offsets = np.stack(np.meshgrid(*[np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)],
                                   indexing="ij"), axis=-1)  # fmt: skip
    points = offsets[..., ::-1] @ tissue.axes.T
    k, j, i = (int(c) for c in centre)
    axis = rng.normal(size=3)
    if float(tissue.from_ventricle[k, j, i]) < 12.0:
        away = np.array([_slope(tissue.from_ventricle, (k, j, i), a) / spacing[a] for a in range(3)])
        if np.linalg.norm(away) > 1e-3:
            axis = (tissue.axes / np.linalg.norm(tissue.axes, axis=0)) @ away[::-1] + 0.3 * axis
    axis = axis / np.linalg.norm(axis)
    along = points @ axis
    across = np.sqrt(np.maximum((points**2).sum(axis=-1) - along**2, 0.0))
    width = radius / stretch ** (1.0 / 3.0)
    rho = np.sqrt((along / (width * stretch)) ** 2 + (across / width) ** 2)
    rough = ndimage.gaussian_filter(rng.normal(size=rho.shape), 0.35 * radius / spacing, mode="nearest")
    rough *= 0.2 * radius / max(float(rough.std()), 1e-6)
    return region, (width * (1.0 - rho) + rough).astype(np.float32)  # type: ignore[return-value]


def _slope(values: NDArray[np.float32], place: tuple[int, int, int], axis: int) -> float:
    """Central difference along an axis, per voxel."""
    ends = []
    for step in (-2, 2):
        index = list(place)
        index[axis] = int(np.clip(index[axis] + step, 0, values.shape[axis] - 1))
        ends.append(float(values[tuple(index)]))
    return 0.25 * (ends[1] - ends[0])


def _removed(existing: NDArray[np.bool_], wanted: float) -> tuple[NDArray[np.float32], int]:
    """1 in the lesions that are taken away, the smallest first, the last one from its edge inwards."""
    labels, count = ndimage.label(existing)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    taken, done = np.zeros(existing.shape, bool), 0
    number = 0
    for label in 1 + np.argsort(sizes[1:], kind="stable"):
        rest = round(wanted) - done
        if rest <= 0:
            break
        one = labels == label
        if sizes[label] > rest:
            depth = ndimage.distance_transform_edt(one)
            order = np.flatnonzero(one)[np.argsort(depth[one], kind="stable")][:rest]
            one = np.zeros(existing.shape, bool)
            one.ravel()[order] = True
        taken |= one
        done += int(np.count_nonzero(one))
        number += 1
    return taken.astype(np.float32), number
