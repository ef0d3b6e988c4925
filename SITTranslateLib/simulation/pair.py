"""Pairs of scans with known displacement and intensity change.

The truth is exact by construction: ``clean_target(y) = (clean_source + d)(y + u(y))`` with ``u = exp(-v) - id``
integrated on the velocity's own grid, as a model does it. The scanner comes afterwards, with the same settings and
independent noise for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.simulation.contrast import signal_table, texture_table
from SITTranslateLib.simulation.deformation import DeformationRange, no_deformation, random_deformation
from SITTranslateLib.simulation.labels import WHITE_MATTER, LabelMap, lookup
from SITTranslateLib.simulation.lesions import lesion_share
from SITTranslateLib.simulation.scanner import Scanner, draw_scanner
from SITTranslateLib.simulation.subject import Subject, brain_mask, mirrored
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.volume import Grid, VectorField, Volume

NETWORK_SHAPE = (96, 112, 96)
NETWORK_SPACING_MM = 2.0
COARSENING = 2
CHANGE_SHARE = 0.02


@dataclass(eq=False)
class SimulatedPair:
    """A scan and the same head later, with everything that changed.

    All on one grid except ``velocity``, which lies on the grid coarsened by two.

    Attributes:
        source, target: as the scanner gives them (same settings, independent noise).
        clean_source, clean_target: before blur, bias and noise; native units.
        velocity: of the motion for the age change asked for, mm per unit time, RAS.
        sampling: ``u = exp(-velocity) - id``, mm, where each target voxel comes from.
        intensity_change: ``d`` in native units on the source grid; exactly zero away from changed lesions.
        labels: of the source.
        attributes: ``age`` in years and ``lesions`` in mL: what changed.
        lesion_load: mL of lesion in the source.
        scanner: settings of both scans.
    """

    source: Volume
    target: Volume
    clean_source: Volume
    clean_target: Volume
    velocity: VectorField
    sampling: VectorField
    intensity_change: Volume
    labels: LabelMap
    attributes: dict[str, float]
    lesion_load: float
    scanner: Scanner
    reference: float

    @cached_property
    def motion(self) -> VectorField:
        """``exp(velocity) - id`` on the source grid, mm: where each source point goes."""
        return fields.resample_field(fields.exponential(self.velocity), self.source.grid)

    @cached_property
    def jacobian(self) -> Volume:
        """Of the motion, on the source grid."""
        return fields.jacobian(self.motion)

    @cached_property
    def target_labels(self) -> LabelMap:
        """The labels moved by the motion: read, nearest, at ``y + u(y)``."""
        moved = fields.warp(self.labels.as_volume(), self.sampling, mode="nearest")
        return LabelMap(np.rint(moved.array).astype(np.int16), self.labels.affine, self.labels.name)

    @cached_property
    def brain_mask(self) -> NDArray[np.bool_]:
        """Brain with its ventricles and a thin rim of CSF, on the source grid."""
        return brain_mask(self.labels)

    @cached_property
    def change_mask(self) -> NDArray[np.bool_]:
        """Where the clean images differ by more than 2 % of the white-matter signal."""
        difference = np.abs(self.clean_target.array - self.clean_source.array)
        return np.asarray(difference > CHANGE_SHARE * self.reference)


def network_grid(centre: NDArray[np.float64], spacing: float = NETWORK_SPACING_MM) -> Grid:
    """Axis-aligned grid of 192 x 224 x 192 mm (S, A, R) about a point in RAS mm."""
    shape = tuple(round(n * NETWORK_SPACING_MM / spacing) for n in NETWORK_SHAPE)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = centre - spacing * (np.array(shape[::-1]) - 1) / 2.0
    return Grid(shape, affine)  # type: ignore[arg-type]


def simulate_pair(
    subject: Subject,
    rng: np.random.Generator | int,
    *,
    grid: Grid | None = None,
    age_change: float = 0.0,
    lesion_load: float = 0.0,
    lesion_change: float = 0.0,
    contrast: str = "T1w",
    scanner: Scanner | str | None = "training",
    deform: bool | DeformationRange = True,
    vary_tissue: bool = True,
    skull_strip: bool = False,
) -> SimulatedPair:
    """A scan of a subject and the same head after a known change.

    Args:
        subject: a prepared head.
        rng: generator or seed; the same seed gives the same bytes.
        grid: of both scans; 2 mm, 96 x 112 x 96 about the brain if None.
        age_change: years; negative is younger.
        lesion_load: mL of white-matter lesion in the source.
        lesion_change: mL more (or fewer) in the target.
        contrast: one of :data:`SITTranslateLib.simulation.contrast.SEQUENCES`.
        scanner: settings, or the name of a range to draw them from; an ideal scanner if None.
        deform: vary the anatomy (True for the default range).
        vary_tissue: draw tissue properties; False takes the means.
        skull_strip: keep the brain only.
    """
    rng = np.random.default_rng(rng)
    if isinstance(scanner, str):
        scanner = draw_scanner(scanner, rng)
    scanner = Scanner() if scanner is None else scanner
    grid = network_grid(subject.centre) if grid is None else grid
    coarse = grid.coarsened(COARSENING)
    if deform is False:
        placed = no_deformation(subject, coarse)
    else:
        limits = DeformationRange() if deform is True else deform
        placed = random_deformation(subject, coarse, rng, limits)
    velocity = VectorField(placed.velocity.array * np.float32(age_change / 10.0), coarse.affine)
    points = _points_in_subject(placed.displacement, grid)

    labels = _read_labels(subject.labels, points, placed.flipped, grid)
    tissues = draw_tissues(rng if vary_tissue else None)
    signals = signal_table(contrast, tissues)
    signal = _read_blurred(signals[subject.labels.array], subject.labels.grid, points, grid)
    white = _read_blurred(
        lookup(dict.fromkeys(WHITE_MATTER, 1.0), np.float32)[subject.labels.array], subject.labels.grid, points, grid
    )
    potential = _read(subject.lesion_potential.array, subject.lesion_potential.grid, points)
    before = lesion_share(potential, white, grid.voxel_volume / 1000.0, lesion_load)
    after = lesion_share(potential, white, grid.voxel_volume / 1000.0, lesion_load + lesion_change)

    is_ct = contrast == "CT"
    texture = _texture(grid, rng) * texture_table(tissues)[labels.array]
    contrast_of_lesion = np.float32(signals[25] - signals[2])
    reference = float(signals[2])
    strip = brain_mask(labels).astype(np.float32) if skull_strip else np.float32(1.0)

    def native(share: NDArray[np.float32]) -> NDArray[np.float32]:
        value = signal + contrast_of_lesion * share
        if is_ct:
            return np.asarray(value + 1000.0 * 0.02 * texture * (value > -200))
        return np.asarray(scanner.transfer(value * (1 + texture), reference) * strip, dtype=np.float32)

    clean_source = Volume(native(before), grid.affine, "source")
    changed = np.where(before == after, clean_source.array, native(after))
    change = Volume(changed - clean_source.array, grid.affine, "intensity change")
    sampling = fields.resample_field(fields.exponential(velocity, -1.0), grid)
    clean_target = fields.warp(Volume(clean_source.array + change.array, grid.affine, "target"), sampling)
    return SimulatedPair(
        source=scanner.acquire(clean_source, rng),
        target=scanner.acquire(clean_target, rng),
        clean_source=clean_source,
        clean_target=clean_target,
        velocity=velocity,
        sampling=sampling,
        intensity_change=change,
        labels=labels,
        attributes={"age": float(age_change), "lesions": float(lesion_change)},
        lesion_load=float(lesion_load),
        scanner=scanner,
        reference=reference if is_ct else scanner.gain,
    )


def _points_in_subject(displacement: VectorField, grid: Grid) -> NDArray[np.float32]:
    """RAS mm in the subject of every voxel of the grid, ``(K, J, I, 3)``."""
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid.shape), indexing="ij")
    points = np.stack((i, j, k), axis=-1) @ grid.axes.T.astype(np.float32) + grid.affine[:3, 3].astype(np.float32)
    return np.asarray(points + fields.resample_field(displacement, grid).array)


def _indices(points: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    inverse = np.linalg.inv(grid.axes)
    offset = (inverse @ grid.affine[:3, 3]).astype(np.float32)
    return np.asarray(points @ inverse.T.astype(np.float32) - offset)


def _read(array: NDArray[np.float32], grid: Grid, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear values at points; the border is repeated outside."""
    indices = torch.from_numpy(_indices(points, grid))[None]
    return tensors.sample(torch.from_numpy(np.ascontiguousarray(array))[None, None], indices)[0, 0].numpy()


