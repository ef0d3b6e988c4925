"""How cost grows: with voxels, segments, points and scans."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import SITTranslateLib as sit
from benchmarks.speed.inputs import LONGEST_MM, SMOOTH_MM, Inputs
from benchmarks.speed.measuring import Record, figure_of, seconds_of, use_threads
from benchmarks.speed.waiting import run_command
from benchmarks.speed.whole_path import head_scan, shipped_model
from SITTranslateLib import fields
from SITTranslateLib.traceability.points import trace_points
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.volume import Grid, VectorField, Volume

#: Voxels along an axis; 512^3 takes 2 GB.
SIZES, LARGE_SIZES = (96, 128, 160, 192, 256), (384, 512)
#: Largest size of which a field is made on the scan's own grid: 12 bytes a voxel.
LARGEST_FIELD = 384
SEGMENTS = (1, 10, 50, 100, 200)
POINTS = (100, 1_000, 10_000, 100_000, 1_000_000)
#: Scans and processes of a batch; 0 processes: dask, with two workers.
SCANS = ((1, 1), (4, 1), (4, 2), (8, 2), (4, 0))
#: Shape of a batch's scans, 2 mm.
SCAN_SHAPE = (80, 96, 80)


def voxels(sizes: tuple[int, ...]) -> Callable[[Inputs, int, int], list[Record]]:
    """SIT's last layer (exp and warp) and the Jacobian map, from a velocity at 2 mm, as every model here gives it."""

    def measure(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
        use_threads(threads)
        records = []
        for size in sizes:
            velocity, image = _cube(size)
            several = repeats if size <= 256 else 1

            def layer(velocity: VectorField = velocity, image: Volume = image) -> Volume:
                return fields.warp(image, fields.exponential(velocity, -1.0), grid=image.grid)

            spent = seconds_of(layer, several)
            record = _record("growth-voxels", (size,) * 3, threads, spent.cpu, spent.wall)
            record.details = {"voxels": size**3}
            if size <= LARGEST_FIELD:
                motion = fields.resample_field(fields.exponential(velocity), image.grid)
                record.details["jacobian_cpu_s"] = seconds_of(partial(fields.jacobian, motion), several).cpu
                del motion
            records.append(record)
            del velocity, image, layer
        return records

    return measure


def segments(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """The whole segment table of one translation, from 1 to 200 segments of the same part of the scan."""
    translation = _translation(inputs, threads)
    if translation is None:
        return []
    shape, records = inputs.grid.shape, []
    block = max(1, min(shape) // 12)
    inner = tuple(slice(n // 10, n - n // 10) for n in shape)
    for count in SEGMENTS:
        coarse = np.random.default_rng(1).integers(1, count + 1, tuple(-(-n // block) for n in shape))
        fine = np.kron(coarse, np.ones((block,) * 3, np.int64))[: shape[0], : shape[1], : shape[2]]
        labels = np.zeros(shape, np.float32)
        labels[inner] = fine[inner]
        label_map = Volume(labels, translation.source.affine, "segments")
        spent = seconds_of(partial(segment_table, translation, label_map), repeats)
        record = _record("growth-segments", shape, threads, spent.cpu, spent.wall)
        record.details = {"segments": count}
        records.append(record)
    return records


def points(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """Points traced from the source to the translation."""
    translation = _translation(inputs, threads)
    if translation is None:
        return []
    inside = np.argwhere(translation.source.array > 0.2 * translation.source.array.max())[:, ::-1]
    records = []
    for count in POINTS:
        chosen = inside[np.random.default_rng(0).integers(0, len(inside), count)].astype(float)
        places = translation.source.grid.to_world(chosen)
        spent = seconds_of(partial(trace_points, translation, places), repeats if count <= 100_000 else 1)
        record = _record("growth-points", inputs.grid.shape, threads, spent.cpu, spent.wall)
        record.details = {"points": count}
        records.append(record)
    return records


def scans(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """``sittranslate batch`` on 2 mm scans, imports and workers' start included; once each."""
    package = shipped_model()
    if package is None:
        return []
    records = []
    with tempfile.TemporaryDirectory() as folder:
        scan, options = head_scan(SCAN_SHAPE, 2.0), ["--model", str(package.folder), "--suffix", "T1w", "--force"]
        for number, (count, workers) in enumerate(SCANS):
            place = Path(folder, f"in-{count}")
            place.mkdir(exist_ok=True)
            for subject in range(count):
                sit.write_volume(scan, place / f"sub-{subject + 1:02d}_T1w.nii.gz")
            words = ["batch", str(place), "--out", f"{folder}/out-{number}", *options]
            if workers:
                spent = run_command([*words, "--workers", str(workers)])
            else:
                with _dask() as scheduler:
                    spent = run_command([*words, "--scheduler", str(scheduler)])
            record = _record("growth-scans", SCAN_SHAPE, 1, spent.cpu, spent.wall)
            record.details = {"scans": count, "processes": workers or 2, "dask": not workers}
            records.append(record)
    return records


@contextlib.contextmanager
def _dask() -> Iterator[Path]:
    """A dask scheduler with two workers; the file that says where it is."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as processes:
        file = Path(folder, "scheduler.json")
        for kind, more in (("scheduler", ["--port", "0"]), *[("worker", ["--nthreads", "1"])] * 2):
            module = [sys.executable, "-m", f"distributed.cli.dask_{kind}"]
            process = subprocess.Popen(
                [*module, "--scheduler-file", str(file), "--no-dashboard", *more],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
            )  # fmt: skip
            processes.callback(process.wait, 30)
            processes.callback(process.terminate)
        yield file


def _cube(size: int) -> tuple[VectorField, Volume]:
    """A scan of ``size`` voxels of 1 mm along each axis, and a velocity at 2 mm."""
    grid = Grid((size,) * 3, np.eye(4))
    generator, coarse = np.random.default_rng(0), grid.coarsened(2)
    noise = VectorField(generator.standard_normal((*coarse.shape, 3), dtype=np.float32), coarse.affine)
    velocity = fields.band_limit(noise, SMOOTH_MM)
    longest = float(velocity.magnitude().max())
    image = generator.standard_normal(grid.shape, dtype=np.float32)
    return VectorField(velocity.array * np.float32(LONGEST_MM / longest), coarse.affine), Volume(image, grid.affine)


def _translation(inputs: Inputs, threads: int) -> sit.Translation | None:
    use_threads(threads)
    package = shipped_model()
    return None if package is None else sit.translate(head_scan(inputs.grid.shape), package, force=True)


def _record(name: str, shape: tuple[int, ...], threads: int, cpu: float, wall: float) -> Record:
    return figure_of(name, shape, threads, cpu, wall, "", None)


GROWTH: dict[str, Callable[[Inputs, int, int], list[Record]]] = {
    "growth-voxels": voxels(SIZES),
    "growth-segments": segments,
    "growth-points": points,
    "growth-scans": scans,
}
