"""What has no peer: the strength slider, memory of the fields, opening; and the cases of the other modules by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.speed import engines, estimated, front, growth, waiting, whole_path
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record, figure_of, peak_apart, run_apart, seconds_of, use_threads
from SITTranslateLib import fields
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation


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
    cpu, wall, _ = seconds_of(lambda: translation.at(0.5), repeats)
    record = figure_of("slider", inputs.grid.shape, threads, cpu, wall, "< 0.15 CPU-s", cpu < 0.15)
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
    answers = [run_apart(code).split() for _ in range(max(3, repeats))]
    cpu, wall = (float(np.median([float(a[n]) for a in answers])) for n in (0, 1))
    without_torch = all(a[2] == "False" for a in answers)
    return [figure_of("opening", (), 1, cpu, wall, "< 0.1 s, no torch", cpu < 0.1 and without_torch)]


def memory(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """Peak memory of a translation's fields: both directions on the scan's grid, Jacobian and translated scan."""
    prepare = (
        "from SITTranslateLib import fields\n"
        "from benchmarks.speed.inputs import make_inputs\n"
        f"fields.set_threads({threads})\n"
        "def path(inputs):\n"
        "    velocity = fields.resample_field(inputs.velocity, inputs.grid.coarsened(2))\n"
        "    coarse, back = fields.exponential(velocity, -1.0), fields.exponential(velocity)\n"
        "    sampling, motion = (fields.resample_field(f, inputs.grid) for f in (coarse, back))\n"
        "    return sampling, motion, fields.jacobian(motion), fields.warp(inputs.image, sampling)\n"
        "path(make_inputs((24, 24, 24)))\n"
        f"inputs = make_inputs({tuple(inputs.grid.shape)!r})"
    )
    if (found := peak_apart(prepare, "kept = path(inputs)")) is None:
        return []
    extra, peak = found
    volumes = extra / (inputs.voxels * 4)
    record = figure_of("memory", inputs.grid.shape, threads, None, None, "<= 8 volumes + results", volumes <= 8 + 8)
    record.peak_mib = peak / 2**20
    record.details = {"above_inputs_in_volumes": volumes, "of_which_results_kept": 8}
    return [record]


FIGURES: dict[str, Callable[[Inputs, int, int], list[Record]]] = {
    "slider": slider,
    "opening": opening,
    "memory": memory,
    "translate-overhead": whole_path.overhead,
    "translate-memory": whole_path.memory,
    "segment-table-whole": whole_path.segments,
    "network": whole_path.network_precision,
    "translate-command": waiting.command,
    "batch-command": waiting.batch_command,
    "demo-command": waiting.demo_command,
    "steps": waiting.steps,
    "exp-front": front.exp_front,
    **{case: estimated.measured_on(None, case) for case in estimated.CASES},
    "engines": engines.engines,
    **growth.GROWTH,
}
