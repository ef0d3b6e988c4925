"""Random people made from label maps (affine map, smooth displacement, left and right exchanged), and their scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from SITTranslateLib.simulation.labels import BRAIN_LABELS, LEFT_RIGHT, OUTER_CSF, LabelMap, lookup
from SITTranslateLib.simulation.random_contrast import random_table
from SITTranslateLib.simulation.scanner import bias_field
from SITTranslateLib.training.engine.grid import SHAPE
from SITTranslateLib.translate.normalisation import percentile_range

_K, _J, _I = SHAPE
FINE = (2 * _K, 2 * _J, 2 * _I)
"""Voxels of 1 mm on the grid of :mod:`SITTranslateLib.training.engine.grid`."""
BRAIN = lookup(dict.fromkeys(BRAIN_LABELS, True), np.bool_)
"""Which labels are brain or ventricle."""
_WITH_FLUID = lookup(dict.fromkeys((*BRAIN_LABELS, OUTER_CSF, 30, 62, 85, 502, 514), True), np.bool_)
_OTHER_SIDE = np.arange(len(BRAIN), dtype=np.int16)
for _label, _other in LEFT_RIGHT.items():
    _OTHER_SIDE[_label] = _other


@dataclass(frozen=True, eq=False)
class LabelledHead:
    """A label map ready for sampling: labels ``(K, J, I)`` at 1 mm along R, A, S, and the voxel (k, j, i) of the
    brain's centre."""

    labels: NDArray[np.int16]
    centre: NDArray[np.float64]


def head_of(labels: LabelMap) -> LabelledHead:
    """Prepare a label map of 1 mm."""
    brain = labels.mask(*BRAIN_LABELS)
    found = ndimage.find_objects(brain.astype(np.uint8))[0]
    return LabelledHead(labels.array, np.array([(s.start + s.stop - 1) / 2 for s in found]))


def smooth_noise(
    rng: np.random.Generator, channels: int, nodes: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Normal noise at nodes, interpolated linearly between them ``(channels, K, J, I)``."""
    noise = torch.from_numpy(rng.standard_normal((1, channels, *nodes), dtype=np.float32))
    raised: NDArray[np.float32] = functional.interpolate(noise, size=shape, mode="trilinear", align_corners=True)[
        0
    ].numpy()
    return raised


def deformed(
    head: LabelledHead, rng: np.random.Generator, shape: tuple[int, int, int], shift_mm: tuple[float, float, float]
) -> NDArray[np.int16]:
    """Labels of a random person made from a head.

    Args:
        rng: of everything random.
        shape: voxels (K, J, I) of 1 mm, divisible by 4.
        shift_mm: largest distance (k, j, i) of the brain's centre from the middle.
    """
    angles = np.deg2rad(rng.uniform(-15, 15, 3))
    cosines, sines = np.cos(angles), np.sin(angles)
    matrix = np.eye(3)
    for (a, b), c, s in zip(((0, 1), (0, 2), (1, 2)), cosines, sines, strict=True):
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = c
        turn[a, b], turn[b, a] = -s, s
        matrix = matrix @ turn
    matrix = (
        matrix
        @ np.diag(rng.uniform(0.85, 1.18, 3) * rng.uniform(0.95, 1.05))
        @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3)))
    )
    flip = rng.random() < 0.5
    if flip:
        matrix = matrix @ np.diag([1.0, 1.0, -1.0])
    shift = rng.uniform(-1, 1, 3) * shift_mm
    smooth = tuple(n // 4 for n in shape)
    spread = max(1.0, max(shape) / 144.0)
    offset = rng.uniform(0, 4.0) * smooth_noise(rng, 3, _nodes((6, 7, 6), spread), smooth)
    offset += rng.uniform(0, 1.6) * smooth_noise(rng, 3, _nodes((13, 16, 13), spread), smooth)
    raised = functional.interpolate(torch.from_numpy(offset)[None], size=shape, mode="trilinear")[0].numpy()
    places = []
    for axis in range(3):
        place = raised[axis]
        for other in range(3):
            line = (np.arange(shape[other]) - (shape[other] - 1) / 2 + shift[other]) * matrix[axis, other]
            place += line.astype(np.float32).reshape([-1 if d == other else 1 for d in range(3)])
        place += np.float32(head.centre[axis] + 0.5)
        places.append(np.clip(place, 0, head.labels.shape[axis] - 1).astype(np.int32))
    labels = head.labels[tuple(places)]
    return _OTHER_SIDE[labels] if flip else labels


def _nodes(count: tuple[int, int, int], spread: float) -> tuple[int, int, int]:
    k, j, i = (round(n * spread) for n in count)
    return k, j, i


def averaged(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blocks of 2 x 2 x 2 voxels averaged."""
    k, j, i = (n // 2 for n in image.shape)
    return image.reshape(k, 2, j, 2, i, 2).mean(axis=(1, 3, 5), dtype=np.float32)


def stripping_mask(labels: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask of skull stripping: the brain alone, with its fluid, or the brain with a loose border."""
    kind = rng.random()
    if kind < 0.3:
        return np.asarray(BRAIN[labels])
    if kind < 0.6:
        return np.asarray(_WITH_FLUID[labels])
    loose = ndimage.uniform_filter(BRAIN[labels].astype(np.float32), int(rng.choice([3, 5, 7])))
    return np.asarray((loose > rng.uniform(0.15, 0.5)) & _WITH_FLUID[labels]) | BRAIN[labels]


def affine_of(spacing: float) -> NDArray[np.float64]:
    """Affine of the labels' corner at 1 mm, or of the network's grid at 2 mm."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = 0.5 * (spacing - 1.0)
    return affine


def t1w_image(labels: NDArray[np.int16], rng: np.random.Generator, strip: bool) -> NDArray[np.float32]:
    """A T1w scan of a head at 2 mm, or (one in twelve) a scan in a random contrast, in the network's units."""
    table, spread = random_table(rng, 0.92, "T1w")
    jitter = rng.normal(0.0, rng.uniform(0.0, 0.04), len(table)).astype(np.float32)
    for label, other in LEFT_RIGHT.items():
        jitter[max(label, other)] = jitter[min(label, other)]
    table = np.where(table > 0.03, np.clip(table + jitter, 0.0, 1.0), table).astype(np.float32)
    image = table[labels]
    if strip:
        image *= stripping_mask(labels, rng)
    image = averaged(image)
    image *= 1.0 + np.float32(spread) * rng.standard_normal(image.shape, dtype=np.float32)
    image = ndimage.gaussian_filter(image, float(rng.uniform(0.0, 0.5)), mode="nearest", truncate=2.5)
    image *= bias_field(image.shape, float(rng.uniform(0.0, 0.3)), int(rng.integers(2**31)))
    noise = np.float32(rng.uniform(0.0, 0.03))
    image = np.abs(image + noise * rng.standard_normal(image.shape, dtype=np.float32) * (image > 0 if strip else 1))
    return percentile_range(image).normalise(image)
