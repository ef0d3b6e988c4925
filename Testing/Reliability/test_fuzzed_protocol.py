"""The host's pipe, both ends: whatever comes through it, the worker goes on and the client ends each job."""

from __future__ import annotations

import io
import json
import queue
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_translation import synthetic_translation
from waiting import wait_until

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol, worker
from SITTranslateLib.host.client import HostClient, HostError
from SITTranslateLib.host.protocol import Event, Failure, ProtocolError, Request
from SITTranslateLib.host.requests import (
    DescribeRequest,
    EstimateRequest,
    ExamineRequest,
    HostRequest,
    RecomposeRequest,
    SegmentsRequest,
    TraceRequest,
    TranslateRequest,
)
from SITTranslateLib.host.worker import Teller, WorkerLoop
from SITTranslateLib.volume import Grid, Volume

FUZZ = settings(
    max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
IDENTIFIERS = st.sampled_from([*[1] * 12, 0, 2, -1, 1 << 70, "1", None, 1.5, True, [1]])
#: Lines that no writer of ours writes.
GARBAGE = st.one_of(
    st.text(max_size=60).map(lambda t: t.replace("\n", " ")),
    st.sampled_from(['{"request":', "[" * 200000, "null", '{"request": 1, "id": 1}', "9" * 5000, '{"id": 1}', "\0", " ",
                     '{"event": "ready", "protocol": "x"}', '{"request":"translate","id":NaN}']),
)  # fmt: skip


class Stub:
    """A handler that does what the request says: answers, refuses, breaks."""

    def run(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        tell.progress("working", 0.5)
        if "refuse" in request:
            raise InputError("It is refused.")
        if "break" in request:
            raise RuntimeError("broken")
        return {"kind": request["request"], "echo": request.get("value")}


def listened(lines: list[str]) -> Iterator[str]:
    """Lines, and then the end of the listening thread alone: at the end of a pipe it would end this process."""
    yield from lines
    raise SystemExit


REQUESTS = st.fixed_dictionaries(
    {"request": st.sampled_from([r.value for r in Request if r is not Request.QUIT]) | st.text(max_size=6) | JSON},
    optional={"id": IDENTIFIERS, "refuse": JSON, "break": JSON, "value": JSON, "key": JSON},
)


@FUZZ
@given(lines=st.lists(GARBAGE | REQUESTS.map(json.dumps), max_size=12))
def test_the_worker_answers_every_request_once_and_goes_on(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.sys, "stderr", io.StringIO())
        events = io.StringIO()
        requests = listened([*lines, '{"request":"describe","id":77}', '{"request":"quit"}'])
        assert WorkerLoop(requests, events, Stub, Path(folder, "private"), idle=0.5).run() == 0
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    answers = [m for m in told if m["event"] in (Event.RESULT, Event.ERROR)]
    asked = [m for m in map(understood, lines) if m is not None and m["request"] != Request.CANCEL]
    assert len(answers) == len(asked) + 1
    assert answers[-1]["id"] == 77 and answers[-1]["event"] == Event.RESULT
    for answer in answers:
        if answer["event"] == Event.ERROR:
            assert answer["sentence"].isprintable() and len(answer["sentence"]) < 710


def understood(line: str) -> dict[str, Any] | None:
    try:
        message = protocol.decode(line, "request")
        Request(message["request"])
    except ValueError:
        return None
    return message


class Silent:
    """A worker that says what it is given and hears nothing."""

    def __init__(self, lines: list[str]) -> None:
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waiting = lines

    def send(self, line: str) -> bool:
        while self._waiting:
            self.lines.put(self._waiting.pop(0))
        self.lines.put(None)
        return True

    def words(self) -> str:
        return ""

    def exit_code(self) -> int | None:
        return 3

    def kill(self) -> None: ...


PLACES = st.fixed_dictionaries(
    {}, optional={
        "file": st.sampled_from(["a.npy", "b.npy", "../x.npy", "/etc/passwd", "", "text.npy", "pickle.npy",
                                 "huge.npy", 3]),
        "affine": st.sampled_from([np.eye(4).tolist(), [], "x", [[1, 2], [3]], None, [[1e400] * 4] * 4]), "name": JSON,
    },
)  # fmt: skip
RESULTS = JSON | st.fixed_dictionaries(
    {}, optional={
        "translation": JSON | st.fixed_dictionaries(
            {"key": JSON}, optional={
                "volumes": JSON | st.fixed_dictionaries({}, optional={"source": PLACES, "translated": PLACES}),
                "fields": JSON | st.fixed_dictionaries({}, optional={"motion": PLACES}), "extras": JSON,
                "steps": JSON,
                "field_origin": JSON, "recomposition_error": JSON, "provenance": JSON,
            },
        ),
        "translated": PLACES | JSON, "motion": PLACES | JSON, "jacobian": JSON, "strength": JSON, "scan": PLACES,
        "labels": PLACES,
    },
)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["progress", "result", "result", *[e.value for e in Event], "x", 3]), "id": IDENTIFIERS},
    optional={
        "stage": JSON, "fraction": JSON, "seconds_left": JSON, "sentence": JSON, "failure": JSON,
        "details": JSON, "offer": JSON, "protocol": st.sampled_from([1, 1, 0, "1", None]), "result": RESULTS,
    },
)  # fmt: skip
SCAN = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), "empty")
HELD = synthetic_translation(Grid((8, 8, 8), np.eye(4)))
ASKED = [TranslateRequest(SCAN, "any"), RecomposeRequest(HELD, 1.0), EstimateRequest(HELD), SegmentsRequest(HELD, SCAN),
         TraceRequest(HELD, []), ExamineRequest(SCAN, "any"), DescribeRequest()]  # fmt: skip


@FUZZ
@given(
    lines=st.lists(EVENTS.map(json.dumps) | EVENTS.map(json.dumps) | GARBAGE, max_size=8), asked=st.sampled_from(ASKED)
)
def test_the_client_ends_its_job_whatever_it_hears(lines: list[str], asked: HostRequest) -> None:
    client = HostClient(lambda folder: Silent(list(lines)))
    heard: list[Any] = []
    for signal in (client.stage, client.progress, client.warning, client.finished, client.failed):
        signal.connect(lambda *values: heard.append(values))
    with client:
        put_odd_arrays(client._private_folder())
        client._known[HELD] = {"key": "held", "volumes": {}, "fields": {}, "extras": {}}
        job = client.submit(asked)
        wait_until(lambda: job.done, "the end of the job", client.poll)
        if job.error is not None:
            assert isinstance(job.error, HostError) and isinstance(job.error.failure, Failure)
            assert str(job.error).isprintable()
    assert heard


def put_odd_arrays(folder: Path) -> None:
    np.save(folder / "a.npy", np.ones((3, 4, 5), dtype=np.float32))
    np.save(folder / "b.npy", np.ones((2, 2, 2, 3)))
    np.save(folder / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (folder / "text.npy").write_text("PK\3\4 no array")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999, 9), }".ljust(117) + b"\n"
    (folder / "huge.npy").write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)


@FUZZ
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x93NUMPY\1\0v\0", b"PK\3\4", b"\x80\4"]))
def test_an_array_file_of_any_bytes_is_an_array_or_refused(content: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place, "x.npy").write_bytes(start + content)
        try:
            protocol.finish(protocol.taking_array(Path(place), "x.npy"))
        except ProtocolError:
            return
        raise AssertionError("random bytes were read as an array")
