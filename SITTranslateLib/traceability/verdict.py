"""Definition of *traceable*: the thresholds of a rules file applied to measures, with reasons.

Traceable is what stays within every ``caution_above`` of ``rules.json``. The segment table, ``check``, the panel, the
report and the documentation take their limits from here (:func:`limit`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.table import SegmentRow, SegmentTable

if TYPE_CHECKING:
    from SITTranslateLib.traceability.clusters import Cluster

TRACEABLE, CAUTION, NOT_TRACEABLE, NO_FIGURE = "traceable", "caution", "not traceable", "no figure"
#: Said with every verdict on a pair; no rules file can leave it out.
SMALL_CHANGES = (
    "changes below about 8 mm, such as a small lesion, and most changes between two contrasts form no cluster that "
    "this verdict names: check the map of what the source does not explain (sittranslate trace makes it)"
)
MOST_NAMED = 4
"""Clusters that a verdict names."""
SHIPPED_RULES = Path(__file__).with_name("rules.json")


@dataclass(frozen=True)
class Rule:
    """One threshold: ``measure`` above ``caution_above`` asks for a look, above ``fail_above`` it fails."""

    measure: str
    caution_above: float
    fail_above: float
    text: str


@dataclass(frozen=True)
class Rules:
    """All thresholds and sentences of a rules file."""

    rules: tuple[Rule, ...]
    below_floor: str
    nothing_found: str
    no_field: str

    def judge(self, measures: dict[str, float | None]) -> tuple[str, tuple[str, ...]]:
        """Verdict and reasons for measures by name; a missing measure or ``None`` is ignored."""
        level, reasons = 0, []
        for rule in self.rules:
            value = measures.get(rule.measure)
            if value is None or value <= rule.caution_above:
                continue
            level = max(level, 2 if value > rule.fail_above else 1)
            reasons.append(rule.text.format(value=value))
        return (TRACEABLE, CAUTION, NOT_TRACEABLE)[level], tuple(reasons)


@cache
def load_rules(path: Path = SHIPPED_RULES) -> Rules:
    """A rules file.

    Raises:
        InputError: the file is not JSON or a rule lacks a part.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Rules(
            rules=tuple(Rule(**rule) for rule in document["rules"]),
            below_floor=document["below_floor"],
            nothing_found=document["nothing_found"],
            no_field=document["no_field"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The rules file {path.name} cannot be used ({error}); repair it or leave it out.") from error


def limit(measure: str) -> float:
    """The largest value of a measure that is still traceable, in the measure's own unit.

    Raises:
        KeyError: no rule has that measure.
    """
    return {rule.measure: rule.caution_above for rule in load_rules().rules}[measure]


def judge_table(table: SegmentTable, rules: Rules | None = None) -> SegmentTable:
    """The table with a verdict and reasons in every row and for the whole."""
    rules = rules or load_rules()
    has_field = table.field_origin != "none"
    rows = tuple(_judge_row(row, table, rules, has_field) for row in table.rows)
    if not has_field:
        return replace(table, rows=rows, verdict=NO_FIGURE, reasons=(rules.no_field,))
    verdict, reasons = rules.judge(dict(table.whole))
    floor_reason = _below_floor(table.whole.get("motion_mean_mm"), table.floor_mm, rules)
    failing = [row.name for row in rows if row.verdict == NOT_TRACEABLE]
    if failing:
        named = ", ".join(failing[:5]) + (f" and {len(failing) - 5} more" if len(failing) > 5 else "")
        reasons += (f"not traceable in: {named}",)
        verdict = CAUTION if verdict == TRACEABLE else verdict
    said = (*reasons, *floor_reason) or (rules.nothing_found,)
    if table.field_origin == "estimated":
        said += (SMALL_CHANGES,)
    return replace(table, rows=rows, verdict=verdict, reasons=said)


def with_clusters(table: SegmentTable, clusters: Sequence[Cluster]) -> SegmentTable:
    """The verdict that names clusters of content which the source does not explain: no pair above them is traceable."""
    if not clusters:
        return table
    places = "; ".join(
        f"{c.millilitres:.2g} mL, peak {c.peak:.0f}, at "
        + ", ".join(f"{a} {x:.0f}" for a, x in zip("RAS", c.middle, strict=True))
        + " mm"
        + (f" ({c.structure})" if c.structure else "")
        for c in clusters[:MOST_NAMED]
    )
    more = f", and {len(clusters) - MOST_NAMED} more" if len(clusters) > MOST_NAMED else ""
    what = "1 cluster holds" if len(clusters) == 1 else f"{len(clusters)} clusters hold"
    reason = f"{what} content that the source does not explain: {places}{more}"
    kept = tuple(r for r in table.reasons if r != load_rules().nothing_found)
    verdict = CAUTION if table.verdict == TRACEABLE else table.verdict
    return replace(table, verdict=verdict, reasons=(reason, *kept))


def _judge_row(row: SegmentRow, table: SegmentTable, rules: Rules, has_field: bool) -> SegmentRow:
    if row.voxels == 0 or row.volume_before_mm3 is None:
        return replace(row, verdict=NO_FIGURE, reason=row.note)
    if not has_field:
        return replace(row, verdict=NO_FIGURE, reason=rules.no_field)
    measures: dict[str, float | None] = {
        "folded_percent": row.folded_percent,
        "inverse_residual_mm": row.inverse_residual_mm,
        "unexplained_percent": row.unexplained_percent,
        "volume_disagreement_percent": _disagreement(row),
    }
    if table.field_origin == "estimated":
        measures["estimated_motion_p95_mm"] = row.motion_p95_mm
    verdict, reasons = rules.judge(measures)
    if row.note:
        # Part of the segment lies where nothing is known: what can be measured may be in order, the whole cannot.
        verdict, reasons = (CAUTION if verdict == TRACEABLE else verdict), (row.note, *reasons)
    reasons += _below_floor(row.motion_mean_mm, table.floor_mm, rules)
    return replace(row, verdict=verdict, reason="; ".join(reasons or (rules.nothing_found,)))


def _disagreement(row: SegmentRow) -> float | None:
    # Fewer voxels than this and the edge alone, half a voxel thick, is more than the threshold.
    if row.volume_after_mm3 is None or row.jacobian_volume_mm3 is None or row.voxels < 200:
        return None
    assert row.volume_before_mm3 is not None
    return 100.0 * abs(row.volume_after_mm3 - row.jacobian_volume_mm3) / row.volume_before_mm3


def _below_floor(motion: float | None, floor: float | None, rules: Rules) -> tuple[str, ...]:
    if motion is None or floor is None or motion > floor:
        return ()
    return (rules.below_floor.format(value=motion, floor=floor),)
