"""A batch on a real dask cluster of two worker processes, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
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


def test_a_worker_killed_midway_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    model = write_tiny_package(tmp_path / "tiny").folder
    place = bids(tmp_path / "raw", [])
    for number in range(SCANS):
        folder = place / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        write_volume(head(spacing=(5.0, 5.0, 5.0), seed=number), folder / f"sub-{number}_T1w.nii.gz")
    (place / "sub-1" / "anat" / "sub-1_T1w.nii.gz").write_bytes(b"damaged")
    batch = batch_of(place, tmp_path / "out", model, fields=False)
    done_before: list[str] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster, distributed.Client(cluster) as watcher:  # fmt: skip
        pids = watcher.run(os.getpid)

        def kill_one_after_the_first(stage: str, fraction: float) -> None:
            if not done_before and list(batch.out.rglob("sub-*_T1w.json")):
                done_before.extend(file.stem for file in batch.out.rglob("sub-*_T1w.json"))
                os.kill(next(iter(pids.values())), signal.SIGKILL)

        summary = run(
            batch, scheduler=cluster.scheduler_address, work=batch_work.counted, progress=kill_one_after_the_first
        )
        assert set(watcher.run(os.getpid).values()) - set(pids.values()), "a worker was replaced"
    states = {record.source.split("/")[0]: record.status for record in summary.records}
    assert states.pop("sub-1") == "failed" and len(states) == SCANS - 1
    assert set(states.values()) <= {"done", "already done"}
    sidecars = [json.loads(file.read_text(encoding="utf-8")) for file in batch.out.rglob("sub-*_T1w.json")]
    assert len(sidecars) == SCANS - 1
    assert all(about["SITTranslate"]["batch"]["record"]["verdict"].startswith("PASS") for about in sidecars)
    begun = starts(tmp_path)
    assert set(begun) == {job.id for job in batch.jobs}
    assert all(begun[name] == 1 for name in done_before), "what was done is not done again"
    assert sum(begun.values()) <= SCANS + 2, "only what the killed worker had in hand is begun again"
