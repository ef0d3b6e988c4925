"""Every request crosses the pipe unchanged, and a line that is none is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_translation import synthetic_translation

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol, requests
from SITTranslateLib.host.protocol import ProtocolError, Request
from SITTranslateLib.host.results import reading_answer
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Grid, VectorField, Volume

SCAN = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.diag([2.0, 3.0, 4.0, 1.0]), "scan")
FIELD = VectorField(np.ones((2, 3, 4, 3), np.float32), SCAN.affine)
RESULT = synthetic_translation(Grid((8, 8, 8), np.eye(4)))
ALL = [
    requests.DescribeRequest(),
    requests.ExamineRequest(SCAN, "m", {"source": 1.0}),
    requests.TranslateRequest(SCAN, "m", {"age": 5.0}, TranslationOptions("cpu", 7, "bfloat16", 3, True)),
    requests.RecomposeRequest(RESULT, 0.5, spatial=False, fields=True),
    requests.EstimateRequest(RESULT),
    requests.EstimateRequest(source=SCAN, translated=SCAN, finer=True),
    requests.RestoreRequest(SCAN, {"package": "m"}, "model", 0.25, change=SCAN, velocity=FIELD),
    requests.SegmentsRequest(RESULT, SCAN, {"2": "brain"}, translated_labels=SCAN),
    requests.TraceRequest(RESULT, [[1.0, 2.0, 3.0]], "to source", ["P-1"]),
    requests.ForgetRequest("1-1"),
    requests.UnloadRequest(),
    requests.StructuresRequest(RESULT),
    requests.PrescribeRequest(SCAN, {"thalamus": "-5"}, years=4.0),
    requests.ForecastRequest(SCAN, SCAN, 200.0, 5.0, "ms"),
    requests.ChangesRequest(preset="ms", age=40.0),
]


def line(request: requests.HostRequest, folder: Path) -> dict[str, Any]:
    message = request.line(9, folder, lambda translation: {"key": str(id(translation))})
    return protocol.decode(protocol.encode(message), "request")


def taken(message: dict[str, Any], folder: Path) -> requests.HostRequest:
    def translation_of(about: dict[str, Any]) -> Translation:
        assert about == {"key": str(id(RESULT))}
        return RESULT

    return requests.received(message, folder, translation_of)


def test_there_is_a_type_for_every_kind_that_is_computed() -> None:
    assert {request.kind for request in ALL} == set(Request) - {Request.CANCEL, Request.QUIT}


@pytest.mark.parametrize("request_", ALL, ids=lambda r: type(r).__name__)
def test_a_request_crosses_the_pipe_unchanged(request_: requests.HostRequest, tmp_path: Path) -> None:
    message = line(request_, tmp_path)
    assert (message["request"], message["id"]) == (request_.kind.value, 9)
    other = taken(message, tmp_path)
    assert type(other) is type(request_) and list(tmp_path.iterdir()) == []
    for f in fields(request_):
        sent, received = getattr(request_, f.name), getattr(other, f.name)
        if isinstance(sent, (Volume, VectorField)):
            assert np.array_equal(received.array, sent.array) and np.array_equal(received.affine, sent.affine)
            assert getattr(received, "name", "") == getattr(sent, "name", "")
        else:
            assert received is sent or received == sent


def test_options_have_each_their_own_name_and_what_is_absent_has_none(tmp_path: Path) -> None:
    message = line(ALL[2], tmp_path)
    expected = {"device": "cpu", "seed": 7, "precision": "bfloat16", "ensemble": 3, "force": True}
    assert {name: message.get(name) for name in expected} == expected and "options" not in message
    assert set(line(ALL[4], tmp_path)) == {"request", "id", "translation", "finer"}


def test_a_number_that_json_lacks_comes_back(tmp_path: Path) -> None:
    message = line(replace(ALL[6], recomposition_error=float("nan")), tmp_path)
    assert message["recomposition_error"] is None
    assert np.isnan(taken(message, tmp_path).recomposition_error)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"request": "cancel"}, "nothing that the worker computes"),
        ({"request": "translate", "model": "m"}, "lacks 'volume'"),
        ({"request": "recompose", "translation": {"key": str(id(RESULT))}}, "is not complete"),
        ({"request": "forget", "key": 3}, "'key' of the request 'forget' is of another type"),
        ({"request": "changes", "preset": "ms", "age": True}, "'age' of the request 'changes' is of another type"),
        ({"request": "changes", "preset": "ms", "age": "2"}, "'age' of the request 'changes' is of another type"),
        ({"request": "estimate", "source": {"file": "../x.npy", "affine": []}}, "not a file of the protocol"),
    ],
)
def test_what_is_no_request_is_refused(message: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=words):
        taken(json.loads(json.dumps(message)), tmp_path)


def test_options_that_make_no_sense_are_one_sentence(tmp_path: Path) -> None:
    message = line(ALL[2], tmp_path) | {"device": "toaster"}
    with pytest.raises(InputError, match="no device 'toaster'"):
        taken(message, tmp_path)


def test_labels_of_found_structures_cross_the_pipe_once(tmp_path: Path) -> None:
    answer = {"structures": {"rows": [], "note": ""}, "labels": protocol.put(tmp_path, SCAN), "names": {"4": "one"}}
    received = finish(reading_answer(tmp_path, Request.STRUCTURES, answer))
    np.testing.assert_array_equal(received["labels"].array, SCAN.array)
    assert received["names"] == {"4": "one"} and not list(tmp_path.iterdir())
    assert finish(reading_answer(tmp_path, Request.STRUCTURES, {"structures": {}})) == {"structures": {}}
