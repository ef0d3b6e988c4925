"""Real scans through the command line with an untrained model: the house, not the model, is tested here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_model import write_tiny_package

from SITTranslateLib.app.main import run
from SITTranslateLib.files import read_volume


@pytest.mark.parametrize("scan", ["ms_cross/patient26_T1w.nii.gz", "ms_long/patient01_study1_T1W.nii.gz"])
def test_a_real_scan_keeps_its_grid_and_passes_the_check(
    scan: str, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Geometry only: an untrained intensity branch would paint the air.
    package = write_tiny_package(tmp_path / "tiny", "dt")
    out = tmp_path / "out"
    assert run(["translate", str(real_data / scan), "-m", str(package.folder), "-s", "age=+10", "-o", str(out)]) == 0
    source, translated = read_volume(real_data / scan), read_volume(out / "translated.nii.gz")
    assert translated.grid.matches(source.grid)
    assert abs(translated.array.mean() / source.array.mean() - 1) < 0.1
    assert run(["check", str(out)]) == 0, capsys.readouterr().out


def test_a_CT_is_refused_with_its_reason_and_forced_on_request(
    real_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny", "it")
    command = ["translate", str(real_data / "ct_dicom"), "-m", str(package.folder), "-o", str(tmp_path / "out")]
    assert run(command) == 2
    assert "looks like a CT" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run([*command, "--force"]) == 0
    made = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))["SITTranslate"]["provenance"]
    assert "looks like a CT" in made["forced"][0]
    assert "ustrialian" not in json.dumps(made)
