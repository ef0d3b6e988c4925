"""Table of change by structure of packages that see the scan alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes import table_of
from SITTranslateLib.training.recipes.prescribed.change import ChangedScan, as_markdown, request_of
from SITTranslateLib.training.recipes.prescribed.table import PrescribedScan
from SITTranslateLib.translate.model import load_model


def scan(hippocampus: float, stem: float) -> ChangedScan:
    reached = {"left hippocampus": hippocampus, "brain stem": stem}
    return ChangedScan(PrescribedScan("1", {"left hippocampus": -19.0}, reached, 0, 0.02, 0.3, 4.0, 3.0), (0.1, 0.6))


def test_misses_and_signs_by_structure() -> None:
    text = as_markdown([scan(-20.0, 1.0), scan(4.0, -3.0)], "toy")
    assert "| left hippocampus | -19.0 | -8.0 (-20.0 to +4.0) | 12.0 | 1 of 2 |" in text
    assert "| brain stem | +0.0 | -1.0 (-3.0 to +1.0) | 2.0 |  |" in text
    assert "median 0.10, 95th percentile 0.60 mm" in text


def test_packages_are_asked_for_years_or_for_the_change_of_age() -> None:
    assert request_of(load_model("brain-change-t1w"), 60.0, 20.0) == {"age": 60.0, "years": 20.0}
    assert request_of(load_model("brain-ageing-t1w"), 60.0, 20.0) == {"age": 20.0}


def test_without_scans_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        table_of("change")(EvaluationRequest("change", tmp_path, model="brain-change-t1w"))
