"""The options of a translation reach its record by every way in, and it can be made again from the record.

The panel, its sweep and the module's logic are walked in ``Testing/Widget/test_options_in_the_module.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import head, one_sentence, write_tiny_package
from worker_here import WorkerHere

import SITTranslateLib as sit
from SITTranslateLib.app.main import run as run_command
from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient
from SITTranslateLib.host.requests import TranslateRequest
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.packages import Package
from SITTranslateLib.translate.reproduction import make_again
from SITTranslateLib.translation import Provenance
from SITTranslateLib.volume import Volume

#: None of them the usual one.
OPTIONS = TranslationOptions(device="cpu", seed=5, precision="bfloat16", ensemble=2, force=True)
FLAGS = ["--device", "cpu", "--seed", "5", "--precision", "bfloat16", "--ensemble", "2", "--force"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return write_tiny_package(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scan() -> Volume:
    return head(spacing=(8.0, 8.0, 8.0))


@pytest.fixture(scope="module")
def file(scan: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sit.write_volume(scan, tmp_path_factory.mktemp("scans") / "head.nii.gz")


@pytest.fixture
def host() -> Iterator[HostClient]:
    with HostClient(WorkerHere) as client:
        yield client


def test_from_python(scan: Volume, tiny: Package) -> None:
    assert sit.translate(scan, tiny, options=OPTIONS).provenance.options == OPTIONS
    by_name = sit.translate(
        scan, tiny, device="cpu", seed=5, precision="bfloat16", ensemble=2, force=True, attributes={"age": 5}
    )
    assert by_name.provenance.options == OPTIONS
    one_other = sit.translate(scan, tiny, options=OPTIONS, ensemble=1)
    assert one_other.provenance.options == OPTIONS.changed(ensemble=1)


def test_from_the_command_line(file: Path, tiny: Package, tmp_path: Path) -> None:
    command = ["translate", str(file), "--model", str(tiny.folder), "--out", str(tmp_path / "out")]
    assert run_command([*command, *FLAGS]) == 0
    assert sit.read_translation(tmp_path / "out").provenance.options == OPTIONS


def test_from_a_batch(file: Path, tiny: Package, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / file.name).write_bytes(file.read_bytes())
    command = ["batch", str(scans), "--model", str(tiny.folder), "--out", str(tmp_path / "out")]
    assert run_command([*command, *FLAGS]) == 0
    (sidecar,) = (p for p in (tmp_path / "out").rglob("*.json") if "provenance" in p.read_text(encoding="utf-8"))
    assert sit.read_translation(sidecar).provenance.options == OPTIONS


def test_from_the_worker_process(scan: Volume, tiny: Package, host: HostClient) -> None:
    answer = host.run(TranslateRequest(scan, str(tiny.folder), options=OPTIONS))
    assert answer.provenance.options == OPTIONS


def test_from_the_page(
    file: Path, tiny: Package, host: HostClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import SITTranslateLib.host.client
    from SITTranslateLib.view import serving

    shown: list[Any] = []
    monkeypatch.setattr(serving, "require_trame", lambda: None)
    monkeypatch.setattr(serving, "serve", lambda translation, *_args, **_keywords: shown.append(translation))
    monkeypatch.setattr(SITTranslateLib.host.client, "HostClient", lambda **_: host)
    assert run_command(["view", str(file), "--model", str(tiny.folder), *FLAGS]) == 0
    assert shown[0].provenance.options == OPTIONS


def test_from_the_demo(tiny: Package, scan: Volume, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("vtkmodules")
    from SITTranslateLib.app import demo_brain
    from SITTranslateLib.scene.headless import opengl

    labels = scan.with_array(np.float32(demo_brain.VENTRICLES) * (scan.array > 0))
    monkeypatch.setattr(demo_brain, "load_brain", lambda: (scan, labels))
    monkeypatch.setattr(demo_brain, "NAMES", {demo_brain.VENTRICLES: "ventricles"})
    monkeypatch.setattr(opengl, "opengl_missing", lambda: "not wanted here")
    assert run_command(["demo", "--model", str(tiny.folder), "--out", str(tmp_path / "demo"), *FLAGS]) == 0
    assert sit.read_translation(tmp_path / "demo").provenance.options == OPTIONS


def test_a_result_is_made_again_from_its_record_alone(scan: Volume, tiny: Package) -> None:
    made = sit.translate(scan, tiny, options=OPTIONS, attributes={"age": 12.0})
    record = Provenance.from_dict(json.loads(json.dumps(made.provenance.to_dict())))
    again = make_again(scan, record, model=tiny.folder)
    assert np.array_equal(again.translated.array, made.translated.array)
    assert np.array_equal(again.extras["uncertainty"].array, made.extras["uncertainty"].array)
    assert again.provenance.options == made.provenance.options


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"seed": -1}, "not a whole number"),
        ({"seed": 1.5}, "not a whole number"),
        ({"seed": 2**63}, "not a whole number"),
        ({"precision": "float8"}, "not one of float32"),
        ({"ensemble": 0}, "ask for 2 to 64 answers"),
        ({"ensemble": 65}, "ask for 2 to 64 answers"),
        ({"force": "yes"}, "true or false"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        TranslationOptions(**values)
    assert one_sentence(str(refusal.value))


def test_options_come_back_from_plain_types() -> None:
    line = json.dumps({**OPTIONS.to_dict(), "seed": 5, "model": "another key"})
    assert TranslationOptions.from_dict(json.loads(line)) == OPTIONS
    assert TranslationOptions(seed=np.int64(5)).to_dict()["seed"] == 5


@pytest.mark.parametrize(
    ("early", "expected"),
    [
        ({"device": "cpu"}, TranslationOptions("cpu")),
        ({"device": "NVIDIA H100", "seed": 4}, TranslationOptions("auto", 4)),
        ({"device": "cpu", "forced": ["It is not T1w."]}, TranslationOptions("cpu", force=True)),
    ],
)
def test_options_of_earlier_records_are_understood(early: dict[str, Any], expected: TranslationOptions) -> None:
    record = {
        "package": "a", "version": "0.1.0", "sha256": "", "system": "sit", "attributes": {}, "seed": 0,
        "source_sha256": "", "created": "", "seconds": 1.0, **early,
    }  # fmt: skip
    assert Provenance.from_dict(record).options == expected
