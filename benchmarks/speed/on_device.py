"""Absolute times of the field engine on one device, and the share of that device's memory bandwidth they reach.

On a GPU the engine is its differentiable torch form (``fields.tensors``); its answers are held against the CPU's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record
from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.volume import VectorField

SLIDER_GOAL_S = 0.010
"""A new strength on a GPU of the H200's class."""


@torch.no_grad()
def measure_on_device(inputs: Inputs, device: str, repeats: int) -> list[Record]:
    """Exp, SIT layer, Jacobian, warp and the strength slider on a device, with what copying the same bytes takes.

    Raises:
        InputError: no such device on this machine.
        AssertionError: an answer differs from the CPU's by more than the stated tolerance.
    """
    place = device_of(device)
    axes = inputs.grid.axes
    coarse_field = fields.resample_field(inputs.velocity, inputs.grid.coarsened(2))
    velocity, coarse = _channels(inputs.velocity.array, place), _channels(coarse_field.array, place)
    image = torch.from_numpy(inputs.image.array)[None, None].to(place)
    steps = tensors.squarings(velocity, axes)
    coarse_steps = tensors.squarings(coarse, 2.0 * axes)
    motion = tensors.exponential(velocity, axes, 1.0, steps)
    shape = inputs.grid.shape

    def layer(strength: float) -> Tensor:
        sampling = tensors.exponential(coarse, 2.0 * axes, -strength, coarse_steps)
        full = torch.nn.functional.interpolate(sampling, size=shape, mode="trilinear", align_corners=False)
        return tensors.warp(image, full, axes)

    voxels = inputs.voxels
    truth = fields.exponential(inputs.velocity, 1.0)
    jacobian = fields.jacobian(VectorField(_array(motion), inputs.grid.affine)).array
    warped = fields.warp(inputs.image, truth).array
    works: list[tuple[str, Callable[[], Tensor], int, np.ndarray | None, float, str]] = [
        ("exp", lambda: tensors.exponential(velocity, axes, 1.0, steps), 24 * voxels, truth.array, 0.02, "mm"),
        ("Jacobian map", lambda: tensors.jacobian(motion, axes), 16 * voxels, jacobian, 1e-3, ""),
        ("warp", lambda: tensors.warp(image, motion, axes), 20 * voxels, warped, 0.05, "of the scan's noise"),
        ("SIT layer at half resolution", lambda: layer(1.0), 8 * voxels + 12 * voxels // 8, None, 0.0, ""),
        ("slider", lambda: layer(0.5), 8 * voxels + 12 * voxels // 8, None, 0.0, ""),
    ]
    bandwidth = _bandwidth(24 * voxels, place, repeats)
    records = []
    for name, work, moved, expected, tolerance, unit in works:
        answer = work()
        error = None
        if expected is not None:
            found = _array(answer) if answer.shape[1] == 3 else answer[0, 0].cpu().numpy()
            error = float(np.abs(inputs.inside(found) - inputs.inside(expected)).max())
            if not error <= tolerance:
                raise AssertionError(f"{name} on {device}: error {error:g} above {tolerance:g} {unit}")
        seconds = _seconds(work, place, repeats)
        goal = f"< {1000 * SLIDER_GOAL_S:g} ms" if name == "slider" and place.type == "cuda" else ""
        record = Record(f"{name} on {device}", "", None, None, None, tolerance, error, 1, shape, seconds, unit=unit)
        record.goal, record.reached = goal, seconds < SLIDER_GOAL_S if goal else None
        record.moved_bytes, record.bandwidth_share = moved, moved / seconds / bandwidth
        record.details = {"ms": 1000.0 * seconds, "percent_of_copy_bandwidth": 100.0 * record.bandwidth_share}
        if error is not None:
            record.details["off_the_CPU_by"] = error
        records.append(record)
    records[0].details["copy_GB_per_s"] = bandwidth / 1e9
    if place.type == "cuda":
        records[0].details |= {"device": torch.cuda.get_device_name(place), "peak_MiB": _peak(place)}
    return records


def device_of(name: str) -> torch.device:
    """A device of this machine.

    Raises:
        InputError: there is none of this name.
    """
    try:
        place = torch.device(name)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"There is no device '{name}' here; leave --device out to measure the processor.") from error
    return place


def _channels(array: np.ndarray, place: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).permute(3, 0, 1, 2)[None].contiguous().to(place)


def _array(field: Tensor) -> np.ndarray:
    return np.ascontiguousarray(field[0].permute(1, 2, 3, 0).cpu().numpy())


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def _seconds(work: Callable[[], Tensor], place: torch.device, repeats: int) -> float:
    """Median wall seconds, the device done, after one call that is not counted."""
    times = []
    for _ in range(repeats + 1):
        _wait(place)
        started = time.perf_counter()
        work()
        _wait(place)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _bandwidth(moved: int, place: torch.device, repeats: int) -> float:
    """Bytes per second of a copy on the device, read and written."""
    source = torch.ones(max(1, moved // 8), device=place)
    return 8.0 * source.numel() / max(_seconds(source.clone, place, repeats), 1e-9)


def _peak(place: torch.device) -> int:
    return int(torch.cuda.max_memory_allocated(place) // 2**20)
