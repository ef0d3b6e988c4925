"""Jobs on one machine: processes that load the model once each; a crash affects only one scan."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from SITTranslateLib.app.batch.job import Job, Record

Work = Callable[[Job], Record]
Report = Callable[[Record], None]
DIED = "Its process crashed or was ended from outside (too little memory, or a damaged scan); the others went on."


def run_on_this_machine(jobs: Iterable[Job], work: Work, workers: int, report: Report) -> None:
    """Do all jobs in ``workers`` processes; ``report`` gets the record of each as it ends.

    When a process dies, the jobs in work at that moment are done again, each alone in a process, so that the one
    that kills its process is known and no other is lost.
    """
    waiting = iter(jobs)
    while suspects := _until_one_dies(waiting, work, workers, report):
        for job in suspects:
            if _until_one_dies(iter([job]), work, 1, report):
                report(Record.failed(job, DIED))


def _until_one_dies(waiting: Iterator[Job], work: Work, workers: int, report: Report) -> list[Job]:
    """Do jobs until none is left, or until a process dies: then the jobs that were in work.

    No more are handed out than there are processes, so that these are few.
    """
    in_work: dict[str, Job] = {}
    futures: set[Future[Record]] = set()
    context = multiprocessing.get_context("spawn")
    with _safe_path(), ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        try:
            while True:
                for job in islice(waiting, workers - len(futures)):
                    in_work[job.id] = job
                    futures.add(pool.submit(work, job))
                if not futures:
                    return []
                done, futures = wait(futures, return_when=FIRST_COMPLETED)
                # Those that ended well first: a dead process fails all that were waiting.
                for future in sorted(done, key=lambda f: f.exception() is not None):
                    record = future.result()
                    del in_work[record.id]
                    report(record)
        except BrokenProcessPool:
            return list(in_work.values())


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Processes that are started look for no modules in the working folder, which may be the scans' own."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _end_with_parent() -> None:
    """A process whose starter is gone ends, whatever it is doing; its scan is done by the next batch."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
