"""What a user waits for: a command from its start to its files, and the steps around the network."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import SITTranslateLib as sit
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record, figure_of, seconds_of, use_threads
from benchmarks.speed.whole_path import head_scan, shipped_model
from SITTranslateLib.traceability.points import trace_points
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.preparation import prepare

_COMMAND = "import sys; from SITTranslateLib.app.main import main; sys.exit(main())"


def command(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """``sittranslate translate`` in a process of its own, from the command to verified files, imports included."""
    package = shipped_model()
    if package is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        scan = sit.write_volume(head_scan(inputs.grid.shape), Path(folder, "scan.nii.gz"))
        spent = []
        for number in range(max(2, repeats) + 1):
            words = ["translate", str(scan), "--model", str(package.folder), "--force", "--out", f"{folder}/{number}"]
            before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, "-c", _COMMAND, *words], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
            spent.append((user + system, time.perf_counter() - wall, system, after.ru_maxrss / 1024))
    # The first one fills the caches of files and kernels.
    cpu, wall, system, peak = (median(s[n] for s in spent[1:]) for n in range(4))
    record = figure_of("translate-command", inputs.grid.shape, threads, cpu, wall, "<= 5 CPU-s", cpu <= 5.0)
    record.ours_system_s, record.peak_mib = system, peak
    record.details = {"first_cpu_s": spent[0][0]}
    return [record]


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
            ("preparing", 0.3, lambda: prepare(scan, anatomy, loaded.card)),
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
