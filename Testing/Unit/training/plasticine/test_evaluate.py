"""`sittranslate evaluate plasticine` from runs to files, on tiny heads, and what it says when there is nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_ageing_phantoms import tiny_ageing_phantom

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.plasticine import held_out as plasticine_held_out
from SITTranslateLib.training.recipes.plasticine import phantoms
from SITTranslateLib.training.recipes.plasticine.evaluate import evaluate
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingPhantomSet

TINY = {
    "source": "T1w", "target": "T2w", "structure_widths": [4, 6], "steps": 1, "samples": 1,
    "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8], "smoothing_mm": 4.0,
}  # fmt: skip


def a_request(out: Path, runs: list[str], labels: Path | None) -> EvaluationRequest:
    folders = {name: Path(folder) for name, _, folder in (run.partition("=") for run in runs)}
    return EvaluationRequest("plasticine", out, labels, folders, 2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and heads without training or simulating any."""
    torch.manual_seed(0)
    shown = ("T1w", "T2w", "CT")
    config = SimpleNamespace(heads=AgeingPhantomSet(("a",), heads=4, contrasts=shown))
    networks = {
        guide: systems.create("plasticine", TINY | {"guide": guide}).eval() for guide in ("structure", "source")
    }
    monkeypatch.setattr(recipes, "finished", lambda folder: (None, config, networks[folder.name]))
    networks["ct"] = systems.create("plasticine", TINY | {"target": "CT", "most": 2.0}).eval()
    monkeypatch.setattr(
        phantoms,
        "phantoms_of",
        lambda pool, *_: [tiny_ageing_phantom(seed, shown=pool.contrasts) for seed in range(4)],
    )
    monkeypatch.setattr(plasticine_held_out, "POOLS", {"tiny": AgeingPhantomSet(("a",), heads=4)})


def test_every_run_stands_beside_the_baselines(trained: None, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    evaluate(a_request(tmp_path, ["ours=structure", "pairs=source"], tmp_path))
    said = capsys.readouterr().out
    assert "### tiny, aged" in said and "### tiny, as they are" in said
    for row in ("identity", "best global transfer curve", "mean image", "the truth itself", "ours", "pairs"):
        assert f"| {row} |" in said
    assert {"plasticine.md", "plasticine.json", "figures-ours.json", "steps-ours.json"} == {
        file.name for file in tmp_path.iterdir()
    }
    summary = json.loads((tmp_path / "plasticine.json").read_text(encoding="utf-8"))["summary"]
    assert summary["tiny, aged"]["the truth itself"]["miss"] == 0 < summary["tiny, aged"]["identity"]["miss"]
    assert "kid" in summary["tiny, aged"]["ours"]


def test_towards_ct_the_heads_are_asked_for_theirs_and_the_card_has_hu(trained: None, tmp_path: Path) -> None:
    evaluate(a_request(tmp_path, ["ours=ct"], tmp_path))
    summary = json.loads((tmp_path / "plasticine.json").read_text(encoding="utf-8"))["summary"]
    assert summary["tiny, aged"]["identity"]["mae"] > 100 > summary["tiny, aged"]["the truth itself"]["mae"]
    figures = json.loads((tmp_path / "figures-ours.json").read_text(encoding="utf-8"))
    assert ("MAE, tiny, as they are", "HU") in {(figure["name"], figure["unit"]) for figure in figures}


def test_without_a_run_of_plasticine_there_is_nothing_to_evaluate(trained: None, tmp_path: Path) -> None:
    for runs, labels in ((["pairs=source"], tmp_path), (["ours=structure"], None), ([], tmp_path)):
        with pytest.raises(InputError, match="nothing to evaluate"):
            evaluate(a_request(tmp_path, runs, labels))
