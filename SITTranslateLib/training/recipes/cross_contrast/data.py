"""Training batches between two contrasts: slice stacks or blocks of simulated heads, the same at a given step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.training.engine.phantoms import CLASSES, Phantom, other_scanner
from SITTranslateLib.training.recipes.cross_contrast.config import CrossContrastConfig

#: Slices nearer to the ends of the grid than this hold little of a head.
MARGIN = 8


def batches(heads: Sequence[Phantom], config: CrossContrastConfig, start: int = 0) -> Iterator[dict[str, Tensor]]:
    """Endless batches from a step on.

    ``source`` and ``target`` are scans ``(B, slices, J, I)`` (blocks ``(B, 1, k, j, i)`` in 3D) of the same heads, or
    of others if the config is not paired; ``source_clean`` and ``target_clean`` (for the ``voxel`` term) are what the
    heads of the *source* look like without a scanner; ``classes`` and ``mask`` are of the source's middle slice;
    ``paired`` is 1 for the examples whose target is the same head. For the ``usual`` term, ``source_by_class`` and
    ``target_by_class`` are the classes of the target's and of the source's head, each as bright as the other head's are
    on average.
    """
    step, halves = start, _halves(heads, config)
    while True:
        rng = np.random.default_rng([config.seed, step])
        examples = [_example(*halves, config, rng) for _ in range(config.schedule.batch)]
        joined = {name: torch.from_numpy(np.stack([e[name] for e in examples])) for name in examples[0]}
        if config.network.get("dims", 2.5) != 3:
            joined = {
                n: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for n, t in joined.items()
            }
        yield joined
        step += 1


def _halves(heads: Sequence[Phantom], config: CrossContrastConfig) -> tuple[Sequence[Phantom], Sequence[Phantom]]:
    """Heads that sources and, without pairs, targets are drawn from."""
    ours, theirs = ([head for head in heads if c in head.scans] for c in (config.source, config.target))
    if config.paired or ours != theirs:
        return ours, theirs
    # Without pairs, every second phantom was only ever scanned in one contrast.
    return ours[::2], ours[1::2]


def _example(
    ours: Sequence[Phantom], theirs: Sequence[Phantom], config: CrossContrastConfig, rng: np.random.Generator
) -> dict[str, NDArray]:
    schedule = config.schedule
    paired = config.paired or rng.random() < schedule.paired_share
    head = ours[int(rng.integers(len(ours)))]
    other = head if paired else theirs[int(rng.integers(len(theirs)))]
    strip, flip = bool(rng.random() < schedule.strip), bool(rng.random() < 0.5)
    window, other_window = _windows(head, config, rng, paired)

    def cut(from_head: Phantom, contrast: str, where: tuple[slice, ...], clean: bool = False) -> NDArray[np.float32]:
        first, count = where[0].start, where[0].stop - where[0].start
        values = from_head.slab(contrast, first, count, clean=clean, strip=strip)[(slice(None), *where[1:])]
        return np.ascontiguousarray(values[..., ::-1] if flip else values)

    # Classes and mask are those of the middle slice, or of the whole block.
    depth: slice | int = window[0]
    if not _is_3d(config):
        depth = min(max((window[0].start + window[0].stop) // 2, 0), head.classes.shape[0] - 1)
    classes, mask = head.classes[(depth, *window[1:])], head.mask[(depth, *window[1:])]
    if strip:
        classes = np.where(mask > 0, classes, 0)
    if flip:
        classes, mask = classes[..., ::-1], mask[..., ::-1]
    example: dict[str, NDArray] = {
        "source": other_scanner(cut(head, config.source, window), config.source, rng),
        "target": other_scanner(cut(other, config.target, other_window), config.target, rng),
    }
    if config.terms.voxel:
        for name, contrast in (("source_clean", config.source), ("target_clean", config.target)):
            example[name] = cut(head, contrast, window, clean=True)
    if config.terms.usual:
        for name, contrast, drawn, like, where in (
            ("source", config.source, other, head, other_window),
            ("target", config.target, head, other, window),
        ):
            layers = drawn.classes_of(where[0].start, where[0].stop - where[0].start, strip=strip)
            by_class = class_means(like, contrast, strip)[layers[(slice(None), *where[1:])]]
            example[f"{name}_by_class"] = np.ascontiguousarray(by_class[..., ::-1] if flip else by_class)
    if _is_3d(config):
        example = {name: values[None] for name, values in example.items()}
    example["classes"] = np.ascontiguousarray(classes).astype(np.int64)
    example["mask"] = np.ascontiguousarray(mask[None]).astype(np.float32)
    example["paired"] = np.array(paired, np.float32)
    return example


@cache
def class_means(head: Phantom, contrast: str, strip: bool) -> NDArray[np.float32]:
    """Mean brightness of each class in a head's scan, in network units; the brain's alone if ``strip``."""
    thin, depth = (slice(None, None, 3),) * 3, head.classes.shape[0]
    values, classes = head.slab(contrast, 0, depth, strip=strip)[thin], head.classes_of(0, depth, strip=strip)[thin]
    count = np.bincount(classes.ravel(), minlength=len(CLASSES))
    total = np.bincount(classes.ravel(), weights=values.ravel(), minlength=len(CLASSES))
    return np.asarray(total / np.maximum(count, 1), dtype=np.float32)


def _is_3d(config: CrossContrastConfig) -> bool:
    return config.network.get("dims", 2.5) == 3


def _windows(
    head: Phantom, config: CrossContrastConfig, rng: np.random.Generator, paired: bool
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Windows of source and target in their heads."""
    shape = head.classes.shape
    if _is_3d(config):
        size = tuple(min(config.schedule.block, n) for n in shape)
        corner = [int(rng.integers(n - s + 1)) for n, s in zip(shape, size, strict=True)]
        block = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        return block, block
    width = int(config.network.get("slices", 3)) if config.network.get("dims", 2.5) == 2.5 else 1
    margin = min(MARGIN, (shape[0] - 1) // 2)
    place = int(rng.integers(margin, shape[0] - margin))
    away, near = 0, config.schedule.matched_slices
    if not paired:
        away = int(rng.integers(-near, near + 1)) if near >= 0 else int(rng.integers(margin, shape[0] - margin)) - place
    size = tuple(min(config.schedule.crop or n, n) for n in shape[1:])
    corner = [int(rng.integers(n - s + 1)) if s < n else 0 for n, s in zip(shape[1:], size, strict=True)]
    plane = [slice(c, c + s) for c, s in zip(corner, size, strict=True)]
    first = place - width // 2
    return (slice(first, first + width), *plane), (slice(first + away, first + away + width), *plane)
