"""Baselines: the best global transfer curve, and the mean of the target's scans."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS, RANGE = 200, (0.0, 3.0)


@dataclass(frozen=True, eq=False)
class TransferCurve:
    """``E[target | source]`` over voxels: the best that can be done from a voxel's own intensity, with pairs."""

    centres: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.interp(source, self.centres, self.values).astype(np.float32)


def fit_transfer_curve(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> TransferCurve:
    """The curve of voxels ``(source, target)``, one pair of flat arrays a scan."""
    edges = np.linspace(*RANGE, BINS + 1)
    total, count = np.zeros(BINS), np.zeros(BINS)
    for source, target in pairs:
        where = np.clip(np.digitize(source, edges) - 1, 0, BINS - 1)
        total += np.bincount(where, weights=target, minlength=BINS)
        count += np.bincount(where, minlength=BINS)
    filled = count >= 20
    centres = 0.5 * (edges[1:] + edges[:-1])
    return TransferCurve(centres[filled], total[filled] / count[filled])


def mean_image(targets: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Voxelwise mean of scans on one grid: a prediction without the input."""
    total, count = None, 0
    for target in targets:
        total = target.astype(np.float64) if total is None else total + target
        count += 1
    if total is None:
        raise ValueError("there is no scan to take the mean of")
    return np.asarray(total / count, dtype=np.float32)
