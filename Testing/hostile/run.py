"""``python -m hostile.run FIRST LAST RESULTS``: run cases of the corpus in this process and write how each ended.

The case that is being run is written first, so that whoever started this process knows which one killed it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: A case that has not ended after so many seconds, of work or of the wall clock, never will; all take below 2 s.
LONGEST_WORK, LONGEST_WAIT = 100, 400
#: Address space of the process.
MOST_BYTES = 6 << 30


class TooLong(Exception):  # noqa: N818 - an alarm
    """A case that hangs."""


def main(first: int, last: int, results: Path) -> None:
    import torch

    torch.set_num_threads(1)
    import tissues_once
    from tiny_model import head

    from hostile import corpus, outcome, seeds

    tissues_once.remember()

    def ring(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, ring)
    signal.signal(signal.SIGPROF, ring)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    with tempfile.TemporaryDirectory() as place, results.open("a", encoding="utf-8") as log:
        model = outcome.fast_model(Path(place))
        # Once outside the clock: an alarm in the middle of an import leaves half a library behind.
        outcome.of_volume(head(spacing=(8.0, 8.0, 8.0)), model, force=True)
        for number in range(first, last):
            folder = Path(place, f"case-{number}")
            folder.mkdir()
            log.write(json.dumps({"number": number}) + "\n")
            log.flush()
            what, path = corpus.make(number, folder)
            before = set(folder.rglob("*"))
            keep = Path(place, f"out-{number}") if number % 10 == 0 else None
            honest = seeds.scan().array if what.split()[0] in corpus.SAME_VOXELS else None
            started = _cpu_seconds()
            _wind(LONGEST_WORK, LONGEST_WAIT)
            try:
                with _quiet():
                    ended = outcome.of_path(path, model, force=number % 2 == 0, keep=keep, honest=honest)
            except TooLong:
                ended = "FAULT: it hangs"
            except BaseException as error:
                ended = f"FAULT: {type(error).__name__}: {error}"
            _wind(0, 0)
            if set(folder.rglob("*")) != before:
                ended = "FAULT: it left files"
            entry = {
                "number": number,
                "what": what,
                "ended": ended,
                "seconds": round(_cpu_seconds() - started, 3),
            }
            log.write(json.dumps(entry) + "\n")
            log.flush()


def _wind(work: float, wait: int) -> None:
    """Ring after so many seconds of work, or of the wall clock; 0 for never."""
    signal.setitimer(signal.ITIMER_PROF, work)
    signal.alarm(wait)


def _cpu_seconds() -> float:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """C++ libraries write past Python."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
