"""From one's own scans to a model that translates, and to a table: the commands as they are typed, all of it tiny."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import head, one_sentence
from tiny_phantoms import tiny_phantom

from SITTranslateLib.app.main import run
from SITTranslateLib.evaluation.baselines import baselines
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.training.engine import grid
from SITTranslateLib.training.engine.config import config_file
from SITTranslateLib.training.engine.held_out import case_of
from SITTranslateLib.training.engine.phantoms import Phantom
from SITTranslateLib.training.recipes.cross_contrast import evaluate as evaluate_contrasts


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small scans with a table, and a config that trains two steps on them."""
    monkeypatch.setattr(grid, "SHAPE", (32, 40, 32))
    monkeypatch.setattr(grid, "SPACING_MM", 5.0)
    rows = ["file\tage\tlesions"]
    for number, (age, lesions) in enumerate(((20, 0), (50, 4), (80, 15))):
        write_volume(head(spacing=(6.0, 6.0, 6.0), seed=number), tmp_path / f"{number}.nii.gz")
        rows.append(f"{number}.nii.gz\t{age}\t{lesions}")
    (tmp_path / "scans.tsv").write_text("\n".join(rows) + "\n")
    text = config_file("sit-own-scans-t1w").read_text(encoding="utf-8")
    for old, new in (
        ('attributes = ["age"]', 'attributes = ["age", "lesions"]'), ("scales = [10.0]", "scales = [10.0, 10.0]"),
        ("largest_change = [30.0]", "largest_change = [30.0, 10.0]"), ("widths = [32, 64, 96]", "widths = [4, 6]"),
        ("steps = 4000", "steps = 2"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "tiny.toml").write_text(text)
    return tmp_path


def test_from_ones_own_scans_to_a_model_that_translates(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = own / "run"
    command = ["train", str(own / "tiny.toml"), "--labels", str(own), "--out", str(made)]
    options = ["--accelerator", "cpu", "--precision", "32-true", "--threads", "1", "--workers", "0"]
    assert run(["publish", str(made), "--card", "example-ten-minutes", "--out", str(own / "none"), "--data", "x"]) == 2
    assert run([*command, "--steps", "1", *options]) == 0
    assert "1 steps done" in capsys.readouterr().out
    assert run([*command, *options]) == 0, "the run goes on"
    assert "2 steps done" in capsys.readouterr().out
    figures = own / "figures.json"
    figures.write_text(json.dumps([{"name": "doing nothing", "value": 1.0, "unit": "mm"}]))
    package = own / "tiny-model"
    told = ["--data", "Three tiny heads, for a test.", "--figures", str(figures), "--out", str(package)]
    assert run(["publish", str(made), "--card", "example-ten-minutes", *told]) == 0
    card = json.loads((package / "model.json").read_text(encoding="utf-8"))
    assert "Three tiny heads" in json.dumps(card) and "doing nothing" in json.dumps(card)
    assert run(["package", "check", str(package)]) == 0
    asked = ["--model", str(package), "--set", "age=+10", "--device", "cpu", "--force", "--out", str(own / "result")]
    assert run(["translate", str(own / "0.nii.gz"), *asked]) == 0
    assert read_volume(own / "result" / "translated.nii.gz").shape == read_volume(own / "0.nii.gz").shape
    assert run(["check", str(own / "result")]) == 0


@pytest.fixture
def between(finished_run: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run between two contrasts, and tiny held-out heads instead of simulated ones."""
    heads = [tiny_phantom(seed) for seed in range(4)]
    shutil.copytree(finished_run("sa_unit"), tmp_path / "run")

    def cases(source: str, target: str, made: list[Phantom]) -> list[object]:
        return [case_of(head, n, "tiny heads", source, target, slice(2, 14)) for n, head in enumerate(made)]

    held_out = [tiny_phantom(20 + seed) for seed in range(2)]
    monkeypatch.setattr(evaluate_contrasts, "held_out_cases", lambda _l, _c, a, b: cases(a, b, held_out))
    monkeypatch.setattr(evaluate_contrasts, "_baselines", lambda _l, _c, a, b, **_: baselines(cases(a, b, heads)))
    return tmp_path


def test_a_table_between_contrasts_has_the_identity_row_and_figures_for_the_card(
    between: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = between / "tables"
    command = ["evaluate", "sa-unit", "--labels", str(between), "--out", str(out), "--run", f"tiny={between / 'run'}"]
    assert run([*command, "--between", "T2w>T1w"]) == 0
    told = capsys.readouterr().out
    for row in ("identity", "best global transfer curve", "mean image", "the target's own scan", "tiny"):
        assert re.search(rf"^\| {re.escape(row)} \|", told, flags=re.MULTILINE), row
    figures = json.loads((out / "figures-tiny-t2w-t1w.json").read_text(encoding="utf-8"))
    assert figures and all({"name", "value"} <= set(figure) for figure in figures)
    behaviour = json.loads((out / "behaviour-t2w-t1w.json").read_text(encoding="utf-8"))["tiny"]
    assert behaviour["repeats_exactly"] and behaviour["shift_8_voxels"] >= 0 and -1 <= behaviour["cycle_ssim"] <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["sa-unit", "--between", "T1w"],
        ["sa-unit", "--between", ">T2w"],
        ["sa-unit"],
        ["sa-unit", "--labels", "LABELS", "--between", "T1w>CT", "--run", "tiny=RUN"],
        ["sit"],
        ["nothing-of-that-name"],
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_one_sentence(
    wrong: list[str], between: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [w.replace("RUN", str(between / "run")).replace("LABELS", str(between)) for w in wrong]
    assert run(["evaluate", *words, "--out", str(between / "out")]) == 2
    assert one_sentence(capsys.readouterr().err.strip())


@pytest.mark.parametrize("name", ["sa-unit-paired-t1w-t2w", "plasticine-t1w-t2w", "aldm-brain", "parcellation"])
def test_what_trains_on_one_device_says_so(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of taking --devices and leaving three of them idle."""
    assert run(["train", name, "--labels", str(tmp_path), "--out", str(tmp_path / "run"), "--devices", "4"]) == 2
    assert capsys.readouterr().err == "This system trains on one device; leave --devices and --nodes out.\n"
