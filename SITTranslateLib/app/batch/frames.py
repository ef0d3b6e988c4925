"""Frames of one file: once all are translated, a sequence that Slicer opens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from SITTranslateLib.app.batch.job import Job
from SITTranslateLib.app.batch.names import frame_label
from SITTranslateLib.errors import InputError


def gather_frames(done: Sequence[Job], planned: Sequence[Job]) -> None:
    """Write ``..._T1w.seq.nrrd`` beside the frames of each file of which none is missing, unless it is newer."""
    together: dict[str, list[Job]] = defaultdict(list)
    for job in done:
        if job.scan.frame is not None:
            together[job.scan.relative].append(job)
    for relative, jobs in together.items():
        if len(jobs) == sum(job.scan.relative == relative for job in planned):
            _write(sorted(jobs, key=lambda job: job.scan.frame or 0))


def _write(jobs: list[Job]) -> None:
    from SITTranslateLib.files.reading import read_image_as_volume
    from SITTranslateLib.files.sequences import write_sequence

    first = jobs[0]
    assert first.scan.frame is not None
    names = replace(first.names, description=first.names.description.removesuffix(frame_label(first.scan.frame)))
    target = first.folder / f"{names.stem}.seq.nrrd"
    files = [job.folder / job.names.file("translated") for job in jobs]
    try:
        if target.is_file() and target.stat().st_mtime_ns >= max(file.stat().st_mtime_ns for file in files):
            return
        write_sequence([read_image_as_volume(file, file.name) for file in files], target)
    except OSError as error:
        raise InputError(f"'{target.name}' cannot be written.") from error
