"""What the worker does when memory runs out, and what its error events say."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.host.jobs import Jobs, _precision
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import ExamineRequest, TranslateRequest
from SITTranslateLib.host.worker import Cancelled, NoRoomError, Teller, failure_of
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.volume import Volume


class Told:
    """Collects what a job tells."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.cancelled = threading.Event()
        self.tell = Teller(self.messages.append, 1, self.cancelled)

    def warnings(self) -> list[str]:
        return [str(m["sentence"]) for m in self.messages if m["event"] == "warning"]


def request(folder: Path, head: Volume, tiny: Path) -> dict[str, Any]:
    asked = TranslateRequest(head, str(tiny), options=TranslationOptions(device="cpu", force=True))
    return asked.line(1, folder, lambda _: {})


def test_out_of_memory_is_tried_again_with_half_precision(tmp_path: Path, head: Volume, tiny: Path) -> None:
    calls: list[int] = []

    def tight(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return translate(*args, **kwargs)

    told = Told()
    answer = Jobs(tmp_path, tight).run(request(tmp_path, head, tiny), told.tell)
    assert answer["translation"]["field_origin"] == "model"
    assert len(calls) == 2
    assert "half precision" in told.warnings()[0]


def test_the_record_says_that_half_precision_was_used() -> None:
    assert _precision(torch.device("cuda"), "float32", half=True) == "float16"
    assert _precision(torch.device("cuda"), "bfloat16", half=False) == "bfloat16"
    assert _precision(torch.device("cpu"), "float32", half=True) == "float32"


def test_an_ensemble_is_made_when_asked_for(tmp_path: Path, head: Volume, tiny: Path) -> None:
    asked = request(tmp_path, head, tiny) | {"ensemble": 2}
    answer = Jobs(tmp_path).run(asked, Told().tell)
    assert set(answer["translation"]["extras"]) == {"uncertainty", "uncertainty of the motion"}
    assert answer["translation"]["provenance"]["ensemble"] == 2


def test_a_contrast_that_is_named_lifts_the_doubt_about_it(tmp_path: Path, head: Volume, tiny: Path) -> None:
    card = json.loads((tiny / "model.json").read_text(encoding="utf-8"))
    source = {"name": "source", "title": "The scan is", "unit": "", "minimum": 0, "maximum": 1, "default": 0,
              "description": "-", "choices": ["as it looks", "FLAIR"]}  # fmt: skip
    shutil.copytree(tiny, tmp_path / "flair")
    (tmp_path / "flair" / "model.json").write_text(
        json.dumps(card | {"name": "flair", "source": "FLAIR", "attributes": [*card["attributes"], source]})
    )

    def severities(**asked: float) -> list[str]:
        line = ExamineRequest(head, str(tmp_path / "flair"), asked).line(1, tmp_path, lambda _: {})
        answer = Jobs(tmp_path).run(line, Told().tell)
        return [f["severity"] for f in answer["findings"] if f["code"] == "modality"]

    assert severities() == severities(source=0.0, age=3.0) == ["warn"]
    assert severities(source=1.0, age=3.0) == []


def test_when_that_is_not_enough_the_cpu_is_offered_and_not_taken(tmp_path: Path, head: Volume, tiny: Path) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("CUDA error: out of memory")

    jobs = Jobs(tmp_path, never)
    with pytest.raises(NoRoomError) as refusal:
        jobs.run(request(tmp_path, head, tiny), Told().tell)
    said = failure_of(refusal.value)
    assert said["failure"] is Failure.OUT_OF_MEMORY
    assert said["offer"] == "cpu"


def test_another_error_is_not_tried_again(tmp_path: Path, head: Volume, tiny: Path) -> None:
    calls: list[int] = []

    def broken(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Jobs(tmp_path, broken).run(request(tmp_path, head, tiny), Told().tell)
    assert calls == [1]


def test_a_cancel_is_heard_at_the_next_report(tmp_path: Path, head: Volume, tiny: Path) -> None:
    told = Told()

    def heard(*args: Any, progress: Any, **kwargs: Any) -> Any:
        told.cancelled.set()
        progress("running the network", 0.5)

    with pytest.raises(Cancelled):
        Jobs(tmp_path, heard).run(request(tmp_path, head, tiny), told.tell)


@pytest.mark.parametrize(
    ("error", "failure", "words"),
    [
        (InputError("The scan is empty; load it again."), Failure.INPUT, "The scan is empty; load it again."),
        (ModuleNotFoundError("No module named 'monai'", name="monai"), Failure.MISSING, "'monai' is not installed"),
        (MemoryError(), Failure.OUT_OF_MEMORY, "too little free memory"),
        (KeyError("x"), Failure.FAILED, "could not be run (KeyError: 'x')"),
        (Cancelled(), Failure.CANCELLED, "Cancelled."),
    ],
)
def test_every_error_is_one_sentence(error: BaseException, failure: Failure, words: str) -> None:
    said = failure_of(error)
    assert said["failure"] is failure
    assert words in said["sentence"]
    assert "\n" not in said["sentence"]


def test_lines_hold_no_numbers_that_json_lacks() -> None:
    assert protocol.encode({"event": "result", "x": float("nan"), "y": (1, 2)}) == (
        '{"event":"result","x":null,"y":[1,2]}\n'
    )


@pytest.mark.parametrize("name", ["../a.npy", "/etc/passwd", "a.npz", ".hidden.npy", "a/b.npy", ""])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.finish(protocol.taking_array(tmp_path, name))


def test_pickles_are_refused(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(protocol.ProtocolError):
        protocol.finish(protocol.taking_array(tmp_path, "bad.npy"))
