"""A system that the library does not know: two registered names, and every command works on it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import toy_system
from tiny_model import head
from tiny_runs import fabric

from SITTranslateLib import systems
from SITTranslateLib.app.main import run
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.config import card_file

SMALL = {"spacing_mm = 1.0": "spacing_mm = 5.0", "[176, 208, 176]": "[40, 48, 40]", "fluid = 0.12": "fluid = 0.0"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two lines of ``docs/adding-a-model.md``, a config and a card."""
    monkeypatch.setitem(systems.SYSTEMS, "toy", ("toy_system", "ToyNetwork"))
    monkeypatch.setitem(recipes.RECIPES, "toy", "toy_system")
    (tmp_path / "toy.toml").write_text('name = "toy"\nsystem = "toy"\nsteps = 120\n[network]\nstart = 0.5\n')
    card = card_file("t1w-to-t2w").read_text(encoding="utf-8")
    for old, new in SMALL.items():
        assert old in card
        card = card.replace(old, new)
    (tmp_path / "card.toml").write_text(card, encoding="utf-8")
    return tmp_path


def test_it_is_trained_resumed_published_tabled_and_translates(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--labels", str(folder), "--accelerator", "cpu", "--precision", "32-true", "--threads", "1"]
    command = ["train", str(folder / "toy.toml"), *options]
    assert run([*command, "--out", str(folder / "whole")]) == 0
    assert "120 steps done" in capsys.readouterr().out
    recipe, config = recipes.read(folder / "toy.toml")
    stopped = toy_system.ToyTrainer(config, fabric())
    stopped.train(folder / "resumed", until=50)
    told = ["--card", str(folder / "card.toml"), "--data", "Balls.", "--out"]
    assert run(["publish", str(folder / "resumed"), *told, str(folder / "none")]) == 2
    assert "stopped at step 50 of 120" in capsys.readouterr().err
    assert run([*command, "--out", str(folder / "resumed")]) == 0
    whole, resumed = (recipe.finished(folder / name)[1] for name in ("whole", "resumed"))
    assert float(whole.gain) == float(resumed.gain) == pytest.approx(2.0, abs=0.1)

    assert run(["evaluate", "toy", "--out", str(folder / "tables"), "--run", f"ours={folder / 'whole'}"]) == 0
    rows = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|$", capsys.readouterr().out, flags=re.MULTILINE))
    assert float(rows["ours"]) < 0.1 * float(rows["identity"])
    assert run(["evaluate", "toy", "--out", str(folder / "tables")]) == 2

    package = folder / "toy-model"
    assert run(["publish", str(folder / "whole"), *told, str(package)]) == 0
    card = json.loads((package / "model.json").read_text(encoding="utf-8"))
    assert card["system"] == {"name": "toy", "parameters": {"start": 0.5}}
    assert card["training"]["config"]["steps"] == 120

    scan = head(spacing=(6.0, 6.0, 6.0))
    write_volume(scan, folder / "scan.nii.gz")
    requested = ["--model", str(package), "--device", "cpu", "--force", "--out", str(folder / "result")]
    assert run(["translate", str(folder / "scan.nii.gz"), *requested]) == 0
    made = read_volume(folder / "result" / "translated.nii.gz").array
    brain = scan.array > 300
    assert np.corrcoef(made[brain], scan.array[brain])[0, 1] > 0.9, "a gain and an offset keep the order"
