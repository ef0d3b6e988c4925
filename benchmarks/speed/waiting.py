"""What a user waits for: a command from its start to its files, and the steps around the network."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import SITTranslateLib as sit
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record, figure_of, seconds_of, use_threads
from benchmarks.speed.whole_path import head_scan, shipped_model
from SITTranslateLib.traceability.points import trace_points
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.preparation import prepare

#: A process counts the memory of the one that started it as its own, and RUSAGE_CHILDREN that of all children so far:
#: a small process in between starts the command and waits for it alone.
_LAUNCHER = (
    "import os, sys; child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); _, status, u = os.wait4(child, 0);"
    "print(); print(u.ru_utime, u.ru_stime, u.ru_maxrss); sys.exit(os.waitstatus_to_exitcode(status))"
)
_COMMAND = "import sys; from SITTranslateLib.app.main import main; sys.exit(main())"


class Run(NamedTuple):
    """A command with all its processes: CPU-seconds, seconds, those of the system, MiB of the largest process."""

    cpu: float
    wall: float
    system: float
    peak: float


def run_command(words: list[str], threads: int | None = None) -> Run:
    """``sittranslate`` in a process of its own, imports included, with as many threads as it likes or so many."""
    limits = {} if threads is None else dict.fromkeys(("OMP_NUM_THREADS", "SITTRANSLATE_THREADS"), str(threads))
    started = time.perf_counter()
    launched = [sys.executable, "-S", "-c", _LAUNCHER, sys.executable, "-c", _COMMAND, *words]
    answer = subprocess.run(launched, check=True, capture_output=True, text=True, env={**os.environ, **limits})
    wall = time.perf_counter() - started
    user, system, peak = map(float, answer.stdout.splitlines()[-1].split())
    return Run(user + system, wall, system, peak / 1024)


def command(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """``sittranslate translate``, from the command to verified files."""
    package = shipped_model()
    if package is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        scan = sit.write_volume(head_scan(inputs.grid.shape), Path(folder, "scan.nii.gz"))
        words = ["translate", str(scan), "--model", str(package.folder), "--force", "--out"]
        # The first one fills the caches of files and kernels.
        first, *runs = (run_command([*words, f"{folder}/{number}"], threads) for number in range(max(2, repeats) + 1))
    record = _record("translate-command", inputs, threads, Run(*map(median, zip(*runs, strict=True))), 5.0)
    record.details = {"first_cpu_s": first.cpu}
    return [record]


def batch_command(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """What a further scan costs in a batch of one process, and the memory of that process."""
    package = shipped_model()
    if package is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for count in (1, 3):
            place = Path(folder, f"scans-{count}")
            place.mkdir()
            for number in range(count):
                sit.write_volume(head_scan(inputs.grid.shape), place / f"sub-{number + 1:02d}_T1w.nii.gz")
            words = ["batch", str(place), "--model", str(package.folder), "--suffix", "T1w", "--force"]
            runs.append(run_command([*words, "--out", f"{folder}/out-{count}"], threads))
    further = Run(*((b - a) / 2 for a, b in zip(*runs, strict=True)))._replace(peak=runs[1].peak)
    record = _record("batch, a further scan", inputs, threads, further, 3.5)
    record.details = {"first_cpu_s": runs[0].cpu}
    return [record]


def demo_command(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """``sittranslate demo``, which has a scan of its own (197 x 233 x 189)."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_command(["demo", "--out", f"{folder}/demo"], threads)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    record = _record("demo-command", inputs, threads, run, 20.0)
    record.details = {"MB_written": size / 1e6}
    return [record]


def _record(name: str, inputs: Inputs, threads: int, run: Run, most: float) -> Record:
    goal = f"<= {most:g} CPU-s"
    record = figure_of(name, inputs.grid.shape, threads, run.cpu, run.wall, goal, run.cpu <= most)
    record.ours_system_s, record.peak_mib = run.system, run.peak
    return record


def steps(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """Preparing, writing, verifying, and tracing 100,000 points of one translation."""
    use_threads(threads)
    package, scan = shipped_model(), head_scan(inputs.grid.shape)
    if package is None:
        return []
    loaded = load_model(package, "cpu")
    translation = sit.translate(scan, loaded, force=True)
    anatomy = locate_head(scan)
    voxels = np.argwhere(scan.array > 0.2 * scan.array.max())[:, ::-1]
    points = scan.grid.to_world(voxels[np.random.default_rng(0).integers(0, len(voxels), 100_000)].astype(float))
    with tempfile.TemporaryDirectory() as folder:
        works: list[tuple[str, float | None, Callable[[], Any]]] = [
            # A copy: what was prepared of the last scan is kept.
            ("preparing", 0.3, lambda: prepare(scan.with_array(scan.array), anatomy, loaded.card)),
            ("writing", 0.4, lambda: sit.save_translation(translation, Path(folder, "out"), overwrite=True)),
            ("verifying", None, lambda: sit.verify(translation)),
            ("points-100000", 0.3, lambda: trace_points(translation, points)),
        ]
        records = []
        for name, most, work in works:
            spent = seconds_of(work, repeats)
            goal = "" if most is None else f"<= {most:g} CPU-s"
            reached = None if most is None else spent.cpu <= most
            record = figure_of(name, inputs.grid.shape, threads, spent.cpu, spent.wall, goal, reached)
            record.ours_system_s = spent.system
            records.append(record)
    return records
