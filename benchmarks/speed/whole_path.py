"""A whole translation: what is spent outside the network, a second one, its memory, and what narrower numbers cost."""

from __future__ import annotations

import copy
import time
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

import SITTranslateLib as sit
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record, figure_of, peak_apart, seconds_of, use_threads
from SITTranslateLib import fields, packages
from SITTranslateLib.options import PRECISIONS
from SITTranslateLib.packages import Package
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.scan import simulate_contrasts
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.translate import pipeline
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.preparation import prepare
from SITTranslateLib.volume import Grid, Volume


def overhead(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """A translation by an installed model, twice: what is spent outside the network, and how much the first costs."""
    use_threads(threads)
    package, scan = shipped_model(), head_scan(inputs.grid.shape)
    if package is None:
        return []
    spent: list[float] = []
    network = pipeline.run_network

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        answer = network(*arguments, **named)
        spent.append(time.process_time() - start)
        return answer

    pipeline.run_network = timed
    try:
        times, model = [], None
        for _ in range(max(2, repeats)):
            start, wall = time.process_time(), time.perf_counter()
            # The host keeps a model between runs; the first run loads it.
            model = model or load_model(package)
            sit.translate(scan, model=model, force=True)
            times.append((time.process_time() - start, time.perf_counter() - wall))
    finally:
        pipeline.run_network = network
    (cpu, wall), inside = np.median(times[1:], axis=0).tolist(), float(np.median(spent[1:]))
    share = (cpu - inside) / inside
    shape = inputs.grid.shape
    record = figure_of("translate-overhead", shape, threads, cpu, wall, "<= 30 % of the network", share <= 0.3)
    record.details = {"network_cpu_s": inside, "outside_percent_of_network": 100 * share}
    part = wall / times[0][1]
    second = figure_of("second-apply", shape, threads, cpu, wall, "<= 50 % of the first", part <= 0.5)
    second.details = {"first_cpu_s": times[0][0], "first_wall_s": times[0][1], "percent": 100 * part}
    return [record, second]


def memory(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """Peak memory of a translation in a process of its own, above what is there when model and scan are loaded."""
    package = shipped_model()
    if package is None:
        return []
    prepare = (
        "import SITTranslateLib as sit\n"
        "from SITTranslateLib import fields\n"
        "from benchmarks.speed.whole_path import head_scan\n"
        "from SITTranslateLib.translate.model import load_model\n"
        f"fields.set_threads({threads})\n"
        f"model, scan = load_model({str(package.folder)!r}), head_scan({tuple(inputs.grid.shape)!r})\n"
        "sit.translate(head_scan((40, 40, 40)), model=model, force=True)"
    )
    if (found := peak_apart(prepare, "result = sit.translate(scan, model=model, force=True)")) is None:
        return []
    extra, peak = found
    volume = inputs.voxels * 4
    goal = "<= 8 volumes + model + 400 MB"
    reached = extra <= 8 * volume + package.bytes + 400e6
    record = figure_of("translate-memory", inputs.grid.shape, threads, None, None, goal, reached)
    record.peak_mib = peak / 2**20
    record.details = {"above_scan_and_model_MB": extra / 1e6, "in_volumes": extra / volume, "of_which_results_kept": 9}
    return [record]


def segments(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """The whole segment table of 100 segments of a translation: every column, volumes carried by the field included."""
    use_threads(threads)
    package, shape = shipped_model(), inputs.grid.shape
    if package is None:
        return []
    scan = head_scan(shape)
    translation = sit.translate(scan, model=package, force=True)
    block = max(1, min(shape) // 12)
    coarse = np.random.default_rng(1).integers(1, 101, tuple(-(-n // block) for n in shape))
    labels = np.kron(coarse, np.ones((block,) * 3, np.int64))[: shape[0], : shape[1], : shape[2]]
    for axis, margin in enumerate(n // 10 for n in shape):
        # Room around the segments, as around a brain.
        edge = np.moveaxis(labels, axis, 0)
        edge[:margin] = edge[-margin:] = 0
    label_map = Volume(labels.astype(np.float32), scan.affine, "segments")
    cpu, wall, _ = seconds_of(partial(segment_table, translation, label_map), repeats)
    record = figure_of("segment-table-whole", shape, threads, cpu, wall, "", None)
    record.details = {"segments": len(np.unique(labels)) - 1, "labelled_percent": 100 * float((labels > 0).mean())}
    return [record]


def network_precision(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """The network alone in float32 and narrower, in torch's two memory formats, and how far each answer is off."""
    use_threads(threads)
    package = shipped_model()
    if package is None:
        return []
    model, scan = load_model(package, "cpu"), head_scan(inputs.grid.shape)
    prepared = prepare(scan, locate_head(scan), model.card)
    request = {a.name: a.maximum for a in model.card.attributes}
    records: list[Record] = []
    reference = None
    for precision in PRECISIONS:
        for channels_last in (False, True):
            layout = torch.channels_last_3d if channels_last else torch.contiguous_format
            network: Any = copy.deepcopy(model.network)
            network = network.to(memory_format=layout)
            image = torch.from_numpy(prepared.image.array)[None, None].contiguous(memory_format=layout)
            code, axes = network.code(request), prepared.image.affine[:3, :3]

            forward = partial(_forward, network, image, code, axes, precision)
            answer = forward()
            reference = reference or answer
            cpu, wall, _ = seconds_of(forward, repeats)
            name = f"network {precision}{', channels last' if channels_last else ''}"
            record = figure_of(name, prepared.image.grid.shape, threads, cpu, wall, "", None)
            off = (answer.translated - reference.translated).float()
            record.details = {
                "image_off_max_percent_of_range": 100 * float(off.abs().max()),
                "image_off_rms_percent_of_range": 100 * float(off.square().mean().sqrt()),
                "velocity_off_max_mm": float((answer.velocity - reference.velocity).norm(dim=1).max()),
            }
            records.append(record)
    return records


def _forward(network: Any, image: torch.Tensor, code: torch.Tensor, axes: Any, precision: str) -> Any:
    context = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext()
    with torch.inference_mode(), context:
        return network(image, code, axes)


def head_scan(shape: tuple[int, int, int], spacing: float = 1.0) -> Volume:
    """A simulated T1w scan of the procedural head on a grid of that shape about its middle."""
    labels = procedural_head(0, spacing=2.0)
    simulated = simulate_contrasts(labels, ["T1w"], 0, grid=labels.grid).scans["T1w"]
    grid = Grid.centred(np.asarray(labels.grid.centre), shape, spacing)
    return fields.resample_volume(simulated, grid)


def shipped_model() -> Package | None:
    """The package of SIT that comes with the library."""
    return next((p for p in packages.available() if p.card.system.name == "sit"), None)
