"""Odd arguments of the public functions: one sentence, never Python's own error."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import SITTranslateLib as sit
from SITTranslateLib.systems.prescribed.changes import ratios
from SITTranslateLib.systems.prescribed.regions import shares_of_labels

sys.path.insert(0, str(Path(__file__).parent / "host"))
import tiny_package

#: Of other types than anything is; the second whole number has more digits than Python writes out.
STRANGE: tuple[object, ...] = (
    7, -1, 10**400, 10**5000, math.nan, math.inf, 1j, b"x", object(), object, {1: 2}, np.zeros(3), [1], "\ud800", "\0",
    "no such thing",
)  # fmt: skip
NOT_TEXT = STRANGE[:-3]
WORDS = STRANGE[-3:]
LONG = "a" * 5000


@dataclass(frozen=True)
class Things:
    """What is in order, so that one argument alone is not."""

    head: Any
    labels: Any
    model: Any
    made: Any
    folder: Path
    place: Path


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Things:
    place = tmp_path_factory.mktemp("odd")
    head = tiny_package.head(24, 7.5)
    model = sit.load_model(tiny_package.write(place), "cpu")
    made = sit.translate(head, model, force=True)
    folder = sit.save_translation(made, place / "made")
    labels = sit.Volume((head.array > 110).astype(np.float32), head.affine, "labels")
    return Things(head, labels, model, made, folder, place)


Call = Callable[[Things, Any], object]
#: What is called with the odd value, and the values.
CALLS: dict[str, tuple[Call, tuple[object, ...]]] = {
    "read_volume": (lambda t, v: sit.read_volume(v), (None, "", LONG, *STRANGE)),
    "load_model": (lambda t, v: sit.load_model(v), (None, "", LONG, *STRANGE)),
    "load_model, device": (lambda t, v: sit.load_model(t.model, v), (None, "", LONG, *STRANGE)),
    "translate, volume": (lambda t, v: sit.translate(v, t.model), (None, "", LONG, *STRANGE)),
    "translate, model": (lambda t, v: sit.translate(t.head, v), (None, "", LONG, *STRANGE)),
    "translate, attributes": (lambda t, v: sit.translate(t.head, t.model, attributes=v), ("", (), *STRANGE)),
    "translate, age": (lambda t, v: sit.translate(t.head, t.model, age=v), (None, "", LONG, *STRANGE[2:])),
    "translate, seed": (lambda t, v: sit.translate(t.head, t.model, seed=v), ("", 2**63, *STRANGE[1:])),
    "translate, device": (lambda t, v: sit.translate(t.head, t.model, device=v), ("", LONG, *STRANGE)),
    "translate, precision": (lambda t, v: sit.translate(t.head, t.model, precision=v), ("", LONG, *STRANGE)),
    "translate, ensemble": (lambda t, v: sit.translate(t.head, t.model, ensemble=v), ("", 0, *STRANGE[1:])),
    "translate, force": (lambda t, v: sit.translate(t.head, t.model, force=v), ("", *STRANGE)),
    "translate, options": (lambda t, v: sit.translate(t.head, t.model, options=v), ("", (), *STRANGE)),
    "translate, progress": (
        lambda t, v: sit.translate(t.head, t.model, progress=v),
        ("", *[one for one in STRANGE if one is not object]),
    ),
    "verify": (lambda t, v: sit.verify(v), (None, "", *STRANGE)),
    "segment_table, translation": (lambda t, v: sit.segment_table(v, t.labels), (None, "", *STRANGE)),
    "segment_table, labels": (lambda t, v: sit.segment_table(t.made, v), (None, "", *STRANGE)),
    "segment_table, names": (lambda t, v: sit.segment_table(t.made, t.labels, v), ("", {"a": "b"}, *STRANGE)),
    "segment_table, other labels": (lambda t, v: sit.segment_table(t.made, t.labels, None, v), ("", *STRANGE)),
    "read_translation": (lambda t, v: sit.read_translation(v), (None, "", LONG, *STRANGE)),
    "reproduce": (lambda t, v: sit.reproduce(v), (None, "", LONG, *STRANGE)),
    "reproduce, model": (lambda t, v: sit.reproduce(t.folder, model=v), ("", LONG, *STRANGE)),
    "reproduce, device": (
        lambda t, v: sit.reproduce(t.folder, model=t.model.package.folder, device=v),
        ("", LONG, *STRANGE),
    ),
    "save_translation": (lambda t, v: sit.save_translation(v, t.place / "new"), (None, "", *STRANGE)),
    "save_translation, folder": (lambda t, v: sit.save_translation(t.made, v), (None, "", LONG, *NOT_TEXT, *WORDS[:2])),
    "save_translation, strength": (
        lambda t, v: sit.save_translation(t.made, t.place / "new", strength=v),
        ("", True, 2**63, *STRANGE[2:11], *STRANGE[12:]),
    ),
    "write_volume": (lambda t, v: sit.write_volume(v, t.place / "a.nii.gz"), (None, "", *STRANGE)),
    "write_volume, path": (lambda t, v: sit.write_volume(t.head, v), (None, "", LONG, *STRANGE)),
    "write_volume, note": (lambda t, v: sit.write_volume(t.head, t.place / "a.nii.gz", v), (None, *NOT_TEXT)),
    "write_field": (lambda t, v: sit.write_field(v, t.place / "a.nrrd"), (None, "", *STRANGE)),
    "prescribe, volume": (lambda t, v: sit.prescribe(v, t.labels, changes={"caudate": 1}), (None, "", *STRANGE)),
    "prescribe, labels": (lambda t, v: sit.prescribe(t.head, v, changes={"caudate": 1}), ("", *STRANGE)),
    "prescribe, changes": (lambda t, v: sit.prescribe(t.head, t.labels, changes=v), (None, "", *STRANGE)),
    "prescribe, preset": (lambda t, v: sit.prescribe(t.head, t.labels, preset=v, years=1), (None, "", *NOT_TEXT)),
    "prescribe, age": (
        lambda t, v: sit.prescribe(t.head, t.labels, preset="ms", age=v, years=1),
        ("", *STRANGE[1:]),
    ),
    "prescribe, years": (lambda t, v: sit.prescribe(t.head, t.labels, preset="ms", years=v), (None, "", *STRANGE[2:])),
    "trace, source": (lambda t, v: sit.trace(v, t.head), (None, "", LONG, *STRANGE)),
    "trace, translated": (lambda t, v: sit.trace(t.head, v), (None, "", LONG, *STRANGE)),
    "trace, labels": (lambda t, v: sit.trace(t.head, t.head, v), ("", *STRANGE)),
    "trace, landmarks": (
        lambda t, v: sit.trace(t.head, t.head, landmarks=v),
        ("", (["a"], None), (["a"], [[1, 2, 3], [4, 5, 6]]), *STRANGE),
    ),
    "trace, contrasts": (lambda t, v: sit.trace(t.head, t.head, contrasts=v), ("", "T1", ("T1w",), (1, 2), *STRANGE)),
    "trace, sampling": (lambda t, v: sit.trace(t.head, t.head, sampling=v), ("", *STRANGE)),
    "trace, device": (lambda t, v: sit.trace(t.head, t.head, device=v), (None, "", *STRANGE)),
    "strength": (lambda t, v: t.made.at(v), (None, "", True, *STRANGE[2:11], *STRANGE[12:])),
    "Volume": (lambda t, v: sit.Volume(v, np.eye(4)), (None, "", [[1], [1, 2]], *STRANGE)),
    "Volume, affine": (lambda t, v: sit.Volume(np.zeros((2, 2, 2)), v), (None, "", [[10**400] * 4] * 4, *STRANGE)),
    "Volume, name": (lambda t, v: sit.Volume(np.zeros((2, 2, 2)), np.eye(4), v), (None, *NOT_TEXT)),
    "Grid": (lambda t, v: sit.Grid(v, np.eye(4)), (None, "", (2, 2), (2, 2, -2), (2, 2, 2.5), *STRANGE)),
    "volume_from_node": (lambda t, v: sit.volume_from_node(v), (None, "", *STRANGE)),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_odd_argument_is_one_sentence(call: str, things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(things.place)
    function, values = CALLS[call]
    wrong = []
    for value in values:
        try:
            function(things, value)
        except sit.InputError as error:
            sentence = str(error)
            if len(sentence) < 15 or not sentence.endswith(".") or "Traceback" in sentence:
                wrong.append(f"{type(value).__name__}: {sentence}")
        except Exception as error:
            wrong.append(f"{type(value).__name__}: {type(error).__name__} {error}")
        else:
            wrong.append(f"{type(value).__name__}: taken")
    assert wrong == []
    assert not (things.place / "new").exists()


@pytest.mark.parametrize(
    "value", [math.nan, 10**400, 10**5000, None, True, [], "9" * 400, "-1e3 %", "8 % a week"], ids=range(9)
)
def test_a_change_of_volume_that_is_none_is_one_sentence(value: object) -> None:
    with pytest.raises(sit.InputError):
        ratios({"hippocampus": value}, {"left hippocampus": 4.0, "right hippocampus": 4.0}, 80.0)


def test_labels_beyond_those_of_freesurfer_take_no_memory_and_are_no_brain() -> None:
    labels = np.zeros((40, 40, 40), np.float32)
    labels[5:35, 5:35, 5:35] = 2.0**31
    with pytest.raises(sit.InputError, match="brain"):
        shares_of_labels(sit.Volume(labels, np.diag([3.0, 3.0, 3.0, 1.0]), "atlas"))
