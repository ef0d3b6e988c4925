"""The table engine: baselines, seeds, intervals, empty columns, and one unit that a prediction is measured in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from SITTranslateLib.evaluation.table import Column, Prediction, Row, Table, Unit, interval, measure
from SITTranslateLib.translate.normalisation import HOUNSFIELD, to_network

COLUMNS = {
    "error": Column("error (mm)", 2),
    "folded": Column("folded", 0, "sum"),
    "worst": Column("worst", None, "max"),
}


def a_row(method: str, case: str, error: float, **more: float) -> Row:
    return Row(method, "phantoms", case, {"error": error, **more})


TABLE = Table(
    COLUMNS,
    [
        *(a_row("identity", case, 9.0) for case in "abcd"),
        *(
            a_row("ours@0", case, value, folded=2, worst=0.002)
            for case, value in zip("abcd", (1, 2, 3, 2), strict=True)
        ),
        *(
            a_row("ours@1", case, value, folded=1, worst=0.004)
            for case, value in zip("abcd", (3, 4, 5, 4), strict=True)
        ),
    ],
)


def test_columns_are_reduced_over_cases_each_in_its_way() -> None:
    summary = TABLE.summary()["phantoms"]
    assert summary["ours@0"] == {"error": 2.0, "folded": 8.0, "worst": 0.002} and summary["identity"] == {"error": 9.0}
    nan = Table(COLUMNS, [a_row("m", "a", float("nan")), a_row("m", "b", 4.0)])
    assert nan.summary()["phantoms"]["m"]["error"] == 4.0


def test_documents_show_the_mean_over_seeds_and_leave_unknown_cells_empty() -> None:
    text = TABLE.markdown({"phantoms": "held-out phantoms"})
    assert "### held-out phantoms" in text and "| method | error (mm) | folded | worst |" in text
    assert "| identity | 9.00 |  |  |" in text
    low, high = TABLE.intervals()["phantoms"]["ours"]["error"]
    assert f"| ours (2 seeds) | 3.00 ± 1.41 ({low:.2f} to {high:.2f}) | 6 ± 3 | 0.003 ± 0.001 |" in text
    assert Table(COLUMNS, []).markdown() == ""


def test_intervals_are_over_cases_and_not_over_seeds() -> None:
    found = TABLE.intervals()["phantoms"]
    low, high = found["ours"]["error"]
    assert 2.0 <= low < 3.0 < high <= 4.0, "the means of the cases' two seeds are 2, 3, 4 and 3"
    assert found["identity"]["error"] == (9.0, 9.0) and set(found["ours"]) == {"error"}
    values = np.random.default_rng(1).normal(5.0, 1.0, 100)
    low, high = interval(values.tolist())
    half = 1.96 * float(values.std()) / 10.0
    assert (low, high) == pytest.approx((float(values.mean()) - half, float(values.mean()) + half), abs=0.03)


def test_areas_are_against_the_reference_of_the_same_group() -> None:
    columns = {"score": Column("AUC", 2, "area"), "scans": Column("scans", 0, "sum")}
    scores = {"suits": (0.9, 0.3), "wrong": (0.5, 0.1)}
    rows = [Row(m, "g", str(n), {"score": v, "scans": 1}) for m, each in scores.items() for n, v in enumerate(each)]
    table = Table(columns, [*rows, Row("wrong", "alone", "0", {"score": 0.5, "scans": 1})], "suits")
    assert table.summary()["g"] == {"suits": {"scans": 2}, "wrong": {"score": 0.75, "scans": 2}}
    assert table.summary()["alone"] == {"wrong": {"scans": 1}}
    assert "| suits |  | 2 |" in table.markdown() and "| wrong | 0.75 | 2 |" in table.markdown()


def test_a_card_shows_the_run_that_is_shipped_beside_the_identity() -> None:
    (figure,) = TABLE.card_figures("ours@0", {"error": ("error", "mm"), "unknown": ("?", "")})
    assert figure == {
        "name": "error, phantoms", "value": 2.0, "unit": "mm", "baseline": 9.0, "note": "held-out simulated scans",
    }  # fmt: skip
    assert TABLE.card_figures("nobody", {"error": ("error", "mm")}) == []


def test_files_hold_summary_intervals_and_rows(tmp_path: Path) -> None:
    assert TABLE.write(tmp_path, "t") == TABLE.summary()
    records = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert records["summary"] == TABLE.summary() and len(records["rows"]) == 12
    assert records["intervals"]["phantoms"]["identity"]["error"] == [9.0, 9.0]
    assert (tmp_path / "t.md").read_text(encoding="utf-8") == TABLE.markdown()


def test_what_is_not_finite_is_null_in_json_and_stays_in_the_summary(tmp_path: Path) -> None:
    rows = [a_row("ours", "NaN", float("nan"), folded=float("inf")), a_row("identity", "NaN", 9.0)]
    summary = Table(COLUMNS, rows).write(tmp_path, "t", further={"ends": (float("nan"), 1.0)})
    assert np.isnan(summary["phantoms"]["ours"]["error"])
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    records = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert records["summary"]["phantoms"] == {"ours": {"error": None, "folded": None}, "identity": {"error": 9.0}}
    assert records["rows"][0] == {
        "method": "ours", "group": "phantoms", "case": "NaN", "figures": {"error": None, "folded": None},
    }  # fmt: skip
    assert records["further"] == {"ends": [None, 1.0]}


def test_a_prediction_is_measured_in_one_unit_and_native_values_are_refused() -> None:
    hounsfield = np.full((2, 2, 2), 300.0, np.float32)
    network = to_network(hounsfield, HOUNSFIELD)
    for given in (Prediction(hounsfield, Unit.HU), Prediction(network, Unit.NETWORK)):
        np.testing.assert_allclose(given.measured("CT"), hounsfield, atol=1e-2)
        np.testing.assert_allclose(given.in_network_units("CT"), network, atol=1e-5)
    assert Prediction(network, Unit.NETWORK).measured("T2w") is network
    for wrong, target in ((Unit.NATIVE, "CT"), (Unit.NATIVE, "T2w"), (Unit.HU, "T2w")):
        with pytest.raises(ValueError, match="cannot be compared"):
            Prediction(network, wrong).measured(target)
    with pytest.raises(ValueError, match="not in network units"):
        Prediction(network, Unit.NATIVE).in_network_units("T2w")


def test_every_method_meets_every_case() -> None:
    cases = [("a", 1.0), ("b", 2.0)]
    methods = {"zero": lambda case: Prediction(np.zeros(1, np.float32), Unit.NETWORK),
               "own": lambda case: Prediction(np.full(1, case[1], np.float32), Unit.NETWORK)}  # fmt: skip
    rows = measure(
        cases, methods, lambda case, given: {"off": abs(float(given.image[0]) - case[1])}, lambda c: ("g", c[0])
    )
    assert [(r.method, r.case, r.figures["off"]) for r in rows] == [
        ("zero", "a", 1.0), ("own", "a", 0.0), ("zero", "b", 2.0), ("own", "b", 0.0),
    ]  # fmt: skip
