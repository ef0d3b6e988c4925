"""A result is made again from its sidecar: the same bytes here; another scan, model or seed shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, one_sentence, turned, write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib.app.main import run
from SITTranslateLib.errors import PackageError
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.translate.reproduction import reproduce
from SITTranslateLib.translate.saving import seal
from SITTranslateLib.volume import Volume


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, a scan and a result."""
    place = tmp_path_factory.mktemp("place")
    package = write_tiny_package(place / "models" / "tiny")
    scan = head(spacing=(5.0, 4.5, 5.5), rotation=turned((10, 5, -8)))
    sit.save_translation(sit.translate(scan, package, age=15, seed=7), place / "result")
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "place" / "models"))
    return tmp_path / "place"


def test_the_same_bytes_come_out_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = reproduce(place / "result")
    assert found.same_source and found.identical and found.difference == 0.0 and found.shift_mm == 0.0
    assert run(["reproduce", str(place / "result" / "provenance.json")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "PASS: made again, the same bytes"


@pytest.mark.parametrize("seed", range(6))
def test_the_scan_is_known_again_whatever_its_position(seed: int, made: Path, tmp_path: Path) -> None:
    """Files keep positions in single precision; a hash of rounded numbers must not fall over that."""
    rng = np.random.default_rng(seed)
    scan = head(spacing=(9.0, 9.0, 9.0), rotation=turned(tuple(rng.uniform(-40, 40, 3))))
    affine = scan.affine.copy()
    affine[:3, 3] += rng.uniform(-500, 500, 3)
    moved = Volume(scan.array, affine, "scan")
    sit.save_translation(sit.translate(moved, made / "models" / "tiny", force=True), tmp_path / "result")
    assert reproduce(tmp_path / "result", model=made / "models" / "tiny").verdict.startswith("PASS")


def test_another_scan_or_an_altered_result_fails(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    translated = read_volume(place / "result" / "translated.nii.gz")
    write_volume(translated.with_array(translated.array * 1.02), place / "result" / "translated.nii.gz")
    assert run(["reproduce", str(place / "result")]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAIL: made again to")
    source = read_volume(place / "result" / "source.nii.gz")
    write_volume(source.with_array(source.array + 1.0), place / "result" / "source.nii.gz")
    assert run(["reproduce", str(place / "result")]) == 1
    assert "is not the one that was translated" in capsys.readouterr().out


def test_other_attributes_in_the_sidecar_show(place: Path) -> None:
    sidecar = place / "result" / "provenance.json"
    raw = json.loads(sidecar.read_text(encoding="utf-8"))
    raw["SITTranslate"]["provenance"]["attributes"]["age"] = -15.0
    sidecar.write_text(json.dumps(raw))
    assert not reproduce(sidecar).passed


def test_other_software_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sidecar = place / "result" / "provenance.json"
    sidecar.write_text(sidecar.read_text(encoding="utf-8").replace('"device": "cpu"', '"device": "Old GPU"'))
    seal(place / "result")
    assert run(["reproduce", str(sidecar)]) == 0
    assert "Not as it was: device Old GPU, now cpu" in capsys.readouterr().out


def test_another_model_is_refused(place: Path) -> None:
    write_tiny_package(place / "models" / "tiny", "raw")
    with pytest.raises(PackageError, match="not those it was made with") as caught:
        reproduce(place / "result")
    assert one_sentence(str(caught.value))
    write_tiny_package(place / "models" / "tiny", version="0.2.0")
    with pytest.raises(PackageError, match=r"made by 'tiny' 0\.1\.0"):
        reproduce(place / "result")
    shutil.rmtree(place / "models" / "tiny")
    with pytest.raises(PackageError, match="There is no model 'tiny'"):
        reproduce(place / "result")
