"""Blocks of deformed label maps in random contrasts, with the share of each tissue class in every voxel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.segmentation.tissues import CLASS_OF_LABEL, CLASSES, normalised
from SITTranslateLib.simulation import Subject, brain_mask
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.simulation.random_contrast import random_contrast
from SITTranslateLib.simulation.rendering import place
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.recipes.segmentation.config import StructureConfig
from SITTranslateLib.volume import Grid

#: Voxels (K, J, I) of 1 mm of a head.
SHAPE = (208, 232, 192)


@dataclass(frozen=True, eq=False)
class DeformedHead:
    """Labels at 1 mm ``(K, J, I)`` int16, and the brain of them."""

    labels: NDArray[np.int16]
    brain: NDArray[np.bool_]


def deformed_heads(subjects: Sequence[Subject], config: StructureConfig, cache: Path) -> list[DeformedHead]:
    """Heads drawn from the subjects, made once and kept in ``cache``."""
    what = json.dumps([config.maps, config.seed], sort_keys=True)
    folder = cache / f"labels-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    heads = []
    with steps_with_progress("heads", 0, config.heads) as advance:
        for index in range(config.heads):
            file = folder / f"{index:03d}.npy"
            subject = subjects[index % len(subjects)]
            grid = Grid.centred(subject.centre, SHAPE, 1.0)
            if not file.exists():
                rng = np.random.default_rng([config.seed, index])
                placed = place(subject, grid, rng, deform=True, lesions=False)
                part = file.with_suffix(".part.npy")
                np.save(part, placed.labels.array)
                part.replace(file)
            labels = np.load(file)
            heads.append(DeformedHead(labels, brain_mask(LabelMap(labels, grid.affine))))
            advance({})
    return heads


def shares(labels: NDArray[np.int16]) -> NDArray[np.float32]:
    """Share of each class in voxels of 2 mm, of labels of 1 mm: ``(classes, K/2, J/2, I/2)``."""
    classes = CLASS_OF_LABEL[labels]
    k, j, i = (n // 2 for n in labels.shape)
    eighths = classes[: 2 * k, : 2 * j, : 2 * i].reshape(k, 2, j, 2, i, 2)
    return np.stack([(eighths == c).sum(axis=(1, 3, 5), dtype=np.float32) / 8.0 for c in range(len(CLASSES))])


def averaged(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Voxels of 1 mm averaged to 2 mm."""
    k, j, i = (n // 2 for n in image.shape)
    return image[: 2 * k, : 2 * j, : 2 * i].reshape(k, 2, j, 2, i, 2).mean(axis=(1, 3, 5), dtype=np.float32)


def example(
    head: DeformedHead, rng: np.random.Generator, side: int | None, strip: float, physical: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One image in a random contrast ``(K, J, I)`` at 2 mm, normalised, and the share of each class in every voxel.

    Args:
        head: labels at 1 mm.
        rng: of everything random.
        side: of a block about a point of the brain in mm, or None for the whole head.
        strip: probability that the skull is taken off.
        physical: probability that the contrast is one of the known sequences'.
    """
    where = [slice(None)] * 3
    if side is not None:
        for axis, size in enumerate(head.labels.shape):
            start = int(rng.integers(0, max(1, size - side + 1)))
            where[axis] = slice(start, start + side)
    order = tuple(-1 if axis == 2 and rng.random() < 0.5 else 1 for axis in range(3))
    labels = np.ascontiguousarray(head.labels[tuple(where)][:: order[0], :: order[1], :: order[2]])
    mask = None
    if rng.random() < strip:
        mask = np.ascontiguousarray(head.brain[tuple(where)][:: order[0], :: order[1], :: order[2]])
        if rng.random() < 0.5:
            mask = mask | (CLASS_OF_LABEL[labels] == 1)
        labels = np.where(mask, labels, np.int16(0))
    image = normalised(averaged(random_contrast(labels, rng, mask, physical)))
    if rng.random() < 0.5:
        # A block is normalised by what it holds, a whole head by more: brightness must not be relied on.
        image = np.clip(image * np.float32(rng.uniform(0.7, 1.2)), 0.0, 1.0)
    return image, shares(labels)


def batches(heads: Sequence[DeformedHead], config: StructureConfig, start: int) -> Iterator[dict[str, Tensor]]:
    """Endless batches of one block from a step on; each depends on the seed and its step alone."""
    step = start
    while True:
        rng = np.random.default_rng([config.seed, 1, step])
        head = heads[int(rng.integers(len(heads)))]
        image, truth = example(head, rng, config.block_mm, config.strip, 0.75 if step >= config.settled else 0.5)
        yield {"image": torch.from_numpy(image)[None, None], "truth": torch.from_numpy(truth)[None]}
        step += 1
