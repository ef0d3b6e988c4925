"""A batch from its plan to its summary, run by local processes or by a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from SITTranslateLib.app.batch import dataset
from SITTranslateLib.app.batch.cluster import run_on_cluster
from SITTranslateLib.app.batch.frames import gather_frames
from SITTranslateLib.app.batch.job import Job, Record, Settings, finished, remove_result, run_job
from SITTranslateLib.app.batch.machine import Work, run_on_this_machine
from SITTranslateLib.app.batch.names import ResultNames, description_of, frame_label, label
from SITTranslateLib.app.batch.scans import Scan, bids_suffix
from SITTranslateLib.app.batch.summary import Summary
from SITTranslateLib.attributes import AttributeRole
from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard, Package
from SITTranslateLib.translation import PARTS

#: Bytes of a file's name on common file systems.
LONGEST_NAME = 255


@dataclass(frozen=True)
class Batch:
    """What is to be done: the jobs, where from, where to, by which model."""

    place: Path
    out: Path
    package: Package
    jobs: tuple[Job, ...]

    @property
    def asked(self) -> str:
        """The attributes, for people."""
        return self.package.card.said(dict(self.jobs[0].settings.request))


def plan(
    place: Path, out: Path, scans: Sequence[Scan], package: Package, settings: Settings, description: str = ""
) -> Batch:
    """One job a scan, each with the names of its results.

    Args:
        description: BIDS label of the results; by default from the model and what is asked of it.

    Raises:
        InputError: the output cannot be used, a description that is no label, or two scans with one result.
    """
    dataset.check_output(out, place)
    if description and description != label(description, small=description[:1].islower()):
        raise InputError(f"'{description[:60]}' is not a BIDS label: use letters and digits only.")
    suffix = _suffix(package.card, dict(settings.request))
    jobs = []
    for scan in scans:
        said = description or description_of(package.name, dict(settings.request))
        said += "" if scan.frame is None else frame_label(scan.frame)
        names = ResultNames(scan.name, said, suffix or scan.name.suffix)
        longest = max(len(names.file(part.name).encode()) for part in PARTS)
        if longest > LONGEST_NAME:
            raise InputError(
                f"The results of '{scan.relative[-80:]}' would have names of {longest} bytes, more than the "
                f"{LONGEST_NAME} that systems take; give a shorter --desc, or rename the scan."
            )
        jobs.append(Job(scan, names, settings, out.resolve(), ticket=""))
    twice = [name for name, count in Counter((job.folder, job.id) for job in jobs).items() if count > 1]
    if twice:
        raise InputError(f"Two scans would both become '{twice[0][1]}'; give one of them another name.")
    return Batch(place, out.resolve(), package, tuple(jobs))


def run(
    batch: Batch,
    *,
    workers: int = 1,
    scheduler: str = "",
    overwrite: bool = False,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
    work: Work = run_job,
) -> Summary:
    """Do what is not done yet; the summary is written, also when it is stopped in the middle.

    Args:
        workers: processes on this machine.
        scheduler: address of a dask scheduler whose workers are used instead.
        overwrite: make results again that are there.
        progress: called with how many are done, and the fraction.
        work: what does a job.

    Raises:
        InputError: the output cannot be written, or the cluster does not answer.
    """
    standing = [] if overwrite else [record for job in batch.jobs if (record := finished(job)) is not None]
    ticket = dataset.start(batch.out, batch.place, batch.package)
    left = {record.id for record in standing}
    jobs = [replace(job, ticket=ticket) for job in batch.jobs if job.id not in left]
    if overwrite:
        for job in jobs:
            remove_result(job)
    records = {record.id: record for record in standing}

    def report(record: Record) -> None:
        records[record.id] = record
        progress(f"{len(records)} of {len(batch.jobs)}", len(records) / len(batch.jobs))

    try:
        if scheduler and jobs:
            run_on_cluster(jobs, work, scheduler, report)
        elif jobs:
            run_on_this_machine(jobs, work, min(workers, len(jobs)), report)
        gather_frames([job for job in batch.jobs if records[job.id].status in ("done", "already done")], batch.jobs)
    finally:
        for job in jobs:
            records.setdefault(job.id, Record.failed(job, "It was stopped before this one.", "not run"))
        card = batch.package.card
        summary = Summary(f"{card.title} ({card.name} {card.version})", batch.asked, tuple(records.values()))
        summary.write(batch.out)
        dataset.end(batch.out, ticket)
    return summary


def _suffix(card: ModelCard, request: dict[str, float]) -> str:
    """The BIDS suffix of what a model makes; empty where it is unknown, or the contrast of the scan."""
    target = card.of_role(AttributeRole.TARGET)
    known = len(card.targets) == 1 or (target is not None and bool(target.choices))
    return bids_suffix(card.target_of(request)) if known and card.target_of(request) != card.source else ""
