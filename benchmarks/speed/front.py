"""Error against time: exp by several libraries at several settings, each held against paths in fine steps.

A ratio of two times says little where the slower answer is also the better one; the front of all settings does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK
import torch
from numpy.typing import NDArray

from benchmarks.speed import peers
from benchmarks.speed.inputs import LPS, Inputs
from benchmarks.speed.measuring import Record, figure_of, seconds_of, use_threads
from benchmarks.speed.races import distances, fine_steps
from SITTranslateLib import fields
from SITTranslateLib.volume import VectorField

OURS, HALF = "this project", "this project, at half the resolution"


class Point(NamedTuple):
    """One setting of one library: ``work`` gives its answer, ``in_mm`` that as RAS mm ``(K, J, I, 3)``."""

    library: str
    squarings: int
    work: Callable[[], Any]
    in_mm: Callable[[Any], NDArray[np.float32]]


def exp_front(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """CPU-seconds and mean error of ``exp(-v)`` for every library that is installed."""
    use_threads(threads)
    (k, j, i), true = (found := fine_steps(inputs))[0].T, found[1]
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for point in (*_own(inputs), *_monai(inputs), *_deepali(inputs), *_greedy(inputs, Path(folder), threads)):
            error = distances(point.in_mm(point.work())[k, j, i], true)
            spent = seconds_of(point.work, repeats)
            record = figure_of("exp-front", inputs.grid.shape, threads, spent.cpu, spent.wall, "", None)
            record.peer, record.ours_system_s = point.library, spent.system
            record.details = {
                "squarings": point.squarings,
                "error_mean_mm": error["mean"],
                "error_p99_mm": error["p99"],
            }
            records.append(record)
    return records


def _own(inputs: Inputs) -> Iterator[Point]:
    def full(squarings: int) -> VectorField:
        return fields.exponential(inputs.velocity, -1.0, squarings)

    for squarings in (4, 5, 6, 7):
        yield Point(OURS, squarings, partial(full, squarings), lambda field: field.array)

    def half() -> VectorField:
        coarse = fields.resample_field(inputs.velocity, inputs.grid.coarsened(2))
        return fields.resample_field(fields.exponential(coarse, -1.0, 7), inputs.grid)

    yield Point(HALF, 7, half, lambda field: field.array)


def _monai(inputs: Inputs) -> Iterator[Point]:
    for squarings in (4, 7):
        yield Point("MONAI", squarings, peers.monai_integrator(inputs, "border", squarings), peers.from_voxels)


def _deepali(inputs: Inputs) -> Iterator[Point]:
    """Heartflow's deepali, in torch; its flows are in units of half the volume, x first."""
    try:
        from deepali.core.flow import expv
    except ImportError:
        return
    half = torch.tensor([(n - 1) / 2 for n in inputs.grid.shape[::-1]]).view(1, 3, 1, 1, 1)
    flow = peers.in_voxels(inputs.velocity, -1.0).flip(1) / half

    def integrate(squarings: int) -> torch.Tensor:
        with torch.no_grad():
            return expv(flow, steps=squarings, align_corners=True) * half  # type: ignore[no-any-return]

    for squarings in (4, 7):
        yield Point("deepali", squarings, partial(integrate, squarings), lambda d: peers.from_voxels(d.flip(1)))


def _greedy(inputs: Inputs, folder: Path, threads: int) -> Iterator[Point]:
    """Greedy composes a root warp with itself; it takes and gives vectors as files only (uncompressed, counted)."""
    try:
        from picsl_greedy import Greedy3D
    except ImportError:
        return
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(inputs.image.array), folder / "grid.nii")
    for squarings in (4, 7):
        parts = 2**squarings
        root = folder / f"root-{squarings}.nii"
        SimpleITK.WriteImage(
            peers.itk_field(VectorField(inputs.velocity.array / np.float32(-parts), inputs.grid.affine)), root
        )
        arguments = f"-threads {threads} -V 0 -rf {folder}/grid.nii -r {root},{parts} -rc {folder}/warp.nii"

        def read(_: Any) -> NDArray[np.float32]:
            image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / "warp.nii"))
            return image.reshape(*inputs.grid.shape, 3) * LPS  # type: ignore[no-any-return]

        yield Point("Greedy, files included", squarings, partial(Greedy3D().execute, arguments), read)
