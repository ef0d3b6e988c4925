"""The command line: results in a folder, mistakes in one sentence with exit code 2 and nothing written."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, one_sentence, write_tiny_package

from SITTranslateLib.app.main import COMMANDS, HELP_GROUPS, run
from SITTranslateLib.files import read_volume, write_volume


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scan, and a folder of models with one in it."""
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    write_tiny_package(tmp_path / "models" / "tiny")
    write_volume(head(spacing=(4.0, 4.0, 4.0)), tmp_path / "scan.nii.gz")
    return tmp_path


def test_translate_then_check(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "new" / "result"
    code = run(
        ["translate", str(place / "scan.nii.gz"), "--model", "tiny", "--set", "age=+10", "--set", "lesions=-5",
         "--out", str(out), "--strength", "0.5", "--timing", "--seed", "4"]
    )  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "age +10, lesions -5" in printed.out and str(out / "translated.nii.gz") in printed.out
    assert "peak memory" in printed.err
    translated = read_volume(out / "translated.nii.gz")
    assert translated.grid.matches(read_volume(place / "scan.nii.gz").grid)
    assert json.loads((out / "provenance.json").read_text(encoding="utf-8"))["SITTranslate"]["provenance"]["seed"] == 4
    assert run(["check", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASS: recomposed to ")
    write_volume(translated.with_array(translated.array[::-1]), out / "translated.nii.gz")
    assert run(["check", str(out)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAIL: ")


SCAN = "{place}/scan.nii.gz"
MISTAKES: dict[str, tuple[list[str], str]] = {
    "missing scan": (["translate", "{place}/no.nii.gz", "-m", "tiny"], "There is no file"),
    "unknown model": (["translate", SCAN, "-m", "nothing"], "There is no model 'nothing'"),
    "out of range": (["translate", SCAN, "-m", "tiny", "-s", "age=99"], "out of range"),
    "unknown attribute": (["translate", SCAN, "-m", "tiny", "-s", "weight=1"], "no attribute 'weight'"),
    "no number": (["translate", SCAN, "-m", "tiny", "-s", "age=old"], "must be a number"),
    "no equals sign": (["translate", SCAN, "-m", "tiny", "-s", "age"], "name=value"),
    "twice": (["translate", SCAN, "-m", "tiny", "-s", "age=1", "-s", "age=2"], "set twice"),
    "unknown device": (["translate", SCAN, "-m", "tiny", "--device", "tpu"], "no device"),
    "negative seed": (["translate", SCAN, "-m", "tiny", "--seed", "-1"], "seed"),
    "strength": (["translate", SCAN, "-m", "tiny", "--strength", "40"], "out of range"),
    "no model": (["translate", SCAN], "--model"),
    "no such option": (["translate", SCAN, "-m", "tiny", "--fast"], "--fast"),
    "no such command": (["transform", SCAN], "transform"),
    "check of nothing": (["check", "{place}/no"], "not the folder of a translation"),
    "check of another folder": (["check", "{place}/models"], "not the folder of a translation"),
    "text as a scan": (["translate", "{place}/text.nii.gz", "-m", "tiny"], "damaged|known format|cannot be read"),
    "constant scan": (["translate", "{place}/flat.nrrd", "-m", "tiny"], "constant"),
    "altered weights": (["translate", SCAN, "-m", "{place}/altered"], "altered"),
    "place in use": (["translate", SCAN, "-m", "tiny", "-o", "{place}/models"], "is not empty"),
    "place below a file": (["translate", SCAN, "-m", "tiny", "-o", SCAN + "/out"], "cannot be made|can open"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    mistake: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = MISTAKES[mistake]
    (place / "text.nii.gz").write_text("no scan " * 100)
    write_volume(head(spacing=(9.0, 9.0, 9.0)).with_array(np.full((20, 23, 20), 3.0)), place / "flat.nrrd")
    altered = write_tiny_package(place / "altered").folder / "weights.safetensors"
    altered.write_bytes(altered.read_bytes()[:-1] + b"x")
    before = sorted(place.rglob("*"))
    filled = [a.format(place=place) for a in arguments]
    if filled[0] == "translate" and "-o" not in filled:
        filled += ["-o", str(place / "out")]
    assert run(filled) == 2
    printed = capfd.readouterr()
    sentence = printed.err.strip()
    assert printed.out == ""
    assert one_sentence(sentence), sentence
    import re

    assert re.search(expected, sentence), sentence
    assert sorted(place.rglob("*")) == before


def test_models_as_JSON_and_as_a_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    listed = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
    assert {"system", "attributes", "licence", "bytes", "figures", "sha256"} <= set(listed["tiny"])
    assert listed["tiny"]["system"] == "sit" and listed["tiny"]["simulated"] is True
    assert run(["models"]) == 0
    assert "tiny 0.1.0" in capsys.readouterr().out


def test_an_unexpected_error_is_one_line_with_exit_code_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("SITTranslateLib.app.listing.available", lambda: 1 / 0)
    assert run(["models"]) == 1
    assert capsys.readouterr().err.startswith("Unexpected error (ZeroDivisionError): ")


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from SITTranslateLib.app.main import run; run(['--help']);"
        "heavy = {'torch', 'monai', 'SimpleITK', 'slicer', 'vtk', 'numba'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert all(command.name in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", [c.name for c in COMMANDS])
def test_every_command_can_be_called_for_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert "Usage" in told and "--help" in told
    assert len(told.splitlines()) <= 46, "a help page is one screen"


def test_the_help_groups_name_parameters_that_exist() -> None:
    names = {name for command in COMMANDS for name in inspect.signature(command.function()).parameters}
    assert {name for group in HELP_GROUPS.values() for name in group} - names == {"help"}


def test_the_library_imports_nothing_heavy() -> None:
    code = (
        "import sys, SITTranslateLib as sit; assert 'translate' in dir(sit);"
        "assert not {'torch', 'numpy', 'SimpleITK', 'slicer', 'vtk'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_card_with_markup_or_escape_sequences_is_listed_as_text(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, title in enumerate(
        ("[/bold] closed", "[red]red[/red] [link=file:///x]y[/link]", "a\x7fb\u202ec\x9b31m")
    ):
        write_tiny_package(place / "models" / f"odd-{number}", title=title)
    assert run(["models"]) == 0
    printed = capsys.readouterr()
    assert "[/bold] closed" in printed.out and "[red]red[/red]" in printed.out and "a?b?c?31m" in printed.out
    assert run(["models", "--json"]) == 0
    assert capsys.readouterr().out.isascii()
