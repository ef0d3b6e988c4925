"""Habits of command lines: quiet, JSON, several scans, a pattern, a file for a result, one line a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, write_tiny_package

from SITTranslateLib.app.main import run
from SITTranslateLib.files import read_labels, read_volume, write_volume


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scans, a label map, and a folder of models with one in it."""
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    write_tiny_package(tmp_path / "models" / "tiny")
    scan = head(spacing=(5.0, 5.0, 5.0))
    write_volume(scan, tmp_path / "one.nii.gz")
    write_volume(scan.with_array(scan.array * 0.9), tmp_path / "two.nii.gz")
    write_volume(scan.with_array((scan.array > scan.array.mean()) * 1.0), tmp_path / "labels.nii.gz")
    return tmp_path


def test_several_scans_and_a_pattern_get_a_folder_each(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "three.nii.gz").write_bytes(b"no scan")
    code = run(["translate", str(place / "t*.nii.gz"), str(place / "one.nii.gz"), "-m", "tiny", "-s", "age=+10",
                "--out", str(place / "all"), "--no-fields"])  # fmt: skip
    told = capsys.readouterr()
    assert code == 2 and "2 of 3 scans translated" in told.out and told.err.startswith("three.nii.gz: ")
    assert {path.name for path in (place / "all").iterdir()} == {"one", "two"}
    assert (place / "all" / "one" / "translated.nii.gz").is_file()
    assert not list((place / "all").rglob("*.nrrd")), "no fields"
    assert run(["translate", str(place / "no*.nii.gz"), "-m", "tiny", "--out", str(place / "none")]) == 2
    assert "No file matches" in capsys.readouterr().err and not (place / "none").exists()


def test_a_file_for_a_result_means_that_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["translate", str(place / "one.nii.gz"), "-m", "tiny", "-s", "age=+10", "--out", str(place / "x.nii.gz")]
    assert run(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASS: ")
    assert read_volume(place / "x.nii.gz").grid.matches(read_volume(place / "one.nii.gz").grid)
    about = json.loads((place / "x.json").read_text(encoding="utf-8"))
    assert about["Description"].startswith("Synthetic") and about["SITTranslate"]["provenance"]["package"]
    assert run(command) == 2 and "exists" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--strength", "0.5"]) == 2
    assert "is one file" in capsys.readouterr().err


def test_json_quiet_and_verbose(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, labels = str(place / "result"), str(place / "labels.nii.gz")
    assert run(["translate", str(place / "one.nii.gz"), "-m", "tiny", "-s", "age=+10", "-o", out, "--json",
                "--segmentation", labels]) == 0  # fmt: skip
    made = json.loads(capsys.readouterr().out)
    assert made["verdict"].startswith("PASS") and made["out"] == out and made["provenance"]["attributes"]["age"] == 10
    inside = float(np.sum(read_labels(labels)[0]))
    assert made["segments"][0]["volume_before_mm3"] == pytest.approx(125.0 * inside, rel=1e-6)
    assert run(["check", out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is True and found["folded"] == 0 and found["verdict"].startswith("PASS")
    assert run(["check", out, "-q"]) == 0
    told = capsys.readouterr()
    assert told.out == "" and told.err == ""
    assert run(["check", out, "-v"]) == 0 and "Model: " in capsys.readouterr().out, "quiet ends with its command"
    again = ["translate", str(place / "one.nii.gz"), "-m", "tiny", "-s", "age=+10", "-o", out, "--overwrite"]
    assert run([*again, "-v"]) == 0
    lines = [line.split("% ")[1] for line in capsys.readouterr().err.splitlines() if "% " in line]
    assert lines[0] == "reading" and "writing" in lines
    assert run([*again, "--segmentation", labels]) == 0
    assert any(" mL (" in line for line in capsys.readouterr().out.splitlines())


def test_check_of_a_scan_says_what_it_is_for(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(place / "one.nii.gz")]) == 2
    told = capsys.readouterr().err
    assert "is a scan" in told and "'trace SCAN IMAGE'" in told


def test_models_are_a_line_each_and_one_in_full(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("tiny ") or line.split()[0] == "tiny" for line in lines) == 1
    assert lines[-1] == "More about one: sittranslate models info NAME"
    assert run(["models", "info", "tiny"]) == 0
    told = capsys.readouterr().out
    assert "--set age=..." in told and "Licence: " in told and "sha256 " in told
    assert run(["models", "info", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"
    assert run(["models", "remove", "brain-ageing-t1w"]) == 2
    assert "comes with the program" in capsys.readouterr().err
    assert run(["models", "remove", "tiny"]) == 0 and not (place / "models" / "tiny").exists()
    assert run(["models", "remove", "tiny"]) == 2


def test_a_shell_is_told_commands_and_options() -> None:
    """As bash asks: the words so far in the environment."""
    environment = os.environ | {"_SITTRANSLATE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}

    def completions(words: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-m", "SITTranslateLib.app.main"], capture_output=True, text=True, check=False,
            env=environment | {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        )  # fmt: skip
        return {line.split(",")[-1] for line in done.stdout.split()}

    assert {"translate", "trace"} <= completions("sittranslate tra")
    assert "--no-fields" in completions("sittranslate translate --no")
