"""The segment table as plain data: measures of each segment, and their verdict."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from SITTranslateLib.escaping import csv_cell

SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True)
class SegmentRow:
    """One segment before and after a translation; ``None`` where there is no figure, and ``note`` has the reason.

    Attributes:
        label: value of the segment in the label map.
        name: what the user calls it.
        voxels: voxels of the label map that carry the label.
        volume_before_mm3: volume in the source.
        volume_after_mm3: volume of the carried segment: its mask, linear, read at ``y + u(y)`` and summed.
        change_percent: of the two above.
        jacobian_volume_mm3: integral of the Jacobian of the motion over the segment; agrees with the volume after.
        jacobian_change_percent: change by that integral.
        motion_mean_mm, motion_p95_mm, motion_max_mm: length of the motion in the segment.
        motion_r_mm, motion_a_mm, motion_s_mm: mean motion vector (right, anterior, superior).
        jacobian_min, jacobian_mean, jacobian_p1: Jacobian of the motion; > 1 the anatomy expands.
        folded_percent: voxels whose Jacobian is <= 0.
        inverse_residual_mm: 95th percentile of the round trip ``x -> x + w -> back``.
        intensity_before: mean of the source in the segment.
        intensity_after: mean of the translated scan in the carried segment.
        intensity_change: mean change of the tissue itself, without the motion (source units).
        unexplained_percent: voxels with more new content than noise explains (see ``identity``).
        dice, hd95_mm: carried segment against a segmentation of the translated scan.
        verdict: ``traceable``, ``caution``, ``not traceable`` or ``no figure``.
        reason: why, in plain words.
        note: what could not be measured, and why.
    """

    label: int
    name: str
    voxels: int
    volume_before_mm3: float | None = None
    volume_after_mm3: float | None = None
    change_percent: float | None = None
    jacobian_volume_mm3: float | None = None
    jacobian_change_percent: float | None = None
    motion_mean_mm: float | None = None
    motion_p95_mm: float | None = None
    motion_max_mm: float | None = None
    motion_r_mm: float | None = None
    motion_a_mm: float | None = None
    motion_s_mm: float | None = None
    jacobian_min: float | None = None
    jacobian_mean: float | None = None
    jacobian_p1: float | None = None
    folded_percent: float | None = None
    inverse_residual_mm: float | None = None
    intensity_before: float | None = None
    intensity_after: float | None = None
    intensity_change: float | None = None
    unexplained_percent: float | None = None
    dice: float | None = None
    hd95_mm: float | None = None
    verdict: str = "no figure"
    reason: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain types, floats rounded to six significant digits."""
        return {key: rounded(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class SegmentTable:
    """All segments of one translation and the verdict on the whole of it.

    Attributes:
        source, translated: names of the two scans.
        field_origin: ``model``, ``identity``, ``estimated`` or ``none``; belongs in every label.
        floor_mm: motion an estimated field reports where there is none; ``None`` for other origins.
        rows: one a segment, in the order of their labels.
        whole: measures of the whole scan by name (see ``rules.json``).
        verdict, reasons: the conclusion on the whole, in plain words.
    """

    source: str
    translated: str
    field_origin: str
    floor_mm: float | None
    rows: tuple[SegmentRow, ...]
    whole: dict[str, float]
    verdict: str = "no figure"
    reasons: tuple[str, ...] = ()

    def row(self, label: int) -> SegmentRow:
        """The row of a label; KeyError if there is none."""
        for row in self.rows:
            if row.label == label:
                return row
        raise KeyError(label)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; the same inputs give the same bytes through :meth:`to_json`."""
        return {
            "source": self.source,
            "translated": self.translated,
            "field_origin": self.field_origin,
            "floor_mm": rounded(self.floor_mm),
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "whole": {key: rounded(self.whole[key]) for key in sorted(self.whole)},
            "segments": [row.to_dict() for row in self.rows],
        }

    def to_json(self) -> str:
        """The table as JSON text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def to_csv(self, path: Path | None = None) -> str:
        """The rows as CSV text, one header line; written to ``path`` if one is given. No figure is an empty cell."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in fields(SegmentRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: csv_cell(value) for key, value in row.to_dict().items()} for row in self.rows)
        if path is not None:
            path.write_text(text.getvalue(), encoding="utf-8")
        return text.getvalue()


def rounded(value: Any) -> Any:
    """Floats at six significant digits (what is behind them is noise of the arithmetic); NaN becomes ``None``."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return value
