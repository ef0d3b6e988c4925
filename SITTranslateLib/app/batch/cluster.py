"""Jobs on a cluster: an existing dask scheduler distributes them, and repeats those of a lost worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from SITTranslateLib.app.batch.job import Job, Record
from SITTranslateLib.app.batch.machine import Report, Work
from SITTranslateLib.errors import InputError

#: Seconds within which a scheduler answers.
PATIENCE = 30
#: Error of a job that loses as many workers as the scheduler allows.
LOST_WORKERS = "Every worker that took it was lost (too little memory?); the others went on."
#: What has no record when the scheduler goes away.
LOST_SCHEDULER = "The scheduler went away before it was done; start the same command again to go on."


def run_on_cluster(jobs: Iterable[Job], work: Work, address: str, report: Report) -> None:
    """Do all jobs on the workers of the scheduler at ``address`` (``tcp://host:8786``, or its scheduler file).

    A job whose worker is lost goes to another one; a job that loses several workers (dask's ``allowed-failures``)
    is a failure. Workers need this package and the same file system.

    Raises:
        InputError: dask is not installed, or no scheduler answers there.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise InputError("A cluster needs dask; install it with pip install 'sittranslate[batch]'.") from error
    place = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = Client(**place, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"No dask scheduler answers at '{address[:120]}'; start one, or check the address.") from error
    with client:
        # The name is this batch's own: what a stopped one left with the scheduler is not taken for this one's.
        jobs_of = {client.submit(work, job, key=f"sittranslate-{job.id}-{job.ticket}", pure=False): job for job in jobs}
        # With its loop: the client is not the default one that as_completed would use.
        for future in as_completed(list(jobs_of), loop=client.loop):
            report(_record_of(future, jobs_of.pop(future)))
            # A result without a reference is not computed again when the worker that made it is lost.
            future.release()


def _record_of(future: Any, job: Job) -> Record:
    from distributed.scheduler import KilledWorker

    try:
        record: Record = future.result()
    except KilledWorker:
        return Record.failed(job, LOST_WORKERS)
    except Exception as error:
        if future.status in ("cancelled", "lost"):
            return Record.failed(job, LOST_SCHEDULER, "not run")
        text = " ".join(str(error).split())[:200]
        return Record.failed(job, f"The worker says: {text}")
    return record
