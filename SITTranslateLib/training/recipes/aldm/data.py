"""Training batches of ALDM: blocks of any contrast for the codec, whole heads in several contrasts after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.training.engine.phantoms import Phantom, other_scanner
from SITTranslateLib.training.recipes.aldm.config import ALDMConfig

#: Voxels of the block that stage and batch share: side and corner.
Corner = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Batch:
    """Training data of a step.

    Attributes:
        source: a scan ``(1, 1, K, J, I)``; for the codec images to reconstruct ``(B, 1, k, j, i)``.
        contrast: index of the source's contrast.
        targets: the same head, clean, in other contrasts ``(B, 1, K, J, I)``; none for the codec.
        indices: contrasts of the targets.
        weight: of each voxel ``(1, 1, K, J, I)`` (of each block for the codec).
        corner: of the block that is decoded and compared.
        head: what the targets are of (number, stripped, mirrored): the same targets come again and again.
        shares: of the tissues in the source ``(1, classes, K, J, I)``, 255 for all; empty without a
            tissue mapping.
    """

    source: Tensor
    contrast: int
    targets: Tensor
    indices: tuple[int, ...]
    weight: Tensor
    corner: Corner
    head: tuple[int, bool, bool] = (0, False, False)
    shares: Tensor = field(default_factory=lambda: torch.empty(0))

    def to(self, device: torch.device) -> Batch:
        moved = {name: getattr(self, name).to(device) for name in ("source", "targets", "weight", "shares")}
        return Batch(**(vars(self) | moved))


#: Share of each tissue in a head's scan: number of the head, contrast, stripped or not.
Tissues = Callable[[int, str, bool], NDArray[np.uint8]]


def batch_of(heads: Sequence[Phantom], config: ALDMConfig, step: int, tissues: Tissues | None = None) -> Batch:
    """The batch of a step of the run, which depends on the config, its seed and the step alone.

    Args:
        tissues: tissue_shares in the heads' scans, for a network with tissue intensity mapping.
    """
    rng = np.random.default_rng([config.seed, step])
    name, _ = config.stage_at(step)
    stage = config.stages[name]
    if name == "autoencoder":
        images, weights = zip(*(_block(heads, config, stage.block, rng) for _ in range(stage.targets)), strict=True)
        source, weight = torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(weights))[:, None]
        return Batch(source, 0, source, (), weight, (0, 0, 0))
    return _head(heads, config, stage.targets, stage.block, rng, tissues)


def _whole_image(head: Phantom, contrast: str, *, clean: bool, strip: bool, flip: bool) -> NDArray[np.float32]:
    values = head.slab(contrast, 0, head.classes.shape[0], clean=clean, strip=strip)
    return np.ascontiguousarray(values[..., ::-1] if flip else values)


def _weight(head: Phantom, config: ALDMConfig, flip: bool) -> NDArray[np.float32]:
    weight = 1.0 + (config.schedule.brain_weight - 1.0) * head.mask.astype(np.float32)
    return np.ascontiguousarray(weight[..., ::-1] if flip else weight)


def _corner(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> Corner:
    k, j, i = (4 * int(rng.integers(max(0, n - side) // 4 + 1)) for n in shape)
    return k, j, i


def inside(volume: Tensor, corner: Corner, side: int) -> Tensor:
    """The block of that corner and side, cut at the volume's end."""
    k, j, i = (slice(c, c + side) for c in corner)
    return volume[..., k, j, i]


def _block(
    heads: Sequence[Phantom], config: ALDMConfig, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    head = heads[int(rng.integers(len(heads)))]
    contrast = str(rng.choice([name for name in config.network["contrasts"] if name in head.scans]))
    clean, strip, flip = rng.random() < 0.6, bool(rng.random() < config.schedule.strip), bool(rng.random() < 0.5)
    image = _whole_image(head, contrast, clean=clean, strip=strip, flip=flip)
    if not clean:
        image = other_scanner(image, contrast, rng)
    k, j, i = (slice(c, c + side) for c in _corner(image.shape, side, rng))
    return image[k, j, i], _weight(head, config, flip)[k, j, i]


def _head(
    heads: Sequence[Phantom],
    config: ALDMConfig,
    count: int,
    side: int,
    rng: np.random.Generator,
    tissues: Tissues | None,
) -> Batch:
    names = list(config.network["contrasts"])
    number = int(rng.integers(len(heads)))
    head = heads[number]
    strip, flip = bool(rng.random() < config.schedule.strip), bool(rng.random() < 0.5)
    there = [n for n, name in enumerate(names) if name in head.scans]
    source = there[int(rng.integers(len(there)))]
    others = [n for n in there if n != source]
    chosen = sorted(int(n) for n in rng.choice(others, size=min(count, len(others)), replace=False))
    image = other_scanner(_whole_image(head, names[source], clean=False, strip=strip, flip=flip), names[source], rng)
    targets = np.stack([_whole_image(head, names[n], clean=True, strip=strip, flip=flip) for n in chosen])
    shares = np.empty(0, np.uint8)
    if config.maps_tissues and tissues is not None:
        tissue_shares = tissues(number, names[source], strip)
        shares = np.array(tissue_shares[..., ::-1] if flip else tissue_shares)[None]
    return Batch(
        torch.from_numpy(image)[None, None],
        source,
        torch.from_numpy(targets)[:, None],
        tuple(chosen),
        torch.from_numpy(_weight(head, config, flip))[None, None],
        _corner(image.shape, side, rng),
        (number, strip, flip),
        torch.from_numpy(shares),
    )