def _read_blurred(
    array: NDArray[np.float32], source: Grid, points: NDArray[np.float32], grid: Grid
) -> NDArray[np.float32]:
    """Values averaged over about one voxel of ``grid`` (partial volume), then read at the points."""
    if min(grid.spacing) >= 1.5 * max(source.spacing):
        for axis in range(3):
            array = _three_point_mean(array, axis)
    return _read(array, source, points)


def _three_point_mean(array: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Weights 1/4, 1/2, 1/4: the mean over two voxels read with linear interpolation."""
    moved = np.moveaxis(array, axis, 0)
    out = moved.copy()
    out[1:-1] *= np.float32(0.5)
    out[1:-1] += np.float32(0.25) * moved[:-2]
    out[1:-1] += np.float32(0.25) * moved[2:]
    return np.moveaxis(out, 0, axis)


def _read_labels(labels: LabelMap, points: NDArray[np.float32], flipped: bool, grid: Grid) -> LabelMap:
    """Nearest labels at points; air outside the map."""
    indices = np.rint(_indices(points, labels.grid)).astype(np.int32)
    sizes = np.array(labels.array.shape[::-1], dtype=np.int32)
    inside = ((indices >= 0) & (indices < sizes)).all(axis=-1)
    i, j, k = np.moveaxis(np.clip(indices, 0, sizes - 1), -1, 0)
    array = np.where(inside, labels.array[k, j, i], np.int16(0))
    return LabelMap(mirrored(array) if flipped else array, grid.affine, labels.name)


def _texture(grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise of unit variance, correlated over about 5 mm, bounded."""
    coarse = grid.coarsened(max(1, round(4.0 / grid.spacing[0])))
    noise = torch.from_numpy(rng.standard_normal(coarse.shape, dtype=np.float32))[None, None]
    smooth = functional.interpolate(noise, size=grid.shape, mode="trilinear", align_corners=True)[0, 0].numpy()
    return np.asarray(np.clip(smooth / smooth.std(), -2.5, 2.5), dtype=np.float32)
