"""What has no peer: the strength slider, the pipeline around the network, memory, growth with size, opening."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.evaluation.bench.inputs import Inputs, make_inputs
from SITTranslateLib.evaluation.bench.measuring import Record, seconds_of, use_threads
from SITTranslateLib.translate.translation import FieldOrigin, Provenance, Translation

GROWTH_SIZES = (96, 128, 160, 192, 224)
#: Only on request: 512^3 takes minutes and about 8 GB.
LARGE_SIZES = (256, 384, 512)


def slider(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """A translation at another strength, as the slider asks for it."""
    use_threads(threads)
    velocity = fields.resample_field(inputs.velocity, inputs.grid.coarsened(2))
    sampling = fields.resample_field(fields.exponential(velocity, -1.0), inputs.grid)
    change = inputs.image.with_array(np.full(inputs.grid.shape, 2.0, np.float32))
    changed = inputs.image.with_array(inputs.image.array + change.array)
    translation = Translation(
        inputs.image, fields.warp(changed, sampling), velocity, sampling, sampling, None, change, FieldOrigin.MODEL,
        0.0, Provenance("bench", "0", "", "sit", {}, 0, "cpu", "", "", 0.0),
    )  # fmt: skip
    near_one = translation.at(1 - 1e-6).array
    error = float(np.abs(near_one - translation.translated.array).max())
    cpu, wall = seconds_of(lambda: translation.at(0.5), repeats)
    record = _figure("slider", inputs.grid.shape, threads, cpu, wall, "< 0.15 CPU-s", cpu < 0.15)
    record.max_error, record.tolerance, record.unit = error, 0.02, "of the scan's noise, at 1 against the translation"
    return [record]


def opening(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """Own time of loading the library in a fresh interpreter; torch must not come with it."""
    code = (
        "import sys, time, numpy, SimpleITK\n"
        "wall, cpu = time.perf_counter(), time.process_time()\n"
        "import SITTranslateLib, SITTranslateLib.volume, SITTranslateLib.fields, SITTranslateLib.host\n"
        "print(time.process_time() - cpu, time.perf_counter() - wall, 'torch' in sys.modules)"
    )
    answers = [_apart(code).split() for _ in range(max(3, repeats))]
    cpu, wall = (float(np.median([float(a[n]) for a in answers])) for n in (0, 1))
    without_torch = all(a[2] == "False" for a in answers)
    return [_figure("opening", (), 1, cpu, wall, "< 0.1 s, no torch", cpu < 0.1 and without_torch)]


def memory(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """Peak memory of a translation's fields: both directions on the scan's grid, Jacobian and translated scan."""
    code = (
        "import resource, sys, json\n"
        "from SITTranslateLib import fields\n"
        "from SITTranslateLib.evaluation.bench.inputs import make_inputs\n"
        f"fields.set_threads({threads})\n"
        "def path(inputs):\n"
        "    velocity = fields.resample_field(inputs.velocity, inputs.grid.coarsened(2))\n"
        "    coarse, back = fields.exponential(velocity, -1.0), fields.exponential(velocity)\n"
        "    sampling, motion = (fields.resample_field(f, inputs.grid) for f in (coarse, back))\n"
        "    return sampling, motion, fields.jacobian(motion), fields.warp(inputs.image, sampling)\n"
        "path(make_inputs((24, 24, 24)))\n"
        f"inputs = make_inputs({tuple(inputs.grid.shape)!r})\n"
        "rss = int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "kept = path(inputs)\n"
        "peak = next(int(l.split()[1]) * 1024 for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "print(json.dumps([peak - rss, peak]))"
    )
    try:
        extra, peak = json.loads(_apart(code))
    except (subprocess.CalledProcessError, ValueError):
        # Peaks are read from Linux's /proc.
        return []
    volumes = extra / (inputs.voxels * 4)
    record = _figure("memory", inputs.grid.shape, threads, None, None, "<= 8 volumes + results", volumes <= 8 + 8)
    record.peak_mib = peak / 2**20
    record.details = {"above_inputs_in_volumes": volumes, "of_which_results_kept": 8}
    return [record]


def growth(sizes: tuple[int, ...]) -> Callable[[Inputs, int, int], list[Record]]:
    """exp and warp from 96^3 upwards: the exponent of a fit to ``seconds = a voxels^b``; 1 is linear."""

    def measure(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
        use_threads(threads)
        seconds = []
        for size in sizes:
            each = make_inputs((size,) * 3)
            seconds.append(seconds_of(partial(_layer, each), repeats if size <= 256 else 1)[0])
            del each
        exponent = float(np.polyfit(np.log(np.array(sizes, float) ** 3), np.log(seconds), 1)[0])
        record = _figure("growth", (sizes[-1],) * 3, threads, seconds[-1], None, "exponent <= 1.1", exponent <= 1.1)
        record.details = {
            "exponent": exponent,
            "nanoseconds_a_voxel": {str(n): 1e9 * s / n**3 for n, s in zip(sizes, seconds, strict=True)},
        }
        return [record]

    return measure


def translate_path(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """A whole translation by an installed model: what is spent outside the network, and a second time."""
    from SITTranslateLib import packages
    from SITTranslateLib.translate import pipeline

    use_threads(threads)
    models = [p for p in packages.available() if p.card.system.name == "sit"]
    if not models:
        return []
    spent: list[float] = []
    network = pipeline.run_network

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        answer = network(*arguments, **named)
        spent.append(time.process_time() - start)
        return answer

    import SITTranslateLib as sit

    scan = _head_like(inputs)
    pipeline.run_network = timed
    try:
        times = []
        for _ in range(2):
            start, wall = time.process_time(), time.perf_counter()
            sit.translate(scan, model=models[0].name, force=True)
            times.append((time.process_time() - start, time.perf_counter() - wall))
    finally:
        pipeline.run_network = network
    share = (times[1][0] - spent[1]) / spent[1]
    overhead = _figure(
        "translate-overhead", inputs.grid.shape, threads, *times[1], "<= 30 % of the network", share <= 0.3
    )
    overhead.details = {"network_cpu_s": spent[1], "outside_percent_of_network": 100 * share}
    second = _figure("second-apply", inputs.grid.shape, threads, *times[1], "<= 50 % of the first", None)
    second.details = {
        "first_cpu_s": times[0][0],
        "first_wall_s": times[0][1],
        "percent": 100 * times[1][1] / times[0][1],
    }
    second.reached = times[1][1] <= 0.5 * times[0][1]
    return [overhead, second]


FIGURES: dict[str, Callable[[Inputs, int, int], list[Record]]] = {
    "slider": slider,
    "opening": opening,
    "memory": memory,
    "growth": growth(GROWTH_SIZES),
    "translate-overhead": translate_path,
}


def _layer(inputs: Inputs) -> object:
    coarse = fields.exponential(fields.resample_field(inputs.velocity, inputs.grid.coarsened(2)), -1.0)
    return fields.warp(inputs.image, coarse, grid=inputs.grid)


def _head_like(inputs: Inputs) -> Any:
    """A bright ball in air, so that a gate that looks for a head finds one."""
    centred = [np.linspace(-1, 1, n, dtype=np.float32) for n in inputs.grid.shape]
    distance = sum(c.reshape([-1 if a == axis else 1 for a in range(3)]) ** 2 for axis, c in enumerate(centred))
    return inputs.image.with_array(np.where(distance < 0.6, 400 - 300 * distance, 0).astype(np.float32))


def _figure(
    name: str,
    shape: tuple[int, ...],
    threads: int,
    cpu: float | None,
    wall: float | None,
    goal: str,
    reached: bool | None,
) -> Record:
    return Record(name, "", cpu, None, None, None, None, threads, shape, wall, goal=goal, reached=reached)


def _apart(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip().splitlines()[-1]
