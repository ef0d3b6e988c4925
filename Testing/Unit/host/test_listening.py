"""The worker's listener: bounded lines, and never a worker that hears nothing."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from SITTranslateLib.host import protocol, worker
from SITTranslateLib.host.worker import WorkerLoop


class Zeros(io.RawIOBase):
    """A pipe with a line of that many bytes, and what follows."""

    def __init__(self, count: int, rest: bytes) -> None:
        self.left, self.rest = count, io.BytesIO(rest)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self.left)
        if not size:
            return self.rest.readinto(buffer)
        self.left -= size
        buffer[:size] = bytes(size)
        return size


def test_a_long_line_is_never_held_and_the_next_one_is_whole() -> None:
    stream = io.BufferedReader(Zeros(200 << 20, b'\n{"request":"describe"}\nlast'))
    tracemalloc.start()
    lines = list(protocol.lines_of(stream, longest=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(line) for line in lines] == [(1 << 20) + 1, 23, 4] and peak < 8 << 20
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(lines[0], "request")


@pytest.mark.parametrize("ends", [b"", b"\n"])
def test_a_line_of_just_the_longest_length_is_one_line(ends: bytes) -> None:
    assert list(protocol.lines_of(io.BytesIO(b"x" * 10 + ends), longest=10)) == ["x" * 10 + ends.decode()]
    assert list(protocol.lines_of(io.BytesIO(b"x" * 30 + b"\ny\n"), longest=10)) == ["x" * 11, "y\n"]


def listen(lines: Iterator[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[WorkerLoop, list[int]]:
    """Run the listener to its end; the loop, and the codes with which the process would have ended."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(worker.os, "_exit", leave)
    monkeypatch.setattr(worker.time, "sleep", lambda _seconds: None)
    loop = WorkerLoop(lines, io.StringIO(), lambda: pytest.fail("nothing is asked"), folder, idle=1.0)
    thread = threading.Thread(target=loop._listen)
    thread.start()
    thread.join()
    return loop, codes


def test_a_worker_that_cannot_read_for_want_of_memory_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines() -> Iterator[str]:
        yield '{"request":"describe","id":1}\n'
        raise MemoryError

    loop, codes = listen(lines(), monkeypatch, tmp_path)
    assert codes == [protocol.DEAF] and loop._waiting.qsize() == 1
    assert tmp_path.is_dir(), "the client is there, and so are its results"


def test_a_cancel_is_heard_after_memory_was_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, failures = protocol.decode, iter([False, True, True, False])

    def short_of_memory(line: str, key: str) -> dict[str, Any]:
        if next(failures):
            raise MemoryError
        return decode(line, key)

    monkeypatch.setattr(protocol, "decode", short_of_memory)
    lines = iter(['{"request":"describe","id":1}\n', '{"request":"cancel","id":1}\n'])
    loop, codes = listen(lines, monkeypatch, tmp_path / "private")
    assert loop._cancelled[1].is_set() and codes == [0]


def test_a_worker_without_memory_for_a_request_ends_rather_than_forgets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_line: str, _key: str) -> dict[str, Any]:
        raise MemoryError

    monkeypatch.setattr(protocol, "decode", never)
    _, codes = listen(iter(['{"request":"describe","id":1}\n']), monkeypatch, tmp_path)
    assert codes == [protocol.DEAF]
