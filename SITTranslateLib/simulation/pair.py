"""Pairs of scans with known displacement and intensity change.

The truth is exact by construction: ``clean_target(y) = (clean_source + d)(y + u(y))`` with ``u = exp(-v) - id``
integrated on the velocity's own grid, as a model does it. The scanner comes afterwards, with the same settings and
independent noise for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.simulation.deformation import DeformationRange
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.simulation.rendering import clean_images, place
from SITTranslateLib.simulation.scanner import Scanner, draw_scanner
from SITTranslateLib.simulation.subject import Subject, brain_mask
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.volume import Grid, VectorField, Volume

NETWORK_SHAPE = (96, 112, 96)
NETWORK_SPACING_MM = 2.0
CHANGE_SHARE = 0.02
CT_REFERENCE_HU = 100.0


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
    def brain_mask(self) -> NDArray[np.bool_]:
        """Brain with its ventricles and a thin rim of CSF, on the source grid."""
        return brain_mask(self.labels)

    @cached_property
    def change_mask(self) -> NDArray[np.bool_]:
        """Mask where the noise-free images differ by more than 2 % of the white-matter signal (2 HU)."""
        difference = np.abs(self.clean_target.array - self.clean_source.array)
        return np.asarray(difference > CHANGE_SHARE * self.reference)


def network_grid(centre: NDArray[np.float64], spacing: float = NETWORK_SPACING_MM) -> Grid:
    """Axis-aligned grid of 192 x 224 x 192 mm (S, A, R) about a point in RAS mm."""
    shape = tuple(round(n * NETWORK_SPACING_MM / spacing) for n in NETWORK_SHAPE)
    return Grid.centred(centre, shape, spacing)  # type: ignore[arg-type]


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
    scanner = scanner.for_contrast(contrast)
    grid = network_grid(subject.centre) if grid is None else grid
    head = place(subject, grid, rng, deform, lesions=lesion_load > 0 or lesion_change > 0)
    tissues = draw_tissues(rng if vary_tissue else None)
    loads = (lesion_load, lesion_load + lesion_change)
    before, after = clean_images(head, contrast, tissues, scanner, loads, skull_strip)
    clean_source = Volume(before, grid.affine, "source")
    change = Volume(after - before, grid.affine, "intensity change")
    velocity = VectorField(head.deformation.velocity.array * np.float32(age_change / 10.0), head.deformation.affine)
    sampling = fields.resample_field(fields.exponential(velocity, -1.0), grid)
    clean_target = Volume(clean_source.array + change.array, grid.affine, "target")
    if age_change != 0:
        clean_target = fields.warp(clean_target, sampling)
    return SimulatedPair(
        source=scanner.acquire(clean_source, rng),
        target=scanner.acquire(clean_target, rng),
        clean_source=clean_source,
        clean_target=clean_target,
        velocity=velocity,
        sampling=sampling,
        intensity_change=change,
        labels=head.labels,
        attributes={"age": float(age_change), "lesions": float(lesion_change)},
        lesion_load=float(lesion_load),
        scanner=scanner,
        reference=CT_REFERENCE_HU if scanner.hounsfield else scanner.gain,
    )
