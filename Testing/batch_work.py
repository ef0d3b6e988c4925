"""Batches for tests: small datasets, and what their processes do (here, so that they can import it)."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections import Counter
from pathlib import Path

from SITTranslateLib.app.batch.job import Job, Record, Settings, run_job
from SITTranslateLib.app.batch.running import Batch, plan
from SITTranslateLib.app.batch.scans import find_scans
from SITTranslateLib.packages import find


def killed_twice(job: Job) -> Record:
    """The real work; its process is killed once before ``sub-2`` is translated and once after ``sub-3`` was written.

    The second is before anyone learns that it was. The dates of the files that a job wrote first are noted.
    """
    note_start(job)
    first = starts(job.out.parent)[job.id] == 1
    if first and "sub-2" in job.scan.relative:
        os.kill(os.getpid(), signal.SIGKILL)
    record = run_job(job)
    if record.status == "done":
        dates = {str(file): file.stat().st_mtime_ns for file in job.folder.iterdir()}
        noted = job.out.parent / "dates" / f"{job.id}.{secrets.token_hex(4)}.json"
        noted.parent.mkdir(exist_ok=True)
        noted.write_text(json.dumps(dates), encoding="utf-8")
    if first and "sub-3" in job.scan.relative:
        os.kill(os.getpid(), signal.SIGKILL)
    return record


def slow_note(job: Job) -> Record:
    """No translation: a note, a pause, a record; the scan named ``killer`` ends its process."""
    note_start(job)
    time.sleep(0.2)
    if "killer" in job.scan.relative:
        os.kill(os.getpid(), signal.SIGKILL)
    return Record(job.id, job.scan.relative, job.scan.frame, "done", worker=str(os.getpid()))


def note_start(job: Job) -> None:
    folder = job.out.parent / "starts"
    folder.mkdir(exist_ok=True)
    (folder / f"{job.id}.{secrets.token_hex(4)}").touch()


def bids(folder: Path, names: list[str], content: bytes = b"x") -> Path:
    """A BIDS dataset whose scans are not read."""
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.9.0"}')
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def batch_of(place: Path, out: Path, model: Path, **settings: object) -> Batch:
    package = find(model)
    # Finding structures takes longer than all the rest of these small heads.
    chosen = Settings(str(model), package.sha256, (("age", 10.0),), **{"structures": False, **settings})  # type: ignore[arg-type]
    return plan(place, out, find_scans(place, "T1w"), package, chosen)


def starts(folder: Path) -> Counter[str]:
    """How often the work on each job was begun."""
    return Counter(file.name.rsplit(".", 1)[0] for file in (folder / "starts").iterdir())
