"""An ONNX file run in its own process, which can be ended if it loops, exhausts the memory or crashes.

``session.run`` of onnxruntime neither hears Ctrl+C nor has a bound of time or memory, and a standard ``Loop`` may go on
for ever. The process (:mod:`child`) is killed when its time is over, when this one is interrupted, and ends when this
one does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import children
from SITTranslateLib.errors import PackageError

#: One call of the network (a volume, or some slices of it) that takes longer does not end.
LONGEST_SECONDS = 600.0
#: Memory for the file and what it computes; never more than half of this computer's.
MOST_BYTES = 12 << 30
#: No network gives more than this at a time: 2^28 numbers.
LARGEST_ANSWER = 1 << 30
_CHILD = Path(__file__).with_name("child.py")


class OnnxProcess:
    """Runs one ONNX file.

    Args:
        content: the file, which was looked through before.
        threads: of the computation.
        cuda: run on a GPU if onnxruntime can; then its memory is not bounded here.

    Raises:
        PackageError: onnxruntime does not accept the file.
    """

    def __init__(self, content: bytes, threads: int, *, cuda: bool = False) -> None:
        self._content, self._threads, self._cuda = content, threads, cuda
        self._child: subprocess.Popen[bytes] | None = None
        self._start()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Outputs of the network for its inputs.

        Raises:
            PackageError: it cannot be run on them, takes too long or too much memory, or crashes.
        """
        if self._child is None or self._child.poll() is not None:
            self._start()
        arrays = [np.ascontiguousarray(feeds[name], dtype=np.float32) for name in feeds]
        described = [[name, list(a.shape)] for name, a in zip(feeds, arrays, strict=True)]
        request = {"outputs": list(outputs), "feeds": described, "bytes": sum(a.nbytes for a in arrays)}
        answer, content = self._ask(request, [a.reshape(-1).view(np.uint8).data for a in arrays], "run on this image")
        results, start = [], 0
        for shape in answer["shapes"]:
            count = int(np.prod(shape, dtype=np.int64))
            results.append(np.frombuffer(content, np.float32, count, start).reshape(shape).copy())
            start += 4 * count
        return results

    def close(self) -> None:
        """End the process; the next :meth:`run` starts another."""
        child, self._child = self._child, None
        if child is not None:
            children.end(child)

    def _start(self) -> None:
        self.close()
        # Neither the working directory nor the script's own folder is a place to import from.
        self._child = subprocess.Popen(
            [children.python(), str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONSAFEPATH": "1"}, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        weakref.finalize(self, children.end, self._child)
        providers = [*(["CUDAExecutionProvider"] if self._cuda else []), "CPUExecutionProvider"]
        most = 0 if self._cuda else min(MOST_BYTES, _half_of_memory())
        request = {
            "threads": self._threads, "providers": providers, "most_bytes": most, "bytes": len(self._content)
        }  # fmt: skip
        self._ask(request, [self._content], "opened")

    def _ask(self, request: dict[str, Any], parts: Sequence[Any], what: str) -> tuple[dict[str, Any], bytes]:
        """One message to the process and its answer; whatever comes between, the process is not left running."""
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        try:
            with children.killed_after(LONGEST_SECONDS, child) as late:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(json.dumps(request).encode() + b"\n")
                    for part in parts:
                        child.stdin.write(part)
                    child.stdin.flush()
                answer = json.loads(child.stdout.readline(1 << 20) or b"null")
                size = answer.get("bytes", 0) if isinstance(answer, dict) else 0
                if size > LARGEST_ANSWER:
                    raise PackageError("The ONNX file gives more than an image and its fields.")
                content = child.stdout.read(size)
            if answer is None or len(content) < size:
                reason = f"it takes longer than {LONGEST_SECONDS:g} seconds" if late.is_set() else "it crashes"
                raise PackageError(f"The ONNX file cannot be {what}: {reason}.")
        except BaseException:
            # Ctrl+C, a cancel or an error in the middle: what comes later would be the answer to something else.
            self.close()
            raise
        if "memory" in answer:
            self.close()
            raise PackageError(f"The ONNX file cannot be {what}: it needs more memory than it may have.")
        if "refusal" in answer:
            raise PackageError(f"The ONNX file cannot be {what}: {reason_of(answer['refusal'])}.")
        return answer, content


def reason_of(text: str) -> str:
    """The reason in an error of onnxruntime, without its code, source file and C++ function before it.

    >>> reason_of("[ONNXRuntimeError] : 1 : FAIL : /src/model.cc:256 Model::Model(Proto&&, int) IR version 99.")
    'IR version 99'
    """
    plain = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(text.split()))
    found = re.search(r"\S+\.(?:cc|h|cpp|hpp|cu|cuh):\d+ ", plain)
    if found:
        before, rest = plain[: found.start()], plain[found.end() :]
        depth = 0
        for place, character in enumerate(rest):
            depth += (character == "(") - (character == ")")
            if character == ")" and depth == 0:
                rest = rest[place + 1 :]
                break
        # A template's parameters, and the condition that did not hold.
        rest = re.sub(r"^\s*(?:const)?\s*(?:\[with [^\]]*\])?\s*", "", rest)
        plain = f"{before.strip()} {rest}".strip()
    return (plain[:300] or "for a reason that onnxruntime does not say").rstrip(". ")


def _half_of_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return MOST_BYTES
