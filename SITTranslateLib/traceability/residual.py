"""Expected residual from the source's surroundings: blur, partial volume, tissues of equal brightness.

The contrast map is kept simple so that it can be understood; its misfit at edges is no hallucination. A small network
learns the residual from the moved source around each voxel, half of the scan at a time, and predicts it in the other
half, so that no voxel is explained by itself. It sees no position: something new at one place cannot be learnt as
belonging there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from SITTranslateLib import fields
from SITTranslateLib.traceability.tissue_maps import on_grid, tissues_of, upright_grid
from SITTranslateLib.volume import FloatArray, VectorField, Volume

BLOCK_MM = 24.0
"""Side of the cubes that belong to one half or the other: wider than most hallucinations."""
EXAMPLES, ROUNDS, WIDTH, BATCH = 80_000, 15, 64, 1024
CHUNK = 200_000
MARGIN_MM = 10.0
LARGEST_MM = 400.0
"""What is longer than this is no head."""


def expected_residual(
    residual: FloatArray,
    moved: Volume,
    tissue: NDArray[np.bool_],
    surroundings: list[FloatArray],
    classes: list[FloatArray],
) -> FloatArray:
    """The part of a residual that the moved source predicts ``(K, J, I)``; zero outside the tissue.

    Args:
        residual: what contrast map and geometry leave.
        moved: the source at its places in the translated scan.
        tissue: where there is something to learn from.
        surroundings: images of the moved source that the contrast map sees.
        classes: further images of the moved source, such as tissue probabilities; may be none.
    """
    places = np.flatnonzero(tissue)
    seen = [moved.array, *surroundings, *_neighbours(moved.array), *classes]
    half = _halves(moved, places)
    values = residual.ravel()[places].astype(np.float32)
    scale = float(values.std()) or 1.0
    predicted = np.zeros(len(places), np.float32)
    with torch.random.fork_rng(devices=[]):
        for left_out in (0, 1):
            others = np.flatnonzero(half != left_out)
            if len(others) < BATCH:
                return np.zeros_like(residual)
            torch.manual_seed(left_out)
            chosen = others[torch.randperm(len(others))[:EXAMPLES].numpy()]
            model = _Regression(_gathered(seen, places[chosen]))
            model.learn(_gathered(seen, places[chosen]), values[chosen] / scale)
            for part in _chunks(np.flatnonzero(half == left_out)):
                predicted[part] = scale * model.predict(_gathered(seen, places[part]))
    expected = np.zeros_like(residual)
    expected.ravel()[places] = predicted
    return expected


def tissue_images(
    source: Volume, head: NDArray[np.bool_], sampling: VectorField | None, *, expected: bool = True
) -> list[FloatArray]:
    """Tissue probabilities of a source, moved as it is, on its grid; none where no brain is found.

    Args:
        source: any contrast.
        head: where its tissue is ``(K, J, I)``.
        sampling: mm RAS on the source's grid, or None where nothing moves.
        expected: also what is expected of each place, before those that its brightness shows.
    """
    ends = [np.flatnonzero(head.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in (2, 1, 0)]
    points = source.grid.to_world(np.array([[i, j, k] for i in ends[0] for j in ends[1] for k in ends[2]], dtype=float))
    low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    if np.any(high - low > LARGEST_MM):
        return []
    grid = upright_grid(low, high)
    found = tissues_of(on_grid(source, grid))
    if found is None:
        return []
    images = []
    for image in torch.cat(found if expected else found[1:], dim=1)[0].cpu().numpy():
        here = fields.resample_volume(Volume(np.ascontiguousarray(image), grid.affine), source.grid)
        images.append((here if sampling is None else fields.warp(here, sampling)).array)
    return images


class _Regression:
    """Two hidden layers on standardised features, fitted with a robust loss."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        self._mean, self._spread = features.mean(axis=0), features.std(axis=0) + 1e-6 * np.abs(features).max() + 1e-12
        self._network = nn.Sequential(
            nn.Linear(features.shape[1], WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1)
        )

    def _seen(self, features: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(np.clip((features - self._mean) / self._spread, -5.0, 5.0).astype(np.float32))

    def learn(self, features: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        seen, wanted = self._seen(features), torch.from_numpy(values)
        adam = torch.optim.Adam(self._network.parameters(), 3e-3)
        steps = ROUNDS * max(1, len(seen) // BATCH)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(steps):
            batch = torch.randint(0, len(seen), (BATCH,))
            loss = nn.functional.smooth_l1_loss(self._network(seen[batch])[:, 0], wanted[batch], beta=0.3)
            adam.zero_grad()
            loss.backward()
            adam.step()
            rates.step()

    @torch.no_grad()
    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._network(self._seen(features))[:, 0].numpy()
        return found


def _neighbours(image: FloatArray) -> list[FloatArray]:
    """The six neighbours, how they differ from the middle, the size of the gradient, and the mean of the edges."""
    steps = {(axis, step): _stepped(image, axis, step) for axis in range(3) for step in (1, -1)}
    gradient = np.sqrt(sum((0.5 * (steps[axis, -1] - steps[axis, 1])) ** 2 for axis in range(3)))
    edges = np.zeros_like(image)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for step in (1, -1):
            edges += _stepped(steps[one, step], other, 1) + _stepped(steps[one, step], other, -1)
    near = list(steps.values())
    return [*near, np.asarray(sum(near) - 6.0 * image, np.float32), np.asarray(gradient, np.float32), edges / 12.0]


def _stepped(image: FloatArray, axis: int, step: int) -> FloatArray:
    """An image shifted by one voxel, its border repeated."""
    size = image.shape[axis]
    return np.take(image, np.clip(np.arange(size) - step, 0, size - 1), axis=axis)


def _halves(volume: Volume, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which half each voxel belongs to: a chessboard of cubes."""
    blocks = [np.maximum(1, round(BLOCK_MM / size)) for size in reversed(volume.spacing)]
    indices = np.unravel_index(places, volume.shape)
    return np.asarray(sum(index // block for index, block in zip(indices, blocks, strict=True)) % 2)


def _gathered(images: list[FloatArray], places: NDArray[np.intp]) -> NDArray[np.float32]:
    return np.stack([image.ravel()[places] for image in images], axis=1).astype(np.float32)


def _chunks(indices: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(indices), CHUNK):
        yield indices[start : start + CHUNK]
