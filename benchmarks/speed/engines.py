"""The compiled engine against torch: what the first call costs, with an empty and a warm cache, and a further one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record, figure_of

#: Function of :mod:`SITTranslateLib.fields`, and its call; ``f`` is a field on the scan's grid, ``v`` the velocity.
CALLS = {
    "exponential": "fields.exponential(v)",
    "resample_field": "fields.resample_field(v, image.grid)",
    "jacobian": "fields.jacobian(f)",
    "warp": "fields.warp(image, f)",
    "warp through the coarse field": "fields.warp(image, v, grid=image.grid)",
    "compose": "fields.compose(f, f)",
}
_CODE = """
import json, time
import numpy as np
import torch
from SITTranslateLib import fields
from SITTranslateLib.volume import Grid, VectorField, Volume
fields.set_threads(1); torch.set_num_threads(1)
grid = Grid({shape}, np.eye(4)); coarse = grid.coarsened(2); draw = np.random.default_rng(0).standard_normal
v = VectorField(draw((*coarse.shape, 3), dtype=np.float32), coarse.affine)
f = VectorField(draw((*grid.shape, 3), dtype=np.float32), grid.affine)
image = Volume(draw(grid.shape, dtype=np.float32), grid.affine)
spent = []
for _ in range({calls}):
    start = time.process_time(); {call}; spent.append(time.process_time() - start)
print(json.dumps([spent[0], min(spent[1:] or spent)]))
"""


def engines(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
    """CPU-seconds of each function in processes of its own, on a velocity at 2 mm and fields at 1 mm."""
    records = []
    for name, call in CALLS.items():
        with tempfile.TemporaryDirectory() as cache:
            empty = _apart(call, inputs.grid.shape, 1, {"NUMBA_CACHE_DIR": cache})[0]
            warm, further = _apart(call, inputs.grid.shape, 3, {"NUMBA_CACHE_DIR": cache})
        torch = _apart(call, inputs.grid.shape, 2, {"SITTRANSLATE_FIELDS": "torch"})[1]
        record = figure_of(f"engine {name}", inputs.grid.shape, 1, further, None, "", None)
        record.details = {
            "first_empty_cache": empty, "first_warm_cache": warm, "further": further, "torch_further": torch,
        }  # fmt: skip
        records.append(record)
    return records


def _apart(call: str, shape: tuple[int, int, int], calls: int, environment: dict[str, str]) -> tuple[float, float]:
    """CPU-seconds of the first and of the shortest further call in a new process."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))))
    code = _CODE.format(shape=tuple(shape), call=call, calls=calls)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    first, further = json.loads(done.stdout.strip().splitlines()[-1])
    return first, further
