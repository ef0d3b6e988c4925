"""The table of the parcellation: against labels, and between contrasts of one person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import write_volume
from SITTranslateLib.systems.prescribed.regions import PARTS, shares_of_labels
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.segmentation import evaluate
from SITTranslateLib.volume import Volume


@pytest.fixture
def labels() -> Volume:
    """White matter with a hippocampus of 6 x 20 x 6 mm on either side."""
    array = np.zeros((70, 90, 80), np.float32)
    array[10:60, 10:80, 10:70] = 2.0
    array[10:60, 10:80, 40:70] = 41.0
    array[30:36, 30:50, 20:26], array[30:36, 30:50, 54:60] = 17.0, 53.0
    return Volume(array, np.eye(4), "labels")


def test_figures_of_a_hippocampus_that_is_too_large(labels):
    larger = labels.array.copy()
    larger[28:36, 30:50, 20:26] = 17.0
    found, truth = (evaluate.Measured.of_labels(v) for v in (labels.with_array(larger), labels))
    figures = evaluate.agreement(found, truth)
    assert set(figures) == {"hippocampus", "white matter"}
    hippocampus = figures["hippocampus"]
    # Left 960 voxels for 720, right as it is.
    assert hippocampus["dice"] == pytest.approx((2 * 720 / 1680 + 1) / 2)
    assert hippocampus["bias"] == hippocampus["error"] == pytest.approx(100 * (1680 / 1440 - 1))
    assert hippocampus["millilitres"] == pytest.approx(1.68)


def test_sides_must_not_be_exchanged(labels):
    other = labels.array.copy()
    other[labels.array == 17], other[labels.array == 53] = 53.0, 17.0
    found, truth = (evaluate.Measured.of_labels(v) for v in (labels.with_array(other), labels))
    figures = evaluate.agreement(found, truth)
    assert figures["hippocampus"]["dice"] == 0.0 and figures["hippocampus"]["error"] == 0.0


def test_table_of_a_folder(labels, tmp_path: Path, monkeypatch):
    scan = labels.with_array(labels.array + np.random.default_rng(0).uniform(0, 9, labels.shape).astype(np.float32))
    for name in ("a_T1w", "a_aseg", "a_T2w", "b_T1w"):
        write_volume(labels if name == "a_aseg" else scan, tmp_path / f"{name}.nii.gz")
    monkeypatch.setattr(evaluate, "find_structures", lambda scan: shares_of_labels(labels))
    request = EvaluationRequest(system="parcellation", out=tmp_path / "tables", scans=tmp_path)
    recipes.table_of("parcellation")(request)
    summary = json.loads((tmp_path / "tables" / "parcellation.json").read_text())["summary"]
    assert list(summary) == ["real scans against labels", "T2w against T1w of the same person (real)"]
    assert summary["real scans against labels"]["white matter"]["dice"] > 0.99
    assert summary["T2w against T1w of the same person (real)"]["hippocampus"]["dice"] == 1.0
    assert PARTS["left hippocampus"] == (17,)
    assert "| hippocampus |" in (tmp_path / "tables" / "parcellation.md").read_text()


def test_nothing_to_measure_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="give --scans"):
        recipes.table_of("parcellation")(EvaluationRequest(system="parcellation", out=tmp_path))
    with pytest.raises(InputError, match="no tables"):
        recipes.table_of("structure")(EvaluationRequest(system="structure", out=tmp_path))
