"""Segmenters trained on translations: what a good translation, a copy of the T1w and the acquired T2w are worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_visits import person

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.visit_preparation import PreparedVisit
from SITTranslateLib.training.recipes.real_contrasts import downstream
from SITTranslateLib.training.recipes.real_contrasts.systems import Entry


class Negative(Recipe):
    """A recipe whose network makes a T2w of a T1w by a falling line, as the drawn people have it."""

    def trainer(self, *given: object) -> Any: ...

    def towards(self, network: Any, source: str, target: str) -> tuple[Any, dict[str, float]]:
        return network, {}

    @staticmethod
    def translate(image: torch.Tensor, asked: Mapping[str, float], affine: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(translated=torch.where(image > 0, 2.0 - image, 0.0))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every visit is a drawn person of two tissues, in sizes that a U-Net halves twice."""

    def tissues(network: object, image: torch.Tensor) -> torch.Tensor:
        white = (image > image[image > 0].median()).float()
        classes = torch.where(image > 0, 2 + 2 * white, 0 * image).long()
        return torch.nn.functional.one_hot(classes[:, 0], len(CLASSES)).movedim(-1, 1).float()

    def prepared(visit: Any, *given: object) -> PreparedVisit:
        whole = person(sum(map(ord, visit.name)) % 7)
        wide = {name: np.pad(values, ((0, 0), (0, 0), (2, 2))) for name, values in whole.scans.items()}
        brain, lesions = (np.pad(mask, ((0, 0), (0, 0), (2, 2))) for mask in (whole.brain, whole.lesions))
        return replace(whole, scans=wide, unaligned=wide, brain=brain, lesions=lesions)

    monkeypatch.setattr(downstream, "tissue_network", lambda: None)
    monkeypatch.setattr(downstream, "tissue_probabilities", tissues)
    monkeypatch.setattr(downstream, "prepared", prepared)
    monkeypatch.setattr(downstream, "STEPS", 30)


def test_a_translation_is_worth_more_than_the_t1w_and_no_more_than_the_acquired_t2w(
    drawn: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = {"line": Entry(Negative(), Negative, "without-ms-cross-26")}
    monkeypatch.setattr(downstream, "entries_of", lambda runs: entries)
    request = EvaluationRequest("downstream", tmp_path, runs={"line": tmp_path}, scans=tmp_path)
    downstream.evaluate(request)
    scores = json.loads((tmp_path / "downstream.json").read_text())
    assert [(s["trained_on"], s["seed"]) for s in scores] == [
        (name, seed) for name in ("acquired T1w", "acquired T2w", "line") for seed in (0, 1)
    ]
    mean = {
        name: np.mean([s["dice"][t] for s in scores if s["trained_on"] == name for t in downstream.TISSUES[1:]])
        for name in ("acquired T1w", "acquired T2w", "line")
    }
    assert mean["acquired T1w"] < 0.4 < 0.6 < mean["acquired T2w"] and abs(mean["line"] - mean["acquired T2w"]) < 0.1
    text = (tmp_path / "downstream.md").read_text()
    assert text.count("\n| ") == 3 and text in capsys.readouterr().out


def test_slices_are_standardised_and_have_the_classes_of_the_t1w(drawn: None) -> None:
    case = downstream.standardised_visit(downstream.prepared(SimpleNamespace(name="a"), ..., ...), stripped=True)  # type: ignore[arg-type]
    visit = downstream.LabelledVisit(case)
    given, again = visit.slices(case.images["T2w"]), visit.slices(3.0 * case.images["T2w"] - 5.0)
    assert given.shape == (19, 2, 28, 28) and torch.allclose(given, again, atol=1e-4)
    inside = given[:, 0][given[:, 1] > 0]
    assert float(inside.mean()) == pytest.approx(0.0, abs=0.05) and float(inside.std()) == pytest.approx(1.0, abs=0.05)
    assert set(given[:, 1].unique().tolist()) == {0.0, 2.0, 3.0}, "grey and white matter"


def test_without_scans_or_runs_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --scans, and --run"):
        downstream.evaluate(EvaluationRequest("downstream", tmp_path, scans=tmp_path))
