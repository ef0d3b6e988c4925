"""The verdict: thresholds, reasons in words, and rules files of one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moved_phantoms import field_of, moved

from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.traceability.table import SegmentRow, SegmentTable
from SITTranslateLib.traceability.verdict import SHIPPED_RULES, SMALL_CHANGES, judge_table, load_rules
from SITTranslateLib.volume import Volume

ROW = SegmentRow(
    1, "thalamus", 900, 900.0, 950.0, jacobian_volume_mm3=951.0, folded_percent=0.0, inverse_residual_mm=0.01
)


def table_of(row: SegmentRow, origin: str = "model", floor: float | None = None, **whole: float) -> SegmentTable:
    return judge_table(SegmentTable("a", "b", origin, floor, (row,), whole))


def test_clean_measures_are_traceable_and_say_so():
    table = table_of(ROW, folded_percent=0.0)
    assert (table.verdict, table.rows[0].verdict) == ("traceable", "traceable")
    assert table.reasons == (load_rules().nothing_found,)


@pytest.mark.parametrize(
    ("change", "verdict", "word"),
    [
        ({"folded_percent": 0.01}, "caution", "folded"),
        ({"folded_percent": 3.0}, "not traceable", "folded"),
        ({"inverse_residual_mm": 0.3}, "caution", "0.3 mm"),
        ({"unexplained_percent": 40.0}, "not traceable", "40 %"),
        ({"jacobian_volume_mm3": 990.0}, "caution", "disagree"),
    ],
)
def test_each_measure_above_its_threshold_is_named(change, verdict, word):
    row = table_of(replace(ROW, **change)).rows[0]
    assert row.verdict == verdict
    assert word in row.reason


def test_a_segment_without_a_volume_afterwards_is_no_clean_one():
    cut = replace(ROW, volume_after_mm3=None, change_percent=None, note="touches the border of the scan")
    assert (table_of(cut).rows[0].verdict, table_of(cut).rows[0].reason) == ("caution", cut.note)
    folded = table_of(replace(cut, folded_percent=3.0)).rows[0]
    assert folded.verdict == "not traceable" and folded.reason.startswith(cut.note) and "folded" in folded.reason


def test_a_failing_segment_is_named_in_the_verdict_on_the_whole():
    table = table_of(replace(ROW, folded_percent=3.0), folded_percent=0.0)
    assert table.verdict == "caution"
    assert "thalamus" in table.reasons[0]


def test_estimated_motion_below_its_floor_is_called_so():
    row = table_of(replace(ROW, motion_mean_mm=0.1), "estimated", 0.2).rows[0]
    assert "0.2 mm" in row.reason
    above = table_of(replace(ROW, motion_mean_mm=0.5), "estimated", 0.2).rows[0]
    assert above.reason == load_rules().nothing_found


def test_a_fold_in_a_real_field_fails_its_segment(grid):
    # A motion that turns back on itself: dw/dx < -1 in the middle.
    motion = field_of(grid, lambda x: -6.0 * np.sin(x[..., :1] / 3.0) * np.array([1.0, 0.0, 0.0]))
    labels = np.zeros(grid.shape)
    labels[12:28, 20:40, 20:40] = 1
    table = segment_table(moved(Volume(labels, grid.affine), motion, motion), Volume(labels, grid.affine), {1: "cube"})
    assert table.row(1).folded_percent > 10
    assert table.row(1).verdict == "not traceable"
    assert table.verdict == "not traceable"


def test_own_rules_are_read_and_broken_ones_refused(tmp_path):
    document = json.loads(SHIPPED_RULES.read_text(encoding="utf-8"))
    document["rules"][0]["caution_above"] = 1.0
    document["rules"][0]["fail_above"] = 2.0
    mild = tmp_path / "mild.json"
    mild.write_text(json.dumps(document))
    assert load_rules(mild).judge({"folded_percent": 0.9}) == ("traceable", ())
    broken = tmp_path / "broken.json"
    broken.write_text('{"rules": [{"measure": "folded_percent"}]}')
    with pytest.raises(InputError, match=r"broken\.json"):
        load_rules(broken)


def test_two_heads_that_are_not_aligned_are_not_called_traceable():
    table = table_of(ROW, "estimated", 0.2, rest_percent=44.0, estimated_motion_p95_mm=18.5)
    assert table.verdict == "caution"
    assert "unexplained" in table.reasons[0]
    assert "align the scans" in table.reasons[1]


def test_the_verdict_on_a_pair_says_that_it_does_not_see_small_changes() -> None:
    clean = table_of(ROW, "estimated", 0.2, folded_percent=0.0, unexplained_percent=0.1)
    assert (clean.verdict, clean.reasons) == ("traceable", (load_rules().nothing_found, SMALL_CHANGES))
    assert table_of(ROW, "estimated", 0.2, rest_percent=90.0).reasons[-1] == SMALL_CHANGES
    assert judge_table(clean).reasons.count(SMALL_CHANGES) == 1
    assert SMALL_CHANGES not in table_of(ROW, "model").reasons
    assert SMALL_CHANGES in (Path(__file__).parents[3] / "docs" / "traceability.md").read_text(encoding="utf-8")


def test_a_segment_that_moved_farther_than_estimates_were_measured_for_is_no_clean_one():
    far = replace(ROW, motion_p95_mm=12.0)
    assert table_of(far, "estimated", 0.2).rows[0].verdict == "caution"
    assert "align the scans first" in table_of(far, "estimated", 0.2).rows[0].reason
    assert table_of(far, "model").rows[0].verdict == "traceable"


def test_traceable_is_defined_once_for_check_table_and_documentation() -> None:
    from SITTranslateLib.traceability.verdict import limit
    from SITTranslateLib.translate import verification

    assert limit("recomposition_percent") == 100 * verification.LARGEST_RECOMPOSITION
    assert limit("inverse_residual_mm") == verification.LARGEST_RESIDUAL_MM
    assert limit("folded_percent") == verification.LARGEST_FOLDED
    rules = {rule.measure: rule for rule in load_rules().rules}
    page = (Path(__file__).parents[3] / "docs" / "traceability.md").read_text(encoding="utf-8")
    table = page.partition("### What traceable means")[2].partition("\n## ")[0]
    written = [
        tuple(float(cell.split()[0]) for cell in row.strip("| ").split("|")[1:])
        for row in table.splitlines()
        if row.startswith("|") and not row.startswith(("| measure", "|---"))
    ]
    assert written == [(rule.caution_above, rule.fail_above) for rule in rules.values()]
    for measure, rule in rules.items():
        assert load_rules().judge({measure: rule.caution_above})[0] == "traceable"
        assert load_rules().judge({measure: rule.caution_above * 1.01 + 1e-6})[0] == "caution"
        assert load_rules().judge({measure: rule.fail_above * 1.01})[0] == "not traceable"
