"""Pairs of simulated scans whose motion is known: what estimated fields are calibrated and measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.simulation.deformation import DeformationRange
from SITTranslateLib.simulation.pair import NETWORK_SPACING_MM, network_grid
from SITTranslateLib.simulation.rendering import PlacedHead, clean_images, place
from SITTranslateLib.simulation.scanner import draw_scanner
from SITTranslateLib.simulation.subject import Subject, brain_mask
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.volume import VectorField, Volume


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Two scans of a head, the second moved (and perhaps of another contrast) by a known field.

    Attributes:
        source, translated: as two scanners give them: own bias, blur and noise each.
        motion, sampling: the true field, mm RAS, on the grid of both.
        brain: the brain and its ventricles in the source ``(K, J, I)``.
        contrasts: of the source and the translated scan.
        peak_mm: largest motion in the brain.
        kind: ``still``, ``smooth`` (random) or ``ageing``.
    """

    source: Volume
    translated: Volume
    motion: VectorField
    sampling: VectorField
    brain: NDArray[np.bool_]
    contrasts: tuple[str, str]
    peak_mm: float
    kind: str

    def error(self, motion: VectorField) -> NDArray[np.float64]:
        """Length of the error (mm) of an estimated motion at every voxel of the brain ``(N,)``."""
        return np.linalg.norm(motion.array[self.brain].astype(np.float64) - self.motion.array[self.brain], axis=1)


def known_pair(
    subject: Subject,
    contrasts: tuple[str, str],
    peak_mm: float,
    seed: int,
    *,
    kind: str = "smooth",
    skull_strip: bool = False,
    lesion_load_ml: float = 5.0,
    spacing: float = NETWORK_SPACING_MM,
) -> KnownPair:
    """Simulate one pair; the same arguments give the same bytes.

    Args:
        subject: a prepared head; who it is varies with the seed.
        contrasts: of the source and the translated scan.
        peak_mm: largest motion in the brain; 0 moves nothing.
        seed: of anatomy, field, tissues, scanners and noise.
        kind: ``smooth`` for a random field (smooth to 9 to 18 mm) or ``ageing`` for that of an older brain.
        skull_strip: both scans without skull.
        lesion_load_ml: white-matter lesions in both.
        spacing: of both scans, mm.
    """
    rng = np.random.default_rng(seed)
    placing = DeformationRange(rotation_degrees=8.0, shift_mm=4.0)
    head = place(subject, network_grid(subject.centre, spacing), rng, placing)
    brain = brain_mask(head.labels)
    velocity = _velocity(head, brain, peak_mm, kind, rng)
    motion, sampling = (fields.resample_field(fields.exponential(velocity, time), head.grid) for time in (1, -1))
    tissues = draw_tissues(rng)
    scans = []
    for index, contrast in enumerate(contrasts):
        scanner = draw_scanner("training", rng).for_contrast(contrast)
        (image,) = clean_images(head, contrast, tissues, scanner, (lesion_load_ml,), skull_strip)
        clean = Volume(image, head.grid.affine, f"{contrast} {'translated' if index else 'source'}")
        scans.append(scanner.acquire(fields.warp(clean, sampling) if index and peak_mm > 0 else clean, rng))
    largest = float(motion.magnitude()[brain].max())
    return KnownPair(scans[0], scans[1], motion, sampling, brain, contrasts, largest, "still" if peak_mm == 0 else kind)


def _velocity(
    head: PlacedHead, brain: NDArray[np.bool_], peak_mm: float, kind: str, rng: np.random.Generator
) -> VectorField:
    coarse = head.deformation.velocity
    if kind == "ageing":
        velocity = coarse
    else:
        noise = VectorField(rng.standard_normal(coarse.array.shape, dtype=np.float32), coarse.affine)
        velocity = fields.band_limit(noise, float(rng.uniform(9.0, 18.0)))
    # The peak of the velocity is close to that of the motion as long as the field is smooth.
    largest = float(fields.resample_field(velocity, head.grid).magnitude()[brain].max())
    return VectorField(velocity.array * np.float32(peak_mm / max(largest, 1e-6)), velocity.affine)
