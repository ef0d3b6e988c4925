"""The process that runs one ONNX file: a separate script that imports only numpy and onnxruntime.

Messages are a JSON line and the bytes that it announces. First comes the file, with bounds; then images, each answered
with what the network makes of it. A thread reads, so that the process ends with whoever started it, also in the middle
of a network that never does.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

LONGEST_LINE = 1 << 20


def main() -> int:
    """One file from standard input, then images, until standard input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not come between the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # Whoever started this ends it; Ctrl+C in a terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    session: Any = None
    waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    while True:
        request, content = waiting.get()
        answer: dict[str, Any] = {"ready": True}
        parts: list[Any] = []
        try:
            if session is None:
                session = _session(request, content)
            else:
                answer, parts = _run(session, request, content)
        except MemoryError:
            answer = {"memory": True}
        except Exception as error:
            kind = "memory" if "allocate memory" in str(error) or "bad_alloc" in str(error) else "refusal"
            answer = {kind: str(error)[:4000]}
        answers.write(json.dumps(answer).encode() + b"\n")
        for part in parts:
            answers.write(part)
        answers.flush()


def _listen(requests: IO[bytes], waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    with contextlib.suppress(Exception):
        while line := requests.readline(LONGEST_LINE):
            request = json.loads(line)
            content = requests.read(request["bytes"])
            if len(content) < request["bytes"]:
                break
            waiting.put((request, content))
    os._exit(0)


def _session(request: dict[str, Any], content: bytes) -> Any:
    import onnxruntime

    if request["most_bytes"]:
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (_address_space() + request["most_bytes"],) * 2)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.log_severity_level = 4
    providers = [p for p in request["providers"] if p in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(content, options, providers=providers)


def _address_space() -> int:
    """Bytes of addresses that this process has by now, most of them of libraries; 0 where it is unknown."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 - pathlib costs 10 ms here
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _run(session: Any, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], list[Any]]:
    import numpy as np

    feeds, start = {}, 0
    for name, shape in request["feeds"]:
        count = int(np.prod(shape, dtype=np.int64))
        feeds[name] = np.frombuffer(content, np.float32, count, start).reshape(shape)
        start += 4 * count
    results = [np.ascontiguousarray(result, dtype=np.float32) for result in session.run(request["outputs"], feeds)]
    shapes = [list(result.shape) for result in results]
    return {"shapes": shapes, "bytes": sum(r.nbytes for r in results)}, [
        r.reshape(-1).view(np.uint8).data for r in results
    ]


if __name__ == "__main__":
    sys.exit(main())
