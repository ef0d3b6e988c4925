"""The report as one HTML file: pictures embedded, no downloads, readable on a phone and in print."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from SITTranslateLib.attributes import AttributeRole
from SITTranslateLib.errors import InputError
from SITTranslateLib.packages.card import ModelCard, in_words
from SITTranslateLib.report.figures import expansion_extremes, field_words, figures
from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.scene.headless.pictures import Picture
from SITTranslateLib.traceability.table import SegmentTable
from SITTranslateLib.translate.verification import Verification
from SITTranslateLib.translation import Translation

TEMPLATE = Path(__file__).with_name("report.html")
STYLE = Path(__file__).with_name("style.css")
#: Columns of the segment table: heading, attribute of a row, format, factor.
COLUMNS: tuple[tuple[str, str, str, float], ...] = (
    ("Volume before (ml)", "volume_before_mm3", ".2f", 1e-3),
    ("Volume after (ml)", "volume_after_mm3", ".2f", 1e-3),
    ("Change (%)", "change_percent", "+.1f", 1.0),
    ("Change by J (%)", "jacobian_change_percent", "+.1f", 1.0),
    ("Mean motion (mm)", "motion_mean_mm", ".2f", 1.0),
    ("95 % below (mm)", "motion_p95_mm", ".2f", 1.0),
    ("Intensity before", "intensity_before", ".4g", 1.0),
    ("Intensity after", "intensity_after", ".4g", 1.0),
    ("Added intensity", "intensity_change", "+.3g", 1.0),
)


def write_report(
    path: Path,
    translation: Translation,
    verification: Verification,
    pictures: Sequence[Picture] = (),
    table: SegmentTable | None = None,
    card: ModelCard | None = None,
) -> None:
    """Write the report.

    Args:
        path: the HTML file.
        translation: what it is about.
        verification: what a second computation found.
        pictures: shown in this order, embedded.
        table: the segment table, if there are segments.
        card: of the model, for its intended use and limits.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.write_text(report_html(translation, verification, pictures, table, card), encoding="utf-8")
    except OSError as error:
        raise InputError(f"The report '{path.name}' cannot be written: {error.strerror}.") from error


def report_html(
    translation: Translation,
    verification: Verification,
    pictures: Sequence[Picture] = (),
    table: SegmentTable | None = None,
    card: ModelCard | None = None,
) -> str:
    """The page as text; the same inputs give the same text."""
    page = template(TEMPLATE)
    provenance = translation.provenance
    words = in_words(provenance.attributes, () if card is None else card.attributes)
    known = provenance.with_roles(AttributeRole.KNOWN)
    asked = [f"{name.replace('_', ' ')} {word}" for name, word in words if name not in known]
    asked += [f"from {name.replace('_', ' ')} {value:g}" for name, value in known.items()]
    return page.render(
        synthetic=SYNTHETIC,
        source=translation.source.name,
        model=card.title if card is not None else provenance.package,
        asked=", ".join(asked) or "nothing in particular (the model's defaults)",
        structures=translation.known_structures,
        field=field_words(translation.field_origin),
        origin=translation.field_origin.value,
        status=verification.status.value,
        verdict=verification.verdict.partition(": ")[2],
        figures=figures(translation, verification),
        extremes=expansion_extremes(translation),
        pictures=[(picture, [embedded(panel) for panel in picture.panels]) for picture in pictures],
        headings=[heading for heading, *_ in COLUMNS],
        segments=segment_rows(table),
        trace=None if table is None else (table.verdict, table.reasons),
        provenance=_provenance(translation),
        forced=provenance.forced,
        warnings=provenance.warnings,
        intended_use=card.intended_use if card is not None else "",
        limits=list(card.limits) if card is not None else [],
    )


def template(path: Path) -> Any:
    """A page to fill: everything put into it is escaped, the style is in it, and a missing value is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(path.parent, encoding="utf-8"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["style"] = Markup(STYLE.read_text(encoding="utf-8"))
    return environment.get_template(path.name)


def segment_rows(table: SegmentTable | None) -> list[dict[str, Any]]:
    """The page's row for each segment: name, cells under :data:`COLUMNS`, verdict and reason."""
    if table is None:
        return []
    rows = []
    for row in table.rows:
        cells = []
        for heading, name, shape, factor in COLUMNS:
            value = getattr(row, name)
            cells.append((heading, "-" if value is None else format(value * factor, shape)))
        rows.append(
            {
                "name": row.name or f"Label {row.label}",
                "cells": cells,
                "verdict": row.verdict,
                "reason": row.note or row.reason,
            }
        )
    return rows


def _provenance(translation: Translation) -> list[tuple[str, str]]:
    provenance = translation.provenance
    source = translation.source
    known = provenance.with_roles(AttributeRole.KNOWN)
    requested = {k: v for k, v in provenance.attributes.items() if k not in known}
    spacing = " x ".join(f"{s:.3g}" for s in source.spacing)
    listed = [
        ("Scan", f"{source.name}: {' x '.join(str(n) for n in source.shape[::-1])} voxels of {spacing} mm"),
        ("Scan, SHA-256", provenance.source_sha256),
        ("Model", f"{provenance.package} {provenance.version} (system {provenance.system})"),
        ("Model, SHA-256", provenance.sha256),
        ("Asked for", ", ".join(f"{k} = {v:g}" for k, v in requested.items()) or "defaults"),
        *((f"Known of the scan: {k}", f"{v:g}") for k, v in known.items()),
        ("Field", translation.field_origin.value),
        ("Seed", str(provenance.seed)),
        ("Precision", provenance.precision),
        ("Computed on", f"{provenance.device}, {provenance.seconds:.1f} s"),
        ("Made", provenance.created),
    ]
    if provenance.ensemble > 1:
        listed.append(("Uncertainty", f"standard deviation of {provenance.ensemble} answers"))
    if provenance.software:
        listed.append(("Software", ", ".join(f"{name} {v}" for name, v in sorted(provenance.software.items()))))
    return listed


def embedded(panel: bytes) -> str:
    """A PNG as the address of an image, so that the page fetches nothing."""
    return "data:image/png;base64," + base64.b64encode(panel).decode("ascii")
