"""Ageing of a head: a known stationary velocity, mm per decade, RAS, of the MOTION.

Inside the skull the velocity is the gradient of a potential whose Laplacian is the rate of volume change of each
structure (per cent a year, published); nothing flows through the inner skull, and the outer CSF takes what the
structures near it give, so that the volume inside the skull is constant (Monro-Kellie doctrine: Mokri, Neurology
2001;56:1746). The field is then smoothed to its band limit. Smoothing mixes neighbouring structures, so the sources
are corrected until the volumes realised by ``exp(v)`` over one decade meet their targets.

Sources (numbers as their abstracts give them; what is chosen says so in :data:`RATES`):
    Resnick et al., J Neurosci 2003;23:3295 (92 people of 59 to 85 years: grey -2.4, white -3.1, ventricles +1.4 mL a
        year; very healthy -1.3, -2.4, +1.2).
    Fjell et al., J Neurosci 2009;29:15223 (142 people of 60 to 91 years: cortex about -0.5 % a year; every subcortical
        and ventricular structure changes but the caudate and the fourth ventricle).
    Raz et al., Cereb Cortex 2005;15:1676 and NeuroImage 2010;51:501. Smith et al., AIMS Neurosci 2020;7:120.
    Hedman et al., Hum Brain Mapp 2012;33:1987 (whole brain: more than -0.5 % a year after 60; a check on the sum).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.labels import BRAIN_LABELS, OUTER_CSF, LabelMap
from SITTranslateLib.volume import Grid, VectorField

SOLVER_SPACING_MM = 2.0
BAND_LIMIT_MM = 3.0
MARGIN_MM = 12.0
NEIGHBOURHOOD_MM = 12.0
"""How far, as a Gaussian sigma, the outer CSF reaches for the volume that structures give."""
LARGEST_CORRECTION = 0.6
"""How far sources may be from their targets (log volume per decade) to make up for the smoothing; at least twice."""


@dataclass(frozen=True)
class Rate:
    """Volume change of a structure: per cent a year, its labels and where the number comes from."""

    percent_per_year: float
    labels: tuple[int, ...]
    source: str

    @property
    def per_decade(self) -> float:
        """Logarithm of the volume ratio over ten years."""
        return 10.0 * float(np.log1p(self.percent_per_year / 100.0))


RATES: dict[str, Rate] = {
    "lateral ventricles": Rate(3.0, (4, 5, 43, 44), "Resnick 2003: +1.2 to 1.4 mL a year, of about 40 mL"),
    "third ventricle": Rate(2.0, (14, 72), "Fjell 2009: grows; number chosen"),
    "fourth ventricle": Rate(0.0, (15,), "Fjell 2009: no significant change"),
    "hippocampus": Rate(-0.8, (17, 53), "Raz 2005 (substantial), Smith 2020 (-0.5): number chosen between"),
    "amygdala": Rate(-0.8, (18, 54), "Fjell 2009: shrinks; number chosen as hippocampus"),
    "cortex": Rate(-0.5, (3, 42), "Fjell 2009: about -0.5"),
    "white matter": Rate(-0.5, (2, 41, 25, 57), "Resnick 2003: -2.4 to -3.1 mL a year, of about 450 mL"),
    "thalamus": Rate(-0.5, (10, 49), "Fjell 2009: shrinks; number chosen"),
    "caudate": Rate(-0.4, (11, 50), "Raz 2005 (substantial), Fjell 2009 (none): number chosen between"),
    "putamen": Rate(-0.5, (12, 51, 26, 58, 13, 52), "Fjell 2009: shrinks; number chosen"),
    "cerebellum": Rate(-0.5, (7, 8, 46, 47), "Raz 2005 (substantial): number chosen"),
    "brain stem": Rate(-0.1, (16, 28, 60), "Raz 2010 (pons: none); number chosen"),
}
"""Targets; the outer CSF has none: it takes what the others leave."""


@dataclass(frozen=True, eq=False)
class Ageing:
    """The velocity of ageing and how well it keeps to its targets.

    Attributes:
        velocity: mm per decade, RAS, 2 mm grid around the cavity; zero outside.
        targets, realised: per cent a year by structure; ``realised`` over one decade of ``exp(v)``, outer CSF too.
    """

    velocity: VectorField
    targets: dict[str, float]
    realised: dict[str, float]


def cavity_mask(labels: LabelMap) -> NDArray[np.bool_]:
    """Brain and CSF inside the skull, holes closed, without the spinal canal; on the map's grid."""
    brain = labels.mask(*BRAIN_LABELS)
    inside = brain | labels.mask(OUTER_CSF, 30, 62, 85)
    spacing = tuple(reversed(labels.grid.spacing))
    near = ndimage.distance_transform_edt(~brain, sampling=spacing) < 25.0
    closed = ndimage.binary_closing(np.pad(inside & near, 2), iterations=2)[2:-2, 2:-2, 2:-2]
    return largest_part(closed)


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest face-connected part of a mask."""
    parts, count = ndimage.label(mask)
    return mask if count <= 1 else np.asarray(parts == int(np.argmax(np.bincount(parts.ravel())[1:])) + 1)


def pooled(mask: NDArray, factor: int) -> NDArray[np.float32]:
    """Mean over blocks of ``factor`` voxels along each axis; the shape must divide."""
    k, j, i = (n // factor for n in mask.shape)
    blocks = mask.reshape(k, factor, j, factor, i, factor)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def solver_box(labels: LabelMap) -> tuple[LabelMap, int]:
    """The map cut to the brain with a margin, its shape divisible by the pooling factor that gives about 2 mm."""
    spacing = labels.grid.spacing
    factor = max(1, round(SOLVER_SPACING_MM / max(spacing)))
    margin = [int(np.ceil(MARGIN_MM / s)) for s in reversed(spacing)]
    array, affine = labels.array, labels.affine.copy()
    brain = labels.mask(*BRAIN_LABELS, OUTER_CSF)
    if not labels.mask(*BRAIN_LABELS).any():
        raise InputError(
            "The label map holds no brain: give a head with FreeSurfer's brain labels (2, 3, 41, 42, ...)."
        )
    low, size = [], []
    for axis in range(3):
        where = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        low.append(int(where[0]) - margin[axis])
        length = int(where[-1]) + 1 + margin[axis] - low[-1]
        size.append(-(-length // factor) * factor)
    before = [max(0, -a) for a in low]
    after = [max(0, a + n - m) for a, n, m in zip(low, size, array.shape, strict=True)]
    array = np.pad(array, list(zip(before, after, strict=True)))
    start = [a + b for a, b in zip(low, before, strict=True)]
    array = array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    affine[:3, 3] = labels.grid.to_world(np.array(low[::-1], dtype=float))
    return LabelMap(array, affine, labels.name), factor


def pooled_grid(grid: Grid, factor: int) -> Grid:
    """The grid of block means."""
    affine = grid.affine.copy()
    affine[:3, :3] *= factor
    affine[:3, 3] = grid.to_world(np.full(3, (factor - 1) / 2.0))
    return Grid(tuple(n // factor for n in grid.shape), affine)  # type: ignore[arg-type]


def ageing(labels: LabelMap, rates: dict[str, Rate] | None = None, corrections: int = 8) -> Ageing:
    """The ageing velocity of a head (deterministic).

    Args:
        labels: a head with axes along +R, +A, +S.
        rates: target of each structure; :data:`RATES` if None.
        corrections: how many times the sources are corrected for the smoothing.
    """
    rates = RATES if rates is None else rates
    box, factor = solver_box(labels)
    grid = pooled_grid(box.grid, factor)
    cavity = largest_part(pooled(cavity_mask(box), factor) >= 0.5)
    shares = {name: pooled(box.mask(*rate.labels), factor) * cavity for name, rate in rates.items()}
    shares = {name: share for name, share in shares.items() if share.sum() > 0}
    rest = np.clip(cavity - sum(shares.values()), 0.0, 1.0).astype(np.float32)
    volumes = {name: float(share.sum()) for name, share in shares.items()}
    targets = {name: rates[name].per_decade for name in shares}
    poisson = _Poisson(cavity, grid.spacing)
    source_rates = dict(targets)
    best: tuple[float, VectorField, dict[str, float]] | None = None
    outer_csf = _OuterFluid(rest, grid)
    for _ in range(corrections + 1):
        source = sum(np.float32(source_rates[name]) * share for name, share in shares.items())
        velocity = _smooth_velocity(poisson, source + outer_csf.taking(-np.asarray(source)), grid)
        jacobian = fields.jacobian(fields.exponential(velocity)).array
        realised = {name: float(np.log((share * jacobian).sum() / volumes[name])) for name, share in shares.items()}
        error = _error(realised, targets)
        if best is None or error < best[0]:
            outer = float(np.log((rest * jacobian).sum() / rest.sum()))
            best = (error, velocity, realised | {"outer CSF": outer})
        for name, target in targets.items():
            wanted = source_rates[name] + target - realised[name]
            # A structure thinner than the band limit cannot meet its target alone: bound what it may ask for.
            bound = max(LARGEST_CORRECTION, 2.0 * abs(target))
            source_rates[name] = float(np.clip(wanted, target - bound, target + bound))
    assert best is not None
    per_year = {name: 100.0 * float(np.expm1(rate / 10.0)) for name, rate in best[2].items()}
    return Ageing(best[1], {name: rates[name].percent_per_year for name in shares}, per_year)


def _error(realised: dict[str, float], targets: dict[str, float]) -> float:
    """Error of the structures against their targets; the lateral ventricles count as much as all others together."""
    errors = {name: abs(realised[name] - target) for name, target in targets.items()}
    return float(np.mean(list(errors.values()))) + errors.get("lateral ventricles", 0.0)


def _smooth_velocity(poisson: _Poisson, source: NDArray[np.float32], grid: Grid) -> VectorField:
    by_axis = poisson.gradient_of_solution(source)
    sigma = [BAND_LIMIT_MM / s for s in reversed(grid.spacing)]
    smooth = [ndimage.gaussian_filter(component, sigma, mode="constant", truncate=3.0) for component in by_axis]
    # The axes are along R, A, S after reading; a rotated grid still gives the right vector through its unit axes.
    unit = grid.axes / np.linalg.norm(grid.axes, axis=0)
    stacked = np.stack(smooth, axis=-1) @ unit.T.astype(np.float32)
    return VectorField(stacked, grid.affine)


class _OuterFluid:
    """The outer CSF takes what the structures give, each from its neighbourhood.

    Shared out evenly, the large cisterns below the brain would fill and push the brain stem backwards by millimetres.
    """

    def __init__(self, share: NDArray[np.float32], grid: Grid) -> None:
        self._share = share
        self._sigma = [NEIGHBOURHOOD_MM / s for s in reversed(grid.spacing)]
        near = self._spread(share)
        self._near = np.maximum(near, 0.01 * float(near.max()))

    def taking(self, given: NDArray) -> NDArray[np.float32]:
        """Source in the outer CSF that takes the volume ``given`` by the voxels; the sums agree.

        What shrinks is taken from near by; the growth of the ventricles lessens the intake everywhere alike, as the
        brain moves outwards as a whole.
        """
        lost = np.maximum(given, 0.0)
        taken: NDArray = self._share * self._spread(lost / self._near)
        return np.asarray(taken * (float(given.sum()) / float(taken.sum())), dtype=np.float32)

    def _spread(self, values: NDArray) -> NDArray[np.float32]:
        return np.asarray(ndimage.gaussian_filter(values, self._sigma, mode="constant", truncate=2.5))


class _Poisson:
    """``laplace(phi) = s`` on a mask with zero flux through its boundary; orthogonal axes."""

    def __init__(self, mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> None:
        self._mask = mask
        self._spacing = spacing
        index = np.full(mask.shape, -1, dtype=np.int32)
        count = int(mask.sum())
        index[mask] = np.arange(count, dtype=np.int32)
        rows, columns, weights = [], [], []
        for axis, step in zip((2, 1, 0), spacing, strict=True):
            first, second = np.moveaxis(index, axis, 0)[:-1], np.moveaxis(index, axis, 0)[1:]
            both = (first >= 0) & (second >= 0)
            rows.append(first[both])
            columns.append(second[both])
            weights.append(np.full(int(both.sum()), 1.0 / step**2))
        row, column, weight = (np.concatenate(part) for part in (rows, columns, weights))
        links = sparse.coo_matrix((weight, (row, column)), shape=(count, count)).tocsr()
        links = links + links.T
        degree = np.asarray(links.sum(axis=1)).ravel()
        self._matrix = sparse.diags(degree) - links
        self._inverse_diagonal = sparse.diags(1.0 / np.maximum(degree, 1e-9))
        self._last: NDArray[np.float64] | None = None

    def gradient_of_solution(self, source: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Components along (i, j, k) in mm, each ``(K, J, I)``, zero outside the mask."""
        right = source[self._mask].astype(np.float64)
        right -= right.mean()
        solution, _ = cg(self._matrix, -right, x0=self._last, rtol=1e-4, maxiter=3000, M=self._inverse_diagonal)
        self._last = solution
        potential = np.zeros(self._mask.shape)
        potential[self._mask] = solution
        components = []
        for axis, step in zip((2, 1, 0), self._spacing, strict=True):
            inside = np.moveaxis(self._mask, axis, 0)
            value = np.moveaxis(potential, axis, 0)
            face = np.where(inside[1:] & inside[:-1], (value[1:] - value[:-1]) / step, 0.0)
            centre = np.zeros_like(value)
            centre[1:] += 0.5 * face
            centre[:-1] += 0.5 * face
            components.append(np.moveaxis(centre, 0, axis).astype(np.float32))
        return components
