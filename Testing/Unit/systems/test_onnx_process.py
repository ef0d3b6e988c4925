"""The process of ONNX files: it is ended, bounded in memory, and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from SITTranslateLib import children
from SITTranslateLib.errors import PackageError

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
import onnx_files

from SITTranslateLib.systems.onnx import process
from SITTranslateLib.systems.onnx.process import OnnxProcess

# ------------------------------------------------------------------------------------------------ what never ends
ANY = [1, 1, "k", "j", "i"]
SMALL = {"image": np.ones((1, 1, 2, 2, 2), np.float32)}


def test_an_endless_network_is_ended_and_another_works(monkeypatch: pytest.MonkeyPatch) -> None:
    network = OnnxProcess(onnx_files.endless(ANY), 1)
    child = network._child
    monkeypatch.setattr(process, "LONGEST_SECONDS", 0.5)
    with pytest.raises(PackageError, match=r"longer than 0\.5 seconds"):
        network.run(["out"], SMALL)
    assert child is not None and child.poll() is not None and network._child is None


def test_an_endless_network_hears_the_interrupt_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = children.killed_after

    @contextlib.contextmanager
    def interrupted(seconds: float, child: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
        with bounded(seconds, child) as late:
            # Only while the network runs: anywhere else it would end the tests.
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            yield late

    # As in a terminal: libraries that other tests load put a handler of their own there.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    network = OnnxProcess(onnx_files.endless(ANY), 1)
    child = network._child
    monkeypatch.setattr(children, "killed_after", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            network.run(["out"], SMALL)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert child is not None and child.poll() is not None


def test_an_endless_network_ends_with_whoever_started_it() -> None:
    network = OnnxProcess(onnx_files.endless(ANY), 1)
    child = network._child
    assert child is not None and child.stdin is not None
    header = {"outputs": ["out"], "feeds": [["image", [1, 1, 2, 2, 2]]], "bytes": 32}
    child.stdin.write(json.dumps(header).encode() + b"\n" + SMALL["image"].tobytes())
    child.stdin.flush()
    time.sleep(0.2)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")
def test_a_network_that_wants_all_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_BYTES", 512 << 20)
    with pytest.raises(PackageError, match="more memory than it may have"):
        OnnxProcess(onnx_files.greedy(ANY), 1).run(["out"], SMALL)


def test_a_network_that_crashed_is_started_again() -> None:
    network = OnnxProcess(onnx_files.negative(ANY), 1)
    assert network._child is not None
    network._child.kill()
    network._child.wait()
    assert (network.run(["out"], SMALL)[0] == -1).all()
