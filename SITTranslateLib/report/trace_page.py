"""The report about a traced pair of images: one HTML file, pictures embedded, no downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.report.figures import Figure, expansion_extremes
from SITTranslateLib.report.page import COLUMNS, embedded, segment_rows, template
from SITTranslateLib.scene.headless.pictures import Picture
from SITTranslateLib.traceability.points import TracedPoint
from SITTranslateLib.traceability.tracing import PairTrace
from SITTranslateLib.volume import Volume

TEMPLATE = Path(__file__).with_name("trace.html")
SHARES: tuple[tuple[str, str, str], ...] = (
    ("source", "source", "the source as it lies"),
    ("contrast map", "contrast", "the change of contrast, a smooth map"),
    ("geometry", "geometry", "the motion"),
    ("rest", "rest", "not explained by the source"),
)
"""Part of the variance, its colour in the style, and what it is."""


def write_trace_report(path: Path, found: PairTrace, pictures: Sequence[Picture] = (), no_pictures: str = "") -> None:
    """Write the report.

    Args:
        path: the HTML file.
        found: what it is about.
        pictures: shown in this order, embedded.
        no_pictures: why there are none.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.write_text(trace_html(found, pictures, no_pictures), encoding="utf-8")
    except OSError as error:
        raise InputError(f"The report '{path.name}' cannot be written: {error.strerror}.") from error


def trace_html(found: PairTrace, pictures: Sequence[Picture] = (), no_pictures: str = "") -> str:
    """The page as text; the same inputs give the same text."""
    pair, table = found.translation, found.table
    return str(
        template(TEMPLATE).render(
            source=pair.source.name,
            translated=pair.translated.name,
            kind=found.kind,
            floor=found.floor_sentence(),
            structures=pair.known_structures,
            given=found.floor is None,
            verdict=table.verdict,
            reasons=table.reasons,
            figures=trace_figures(found),
            shares=[
                {"css": css, "percent": 100.0 * found.identity.shares[key], "meaning": meaning}
                for key, css, meaning in SHARES
            ],
            pictures=[(picture, [embedded(panel) for panel in picture.panels]) for picture in pictures],
            no_pictures=no_pictures,
            headings=[heading for heading, *_ in COLUMNS],
            segments=segment_rows(table),
            points=[_point(point) for point in found.points],
            provenance=_provenance(found),
        )
    )


def trace_figures(found: PairTrace) -> list[Figure]:
    """The key figures of a pair, each with its meaning."""
    whole, floor = found.table.whole, found.floor
    still = (
        ""
        if floor is None
        else f" Where nothing moves, an estimate for this kind of pair shows {floor.mean_mm:.2g} mm."
    )
    still_far = "" if floor is None else f" Where nothing moves: {floor.p95_mm:.2g} mm."
    word = "Given" if floor is None else "Estimated"
    listed = [
        Figure(f"{word} motion, mean", f"{whole['motion_mean_mm']:.2f} mm", f"Over the head.{still}"),
        Figure(
            f"{word} motion, 95 %", f"{whole['motion_p95_mm']:.2f} mm", f"5 % of the head moved farther.{still_far}"
        ),
        Figure(
            "Not explained by the source",
            f"{whole['unexplained_percent']:.2g} % of the voxels",
            "Content that neither motion nor contrast of the source explains.",
        ),
        Figure(
            "Folded voxels",
            f"{whole['folded_percent']:.2g} %",
            "Places where the motion turns the anatomy inside out; there must be none.",
            whole["folded_percent"] == 0.0,
        ),
        Figure(
            "There and back",
            f"{whole['inverse_residual_mm']:.3f} mm",
            "How far 95 of 100 points miss their start when traced forth and back at most; limit 0.1 mm.",
            whole["inverse_residual_mm"] <= 0.1,
        ),
    ]
    if (extremes := expansion_extremes(found.translation)) is not None:
        meaning = "How much tissue shrank or expanded in place (1st to 99th percentile inside the head; 1 is kept)."
        listed.append(Figure("Local volume", f"{extremes[0]:.2f} to {extremes[1]:.2f} times", meaning))
    return listed


def _point(point: TracedPoint) -> dict[str, str]:
    def place(values: Sequence[float]) -> str:
        return ", ".join(f"{value:.1f}" for value in values)

    return {
        "label": point.label,
        "source": place(point.source),
        "translated": place(point.translated) if point.traceable else "-",
        "distance": f"{point.motion_mm:.2f}" if point.traceable else "-",
        "residual": f"{point.residual_mm:.3f}" if point.traceable else "-",
        "said": "yes" if point.traceable else f"cannot be traced here: {point.reason}",
    }


def _provenance(found: PairTrace) -> list[tuple[str, str]]:
    pair = found.translation
    software = ", ".join(f"{name} {v}" for name, v in sorted(pair.provenance.software.items()))
    return [
        *_scan("Source", pair.source),
        *_scan("Traced image, on the source's grid", pair.translated),
        ("Field", f"{pair.field_origin.value}, {found.kind}"),
        ("Floor measured on", _floor(found)),
        *([("Software", software)] if software else []),
    ]


def _floor(found: PairTrace) -> str:
    floor = found.floor
    if floor is None:
        return "nothing: the motion was made by another program"
    error = "not recorded" if floor.error_mm is None else f"{floor.error_mm:.2g} mm"
    return f"{floor.pair}; where it moved, the mean error was {error}"


def _scan(role: str, scan: Volume) -> list[tuple[str, str]]:
    spacing = " x ".join(f"{s:.3g}" for s in scan.spacing)
    digest = hashlib.sha256(np.ascontiguousarray(scan.array).tobytes()).hexdigest()
    shape = " x ".join(str(n) for n in scan.shape[::-1])
    return [(role, f"{scan.name}: {shape} voxels of {spacing} mm"), (f"{role}, SHA-256 of its voxels", digest)]
