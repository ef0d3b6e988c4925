"""Scans of one head in several contrasts, on one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from SITTranslateLib.simulation.deformation import DeformationRange
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.simulation.pair import network_grid
from SITTranslateLib.simulation.rendering import clean_images, place
from SITTranslateLib.simulation.scanner import Scanner, draw_scanner
from SITTranslateLib.simulation.subject import Subject, plain_subject
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class SimulatedScans:
    """One head in several contrasts.

    Attributes:
        scans: as each scanner gives them, by contrast.
        clean: before blur, bias and noise.
        labels: on the same grid.
        scanners: settings by contrast.
    """

    scans: dict[str, Volume]
    clean: dict[str, Volume]
    labels: LabelMap
    scanners: dict[str, Scanner]


def simulate_contrasts(
    head: Subject | LabelMap,
    contrasts: Sequence[str],
    rng: np.random.Generator | int,
    *,
    grid: Grid | None = None,
    scanners: Mapping[str, Scanner] | str | None = "training",
    lesion_load: float = 0.0,
    deform: bool | DeformationRange = False,
    vary_tissue: bool = True,
    skull_strip: bool = False,
) -> SimulatedScans:
    """The same head in each contrast: same anatomy, tissues and texture, each with its own scanner.

    Args:
        head: a prepared subject, or a label map (whose own lesions are then drawn).
        contrasts: names of :data:`SITTranslateLib.simulation.contrast.SEQUENCES`.
        rng: generator or seed; the same seed gives the same bytes.
        grid: 2 mm about the brain if None.
        scanners: settings by contrast, the name of a range to draw each from, or None for ideal ones.
        lesion_load: mL of white-matter lesion.
        deform, vary_tissue, skull_strip: as for :func:`simulate_pair`.
    """
    rng = np.random.default_rng(rng)
    subject = plain_subject(head) if isinstance(head, LabelMap) else head
    grid = network_grid(subject.centre) if grid is None else grid
    settings = {
        name: (
            draw_scanner(scanners, rng) if isinstance(scanners, str) else (scanners or {}).get(name, Scanner())
        ).for_contrast(name)
        for name in contrasts
    }
    placed = place(subject, grid, rng, deform, lesions=lesion_load > 0)
    tissues = draw_tissues(rng if vary_tissue else None)
    clean, scans = {}, {}
    for name in contrasts:
        (image,) = clean_images(placed, name, tissues, settings[name], (lesion_load,), skull_strip)
        clean[name] = Volume(image, grid.affine, name)
        scans[name] = settings[name].acquire(clean[name], rng)
    return SimulatedScans(scans, clean, placed.labels, settings)


def simulate_scan(
    head: Subject | LabelMap,
    contrast: str = "T1w",
    scanner: Scanner | str | None = "training",
    rng: np.random.Generator | int = 0,
    **options: object,
) -> Volume:
    """One scan of a head; ``options`` as for :func:`simulate_contrasts`."""
    scanners = {contrast: scanner} if isinstance(scanner, Scanner) else scanner
    return simulate_contrasts(head, [contrast], rng, scanners=scanners, **options).scans[contrast]  # type: ignore[arg-type]
