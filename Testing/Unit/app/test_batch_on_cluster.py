"""A batch on a real dask cluster of two worker processes, killed at two moments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import batch_work
import pytest
from batch_work import batch_of, bids, starts
from tiny_model import head, write_tiny_package

from SITTranslateLib.app.batch.running import run
from SITTranslateLib.files import write_volume

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a worker is ended by a POSIX signal")
SCANS = 5


def test_killed_workers_lose_nothing_and_no_scan_is_translated_twice(tmp_path: Path) -> None:
    """dask runs again what a killed worker had in hand or had not reported; what was written by then stays as it is."""
    model = write_tiny_package(tmp_path / "tiny").folder
    place = bids(tmp_path / "raw", [])
    for number in range(SCANS):
        folder = place / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        write_volume(head(spacing=(5.0, 5.0, 5.0), seed=number), folder / f"sub-{number}_T1w.nii.gz")
    (place / "sub-1" / "anat" / "sub-1_T1w.nii.gz").write_bytes(b"damaged")
    batch = batch_of(place, tmp_path / "out", model, fields=False)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster, distributed.Client(cluster) as watcher:  # fmt: skip
        summary = run(batch, scheduler=cluster.scheduler_address, work=batch_work.killed_twice)
        watcher.wait_for_workers(2)
    states = {record.source.split("/")[0]: record.status for record in summary.records}
    assert states.pop("sub-1") == "failed" and len(states) == SCANS - 1
    assert states["sub-3"] == "already done" and set(states.values()) <= {"done", "already done"}
    begun = {job.scan.relative.split("/")[0]: starts(tmp_path)[job.id] for job in batch.jobs}
    assert begun["sub-2"] >= 2 and begun["sub-3"] >= 2 and min(begun.values()) >= 1
    noted = [json.loads(file.read_text(encoding="utf-8")) for file in (tmp_path / "dates").iterdir()]
    assert len(noted) == SCANS - 1, "each scan was translated once"
    written = {str(file): file.stat().st_mtime_ns for file in batch.out.glob("sub-*/anat/*")}
    assert {file: date for dates in noted for file, date in dates.items()} == written
    sidecars = [json.loads(file.read_text(encoding="utf-8")) for file in batch.out.rglob("sub-*_T1w.json")]
    assert len(sidecars) == SCANS - 1
    assert all(about["SITTranslate"]["batch"]["record"]["verdict"].startswith("PASS") for about in sidecars)
