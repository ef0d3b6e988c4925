"""Examples for the parcellation network: random heads in random contrasts, made on the fly from label maps.

Domain randomisation after Billot et al., "SynthSeg", Medical Image Analysis 2023: labels deformed by a random affine
map and a smooth displacement, left and right exchanged in half of them, a random brightness for each tissue, bias,
thick slices, noise and gamma; the skull is taken off in half of them. Labels are deformed at 1 mm, so that voxels of
2 mm hold shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from SITTranslateLib.segmentation.structures import CLASS_COUNT, CLASS_OF_LABEL, RIGHT_LABELS, SIDED_CLASSES
from SITTranslateLib.segmentation.tissues import normalised
from SITTranslateLib.simulation.labels import LEFT_RIGHT
from SITTranslateLib.simulation.random_contrast import random_table
from SITTranslateLib.simulation.scanner import bias_field
from SITTranslateLib.training.engine.random_heads import LabelledHead, averaged, deformed, smooth_noise, stripping_mask
from SITTranslateLib.training.recipes.segmentation.config import ParcellationConfig

#: Deformed label maps at hand: each is drawn from several times, every time in another contrast. A new one takes the
#: place of the oldest every ``REUSE`` steps.
FIRST, POOL, REUSE = 8, 48, 4
#: Largest distance of the brain's centre from the middle, mm along (k, j, i).
SHIFT_MM = (22.0, 26.0, 18.0)


@dataclass(frozen=True, eq=False)
class DeformedLabels:
    """Labels at 1 mm, and the share of each class at 2 mm in eighths ``(classes, K/2, J/2, I/2)`` uint8."""

    labels: NDArray[np.int16]
    shares: NDArray[np.uint8]
    right: NDArray[np.float32]


def with_shares(labels: NDArray[np.int16]) -> DeformedLabels:
    """Shares of the classes in voxels of 2 mm, and how much of the sided tissue there is on the right."""
    k, j, i = (n // 2 for n in labels.shape)
    classes = CLASS_OF_LABEL[labels].reshape(k, 2, j, 2, i, 2)
    right = RIGHT_LABELS[labels].reshape(k, 2, j, 2, i, 2).sum(axis=(1, 3, 5), dtype=np.float32)
    shares = np.zeros((CLASS_COUNT, k, j, i), np.uint8)
    flat = shares.reshape(CLASS_COUNT, -1)
    voxel = np.arange(k * j * i)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                flat[np.ascontiguousarray(classes[:, a, :, b, :, c]).ravel(), voxel] += 1
    sided = shares[list(SIDED_CLASSES)].sum(axis=0, dtype=np.float32)
    return DeformedLabels(labels, shares, right / np.maximum(sided, 1.0))


def example(
    pooled: DeformedLabels,
    rng: np.random.Generator,
    strip: float,
    physical: float,
    t1w: float = 0.0,
    texture: float = 0.0,
) -> tuple[Tensor, ...]:
    """Image ``(1, 1, K, J, I)`` at 2 mm, shares ``(1, classes, ...)``, and the share on the right ``(1, ...)``.

    Args:
        pooled: deformed labels.
        rng: of everything random.
        strip: probability that the skull is taken off.
        physical: probability that the contrast keeps to the signal equations.
        t1w: probability that those are the equations of T1w.
        texture: largest standard deviation of brightness that varies smoothly, over about 12 mm.
    """
    table, spread = random_table(rng, physical, "T1w" if rng.random() < t1w else None)
    jitter = rng.normal(0.0, rng.uniform(0.0, 0.05), len(table)).astype(np.float32)
    for label, other in LEFT_RIGHT.items():
        jitter[max(label, other)] = jitter[min(label, other)]
    table = np.where(table > 0.03, np.clip(table + jitter, 0.0, 1.0), table).astype(np.float32)
    image = table[pooled.labels]
    shares = pooled.shares.astype(np.float32) / 8.0
    if rng.random() < strip:
        mask = stripping_mask(pooled.labels, rng)
        image *= mask
        left = averaged(mask.astype(np.float32))
        shares *= left
        shares[0] += 1.0 - left
    image = averaged(image)
    if texture > 0:
        nodes = tuple(max(2, n // 6) for n in image.shape)
        image *= 1.0 + np.float32(rng.uniform(0.0, texture)) * smooth_noise(rng, 1, nodes, image.shape)[0]
    if spread > 0:
        image *= 1.0 + np.float32(spread) * rng.standard_normal(image.shape, dtype=np.float32)
    blur = [float(rng.uniform(0.0, 0.45))] * 3
    if rng.random() < 0.35:
        blur[int(rng.integers(3))] = float(rng.uniform(0.5, 1.2))
    image = ndimage.gaussian_filter(image, blur, mode="nearest", truncate=2.5)
    image *= bias_field(image.shape, float(rng.uniform(0.0, 0.35)), int(rng.integers(2**31)))
    noise = np.float32(rng.uniform(0.0, 0.05) if rng.random() < 0.8 else 0.0)
    image = normalised(np.abs(image + noise * rng.standard_normal(image.shape, dtype=np.float32)))
    image **= np.float32(np.exp(rng.normal(0.0, 0.25)))
    if rng.random() < 0.5:
        image = np.clip(image * np.float32(rng.uniform(0.7, 1.2)), 0.0, 1.0)
    mirror = 1 if rng.random() < 0.5 else 0
    right = pooled.right
    if mirror:
        image, shares, right = image[..., ::-1], shares[..., ::-1], 1.0 - right[..., ::-1]
    tensors = (np.ascontiguousarray(a, dtype=np.float32) for a in (image[None, None], shares[None], right[None]))
    return tuple(torch.from_numpy(a) for a in tensors)


def batches(heads: Sequence[LabelledHead], config: ParcellationConfig, start: int) -> Iterator[dict[str, Tensor]]:
    """Endless batches of one example from a step on; each depends on the seed and its step alone."""
    pool: dict[int, DeformedLabels] = {}
    step = start
    while True:
        newest = FIRST + step // REUSE
        oldest = max(0, newest - POOL)
        pool = {number: kept for number, kept in pool.items() if number >= oldest}
        rng = np.random.default_rng([config.seed, step])
        number = int(rng.integers(oldest, newest))
        if number not in pool:
            own = np.random.default_rng([config.seed, 1, number])
            pool[number] = with_shares(deformed(heads[int(own.integers(len(heads)))], own, config.shape, SHIFT_MM))
        image, truth, right = example(pool[number], rng, config.strip, config.physical, config.t1w, config.texture)
        yield {"image": image, "truth": truth, "right": right}
        step += 1
