"""The documented lines for a cluster with a queue, as they stand: only ``sbatch`` is a stand-in, which starts jobs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from batch_work import batch_of, bids, slow_note
from tiny_model import write_tiny_package
from waiting import has_ended, wait_until

from SITTranslateLib.app.batch.running import run

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install '.[cluster]'")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "batch.md"
#: What Slurm's sbatch answers, and a job that runs at once, from a copy: the caller removes its script.
SBATCH = """#!/bin/bash
echo "$1" >> "$SLURM_STAND_IN/submitted"
cp "$1" "$SLURM_STAND_IN/script"
nohup setsid bash "$SLURM_STAND_IN/script" > "$SLURM_STAND_IN/worker.log" 2>&1 &
echo $! >> "$SLURM_STAND_IN/pids"
echo "Submitted batch job $!"
"""
SCANCEL = '#!/bin/bash\nfor job in "$@"; do kill -- "-$job" 2>/dev/null; done; exit 0\n'


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``sbatch`` and ``scancel`` first on the path."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STAND_IN", str(folder))
    # The workers find what the test's process finds.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    return folder


def documented_lines() -> str:
    found = re.search(r"```python\n(from dask_jobqueue.*?)```", DOCUMENTATION.read_text("utf-8"), flags=re.DOTALL)
    assert found is not None
    return found[1]


def test_the_documented_lines_start_workers_that_do_a_batch(
    queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dask_jobqueue import SLURMCluster

    made: list[Any] = []
    monkeypatch.setattr(SLURMCluster, "__init__", _of_this_machine(SLURMCluster.__init__, made))
    names: dict[str, Any] = {}
    exec(documented_lines().replace("jobs=8", "jobs=1"), names)
    cluster = names["cluster"]
    try:
        assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+", cluster.scheduler_address)
        batch = batch_of(
            bids(tmp_path / "raw", [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in range(3)]),
            tmp_path / "out",
            write_tiny_package(tmp_path / "tiny").folder,
        )
        summary = run(batch, scheduler=cluster.scheduler_address, work=slow_note)
        assert [record.status for record in summary.records] == ["done"] * 3
        assert {record.worker for record in summary.records} != {str(os.getpid())}
        script = (queue / "script").read_text(encoding="utf-8")
        for line in ("#SBATCH --cpus-per-task=1", "#SBATCH --mem=8G", "#SBATCH -t 04:00:00", "--memory-limit 7.45GiB"):
            assert line in script, script
    finally:
        cluster.close()
    pids = (queue / "pids").read_text(encoding="utf-8").split()
    wait_until(lambda: all(has_ended(pid) for pid in pids), "the end of the workers")


def _of_this_machine(begin: Any, made: list[Any]) -> Any:
    """A cluster whose scheduler listens to this machine only, without a dashboard; the rest as documented."""

    def start(self: Any, *arguments: Any, **options: Any) -> None:
        made.append(options)
        begin(
            self, *arguments, **options, python=sys.executable,
            scheduler_options={"host": "127.0.0.1", "dashboard_address": None},
            worker_extra_args=["--no-dashboard"],
        )  # fmt: skip

    return start
