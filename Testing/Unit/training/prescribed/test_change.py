"""Table of change by structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_translation import CENTRE, points_of, synthetic_translation

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import Table
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes import table_of
from SITTranslateLib.training.recipes.prescribed.table import COLUMNS, request_of, rows_of
from SITTranslateLib.translate.model import load_model

VENTRICLE = "left lateral ventricle"


def test_a_known_flow_is_measured_by_structure_and_by_scan() -> None:
    result = synthetic_translation()
    distance = np.linalg.norm(points_of(result.source.grid) - CENTRE, axis=-1)
    radius = reached = 14.0
    for _ in range(2000):
        reached += 0.22 * reached * np.exp(-(reached**2) / (2 * 22.0**2)) / 2000
    expected = 100 * ((reached / radius) ** 3 - 1)
    # FreeSurfer's numbers; what lies far out is held and does not move.
    numbers = np.where(distance < radius, 4, np.where(distance > 75, 16, 0)).astype(np.float32)
    labels = result.source.with_array(numbers, "labels")
    asked = ({VENTRICLE: expected + 5, "third ventricle": 9.0}, {VENTRICLE: -1.0})
    rows = [
        row for case, one in zip("ab", asked, strict=True) for row in rows_of("real", case, result, one, labels, cpu=2)
    ]
    summary = Table(COLUMNS, rows).summary()
    assert set(summary["real"]) == {VENTRICLE, "brain stem"}, "what the labels do not show is not measured"
    row = summary["real"][VENTRICLE]
    assert row["lowest"] == row["reached"] == row["highest"] == pytest.approx(expected, rel=0.05)
    assert row["largest"] == pytest.approx(expected + 1, rel=0.05) and row["right"] == 0.5
    assert row["miss"] == pytest.approx((expected + 6) / 2, rel=0.05) and row["asked"] == pytest.approx(
        expected / 2 + 2
    )
    held = summary["real"]["brain stem"]
    assert held["asked"] == 0.0 and abs(held["reached"]) < 0.5 and "right" not in held
    whole = summary["real, whole"]["scan as a whole"]
    assert whole["folded"] == 0 and whole["cpu"] == 2 and 0 < whole["back"] <= whole["back_max"] < 0.3
    assert whole["longest"] == pytest.approx(result.motion.magnitude().max())  # type: ignore[union-attr]
    assert "| left lateral ventricle | " in Table(COLUMNS, rows).markdown()


def test_packages_are_asked_for_years_or_for_the_change_of_age() -> None:
    assert request_of(load_model("brain-change-t1w"), 60.0, 20.0) == {"age": 60.0, "years": 20.0}
    assert request_of(load_model("brain-ageing-t1w"), 60.0, 20.0) == {"age": 20.0}


@pytest.mark.parametrize("name", ["change", "prescribed"])
def test_without_scans_there_is_nothing_to_measure(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        table_of(name)(EvaluationRequest(name, tmp_path, model="brain-change-t1w"))
    with pytest.raises(InputError, match="holds no scans"):
        table_of(name)(EvaluationRequest(name, tmp_path, model="brain-change-t1w", scans=tmp_path))
