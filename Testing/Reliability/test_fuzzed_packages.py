"""Cards and weight files altered at random: a valid package, or one sentence; never a traceback, a hang or a bomb."""

from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from tiny_model import write_tiny_package

from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages import load, open_package
from SITTranslateLib.packages.card import ModelCard, read_card

FUZZ = settings(
    max_examples=350, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
#: Weights may be read into memory, and little more.
MOST_BYTES = 64 << 20


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("models") / "tiny").folder


def is_sentence(text: str) -> bool:
    return text.endswith(".") and text.isprintable() and 15 <= len(text) <= 710 and "Traceback" not in text


ODD = st.one_of(
    st.sampled_from([None, True, -1, 0, 1 << 80, -1e308, 1e-320, "", "..", "../../x", "a" * 5000, "\0", "é\u202e", [],
                     {}]),
    st.floats(allow_nan=True),
    st.integers(),
    st.text(max_size=30),
    st.lists(st.integers(-3, 3), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
)  # fmt: skip


def altered(draw: st.DrawFn, value: Any, depth: int = 0) -> Any:
    """A JSON value with something in it replaced, removed or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)) > 0:
        key = draw(st.sampled_from(sorted(value)))
        change = draw(st.integers(0, 5))
        rest = {k: v for k, v in value.items() if k != key}
        if change == 0:
            return rest
        if change == 1:
            return {**value, draw(st.text(max_size=10)): draw(ODD)}
        return {**rest, key: altered(draw, value[key], depth + 1)}
    if isinstance(value, list) and value and draw(st.integers(0, 4)) > 0:
        index = draw(st.integers(0, len(value) - 1))
        if draw(st.integers(0, 3)) == 0:
            return value * draw(st.sampled_from([2, 100]))
        return [*value[:index], altered(draw, value[index], depth + 1), *value[index + 1 :]]
    return draw(ODD)


@st.composite
def texts(draw: st.DrawFn, original: str) -> bytes:
    """The bytes of a card: other values in it, or other bytes."""
    if draw(st.booleans()):
        raw = json.loads(original)
        for _ in range(draw(st.integers(1, 3))):
            raw = altered(draw, raw)
        return json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogatepass")
    content = bytearray(original.encode())
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(content)))
        change = draw(st.sampled_from(["cut", "insert", "flip", "double", "deep"]))
        if change == "cut":
            del content[where : where + draw(st.integers(1, 40))]
        elif change == "insert":
            content[where:where] = draw(st.binary(max_size=20))
        elif change == "flip" and where < len(content):
            content[where] = draw(st.integers(0, 255))
        elif change == "double":
            content[where:where] = content[where : where + 60]
        else:
            content[where:where] = draw(st.sampled_from([b"[", b'{"a":'])) * draw(st.sampled_from([3, 3000, 60000]))
    return bytes(content)


@FUZZ
@given(data=st.data())
def test_a_card_of_any_bytes_is_valid_or_refused(package: Path, tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("card")
    content = data.draw(texts((package / "model.json").read_text(encoding="utf-8")))
    (folder / "model.json").write_bytes(content)
    try:
        card = read_card(folder)
    except PackageError as error:
        assert is_sentence(str(error)), str(error)
        assert str(folder.parent) not in str(error)
        return
    assert ModelCard.from_dict(card.to_dict()) == card


DTYPES = ["F32", "F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", "", "f32"]


@st.composite
def weight_files(draw: st.DrawFn) -> bytes:
    """A safetensors file: an honest one with other bytes, or a header that says anything before a few bytes."""
    if draw(st.booleans()):
        content = bytearray(save({"a": torch.ones(4, 3), "b": torch.zeros(5)}))
        for _ in range(draw(st.integers(1, 5))):
            where = draw(st.integers(0, min(len(content) - 1, 160)))
            content[where] = draw(st.integers(0, 255))
        end = draw(st.sampled_from([0, 0, 3, 30, 150]))
        return bytes(content[: len(content) - end]) + draw(st.binary(max_size=8))
    whole = st.sampled_from([0, 1, 3, 4, 12, 16, -1, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 64, 1.5, "4", None])
    entry = st.fixed_dictionaries(
        {}, optional={
            "dtype": st.sampled_from(DTYPES) | ODD, "shape": st.lists(whole, max_size=5) | ODD,
            "data_offsets": st.lists(whole, min_size=2, max_size=2) | ODD, "extra": ODD,
        },
    )  # fmt: skip
    header = draw(st.dictionaries(st.sampled_from(["a", "b", "__metadata__", "", "x" * 3000, "\0"]), entry | ODD))
    text = json.dumps(header).encode()
    if draw(st.integers(0, 5)) == 0:
        text = text.replace(b'"a"', b'"b"')
    length = draw(
        st.sampled_from([len(text), len(text), len(text), 0, 1, len(text) + 7, 1 << 20, 1 << 62, (1 << 64) - 1])
    )
    return struct.pack("<Q", length) + text + bytes(draw(st.sampled_from([0, 4, 16, 64])))


@FUZZ
@given(content=weight_files())
def test_a_weight_file_of_any_bytes_is_read_or_refused(package: Path, tmp_path_factory: Any, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("weights")
    raw = json.loads((package / "model.json").read_text(encoding="utf-8"))
    # The card vouches for the bytes: what is tried here is the parser, not the hash.
    raw["files"] = [{"path": "w.safetensors", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}]
    (folder / "model.json").write_text(json.dumps(raw))
    (folder / "w.safetensors").write_bytes(content)
    tracemalloc.start()
    try:
        weights = load(open_package(folder))
    except PackageError as error:
        assert is_sentence(str(error)), str(error)
    else:
        assert all(bool(torch.isfinite(t).all()) for t in weights.values())
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES
