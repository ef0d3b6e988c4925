"""Packages: what was written comes back; what was altered, or tries something, is refused before it is parsed."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from tiny_model import one_sentence, tiny_card, write_tiny_package

from SITTranslateLib import systems
from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages import (
    ModelCard,
    available,
    broken,
    find,
    load,
    open_package,
    signature,
    store,
    write_package,
)
from SITTranslateLib.packages.card import validate
from SITTranslateLib.translate.model import load_model


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_tiny_package(tmp_path / "tiny").folder


def card_of(folder: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return raw


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = card_of(folder)
    change(raw)
    (folder / "model.json").write_text(json.dumps(raw))


def replace_weights(folder: Path, content: bytes) -> None:
    """Other bytes under a card that vouches for them."""
    (folder / "weights.safetensors").write_bytes(content)
    entry = {"path": "weights.safetensors", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    rewrite(folder, lambda raw: raw.update(files=[entry]))


def test_round_trip_keeps_card_and_weights(tmp_path: Path) -> None:
    card = tiny_card()
    network = systems.create("sit", card.system.parameters)
    written = write_package(tmp_path / "full", card, network.state_dict())
    back = open_package(tmp_path / "full")
    assert back.card == written.card
    for name, tensor in load(back).items():
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=0, atol=0)
    half = write_package(tmp_path / "half", card, network.state_dict(), fp16=True)
    assert half.bytes < 0.65 * written.bytes
    for name, tensor in load(half).items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=1e-3, atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "half"]


def test_sha256_is_the_file_s(package: Path) -> None:
    content = (package / "weights.safetensors").read_bytes()
    assert open_package(package).sha256 == hashlib.sha256(content).hexdigest()


def flip(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def link(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def with_text(folder: Path, old: str, new: str) -> None:
    path = folder / "model.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1))


HUGE_HEADER = struct.pack("<Q", 1 << 40) + b"{}"
LONG_HEADER = struct.pack("<Q", 9 << 20) + b" " * (9 << 20)
ABSURD_SHAPE = json.dumps({"w": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 4]}}).encode()
OVERLAP = json.dumps({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}).encode()
ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit altered": (flip, "altered"),
    "cut off": (lambda d: (d / "weights.safetensors").write_bytes(b"1234"), "4 bytes where the card says"),
    "weights missing": (lambda d: (d / "weights.safetensors").unlink(), "missing"),
    "weights are a link": (link, "a link"),
    "card missing": (lambda d: (d / "model.json").unlink(), "no model.json"),
    "card is no JSON": (lambda d: (d / "model.json").write_text("{"), "cannot be read as JSON"),
    "card is binary": (lambda d: (d / "model.json").write_bytes(bytes(range(256))), "cannot be read as JSON"),
    "card is a list": (lambda d: (d / "model.json").write_text("[]"), "not understood"),
    "card is endless": (lambda d: (d / "model.json").write_text(" " * (2 << 20)), "larger than a card"),
    "card is deep": (lambda d: (d / "model.json").write_text("[" * 500000), "nested too deeply|as JSON"),
    "key twice": (lambda d: with_text(d, '"version"', '"name": "x", "version"'), "occurs twice"),
    "NaN": (lambda d: with_text(d, '"low": 0.5', '"low": NaN'), "not a number"),
    "unknown key": (lambda d: rewrite(d, lambda r: r.update(code="import os")), "not understood"),
    "key missing": (lambda d: rewrite(d, lambda r: r.pop("licence")), "licence"),
    "path out": (lambda d: rewrite(d, lambda r: r["files"][0].update(path="../w.safetensors")), "not understood"),
    "absolute path": (lambda d: rewrite(d, lambda r: r["files"][0].update(path="/etc/passwd")), "not understood"),
    "pickle": (lambda d: rewrite(d, lambda r: r["files"][0].update(path="w.pt")), "not understood"),
    "onnx here": (lambda d: rewrite(d, lambda r: r["files"][0].update(path="w.onnx")), "loads nothing else"),
    "pickle inside": (lambda d: replace_weights(d, pickle.dumps({"w": 1}, protocol=4)), "not valid safetensors"),
    "header bomb": (lambda d: replace_weights(d, HUGE_HEADER), "impossible length"),
    "long header": (lambda d: replace_weights(d, LONG_HEADER), "impossible length"),
    "absurd tensor": (
        lambda d: replace_weights(d, struct.pack("<Q", len(ABSURD_SHAPE)) + ABSURD_SHAPE + b"1234"),
        "not valid safetensors",
    ),
    "overlapping tensors": (
        lambda d: replace_weights(d, struct.pack("<Q", len(OVERLAP)) + OVERLAP + b"1234"),
        "not valid safetensors",
    ),
    "NaN weights": (lambda d: replace_weights(d, save({"w": torch.tensor([float("nan")])})), "not finite"),
    "other weights": (lambda d: replace_weights(d, save({"w": torch.zeros(2)})), "do not fit"),
    "absurd network": (lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(widths=[900000] * 3)), "fit"),
    "negative network": (
        lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(widths=[-1, 4])),
        "understood",
    ),
    "unknown system": (lambda d: rewrite(d, lambda r: r["system"].update(name="magic")), "does not know the system"),
    "unknown parameter": (lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(x=1)), "not understood"),
    "range without default": (lambda d: rewrite(d, lambda r: r["attributes"][0].update(default=99)), "range"),
    "huge grid": (lambda d: rewrite(d, lambda r: r["grid"].update(shape=[99999] * 3)), "not understood"),
    "line end after the name": (lambda d: rewrite(d, lambda r: r.update(name="tiny\n")), "not match"),
    "line end after a version": (lambda d: rewrite(d, lambda r: r.update(version="0.1.0\n")), "not match"),
    "line end after a file": (
        lambda d: rewrite(d, lambda r: r["files"][0].update(path="weights.safetensors\n")),
        "not match",
    ),
    "line end after a key": (
        lambda d: rewrite(d, lambda r: r["system"]["parameters"].update({"widths\n": 1})),
        "not understood",
    ),
    "line end after a contrast": (lambda d: rewrite(d, lambda r: r.update(targets=["T1w\n"])), "not match"),
    "nested 900 deep": (lambda d: rewrite(d, lambda r: r["training"].update(config=nested(900))), "nested too deeply"),
    "nested 40 deep": (lambda d: rewrite(d, lambda r: r["training"].update(config=nested(40))), "nested too deeply"),
    "scale of 0": (lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(scales=[10, 0])), "other than 0"),
    "scale that is text": (
        lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(scales=[10, "x"])),
        "other than 0",
    ),
    "attributes that are a number": (
        lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(attributes=7)),
        "understood",
    ),
    "widths that are text": (
        lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(widths="wide")),
        "understood",
    ),
    "widths with null": (
        lambda d: rewrite(d, lambda r: r["system"]["parameters"].update(widths=[None, {}])),
        "not understood",
    ),
    "grid of 512 x 512 x 512": (lambda d: rewrite(d, lambda r: r["grid"].update(shape=[512] * 3)), "more voxels"),
    "range upside down": (lambda d: rewrite(d, lambda r: r["normalisation"].update(low=99.9)), "low end"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_altered_package_is_refused_in_one_sentence(attack: str, package: Path) -> None:
    change, expected = ATTACKS[attack]
    change(package)
    with pytest.raises(PackageError, match=expected) as caught:
        load_model(package, "cpu")
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 500
    assert str(package.parent) not in sentence


def test_packages_are_found_by_name_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path))
    write_tiny_package(tmp_path / "one", name="tiny-a")
    write_tiny_package(tmp_path / "two", name="tiny-a", version="0.10.0")
    write_tiny_package(tmp_path / "three", name="tiny-b")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.json").write_text("{}")
    names = [p.name for p in available()]
    assert names == sorted(names) and {"tiny-a", "tiny-b"} <= set(names)
    assert find("tiny-a").card.version == "0.10.0", "the newest version, by number and not by letter"
    assert find(tmp_path / "one").card.version == "0.1.0"
    assert any("'bad'" in problem for problem in broken())
    with pytest.raises(PackageError, match=r"There is no model 'nothing'; known models: .*tiny-a") as caught:
        find("nothing")
    assert one_sentence(str(caught.value))


def test_a_folder_in_the_working_directory_hides_no_installed_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    write_tiny_package(tmp_path / "models" / "tiny", title="installed")
    write_tiny_package(tmp_path / "here" / "tiny", title="of the working directory")
    write_tiny_package(tmp_path / "here" / "other", title="only here")
    monkeypatch.chdir(tmp_path / "here")
    assert find("tiny").card.title == "installed"
    assert find("./tiny").card.title == find(tmp_path / "here" / "tiny").card.title == "of the working directory"
    assert find("other").card.title == "only here"


def test_an_unsigned_package_replaces_no_shipped_or_signed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    (tmp_path / "keys").write_text(f"{public} the clinic\n")
    monkeypatch.setenv("SITTRANSLATE_TRUSTED_KEYS", str(tmp_path / "keys"))
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    monkeypatch.setattr(store, "locations", lambda: [shipped, own])
    write_tiny_package(shipped / "tiny", version="0.2.0")
    write_tiny_package(own / "newer", name="tiny", version="9999.0.0")
    assert find("tiny").card.version == "0.2.0" and [p.card.version for p in available()] == ["0.2.0"]
    assert any("9999.0.0" in problem and "not signed by a trusted key" in problem for problem in broken())
    assert find(own / "newer").card.version == "9999.0.0"
    # One that is signed does; a signature of somebody else, or of another card, does not.
    signature.sign(own / "newer", ed25519.Ed25519PrivateKey.generate().private_bytes_raw())
    assert find("tiny").card.version == "0.2.0"
    signature.sign(own / "newer", key.private_bytes_raw())
    assert find("tiny").card.version == "9999.0.0" and broken() == []
    with_text(own / "newer", "Tiny test model", "Tiny altered model")
    assert find("tiny").card.version == "0.2.0"


def test_failed_write_leaves_the_old_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in package.iterdir()}

    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(PackageError, match="disk is full"):
        write_tiny_package(package, "raw")
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in package.iterdir()} == before
    assert [p.name for p in package.parent.iterdir()] == ["tiny"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=st.sampled_from(sorted(tiny_card().to_dict())), value=JSON)
def test_card_with_any_value_anywhere_is_valid_or_refused(key: str, value: object) -> None:
    file = {"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 10}
    raw = {**tiny_card().to_dict(), "files": [file], key: value}
    try:
        card = ModelCard.from_dict(raw)
    except PackageError:
        return
    assert ModelCard.from_dict(card.to_dict()) == card


def test_schema_is_itself_valid_and_names_the_place_of_an_error() -> None:
    from jsonschema import Draft202012Validator

    from SITTranslateLib.packages.card import SCHEMA_FILE

    Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    file = {"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 10}
    raw = {**tiny_card().to_dict(), "files": [file]}
    raw["grid"]["spacing_mm"] = 400
    with pytest.raises(PackageError, match=r"^grid\.spacing_mm: 400 is greater"):
        validate(raw)
