"""Training batches of Plasticine, made from simulated heads on the fly; the same at a given step in every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.structure.network import TissueNetwork
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities
from SITTranslateLib.training.plasticine_config import PlasticineConfig, Stage
from SITTranslateLib.training.plasticine_heads import AgeingHead

Batch = dict[str, Tensor]


class Batches:
    """Heads as batches of one.

    Args:
        heads: of the run's pool.
        tissues: network that finds the tissues, where a stage asks for its maps.
    """

    def __init__(self, heads: Sequence[AgeingHead], config: PlasticineConfig, tissues: TissueNetwork | None) -> None:
        self.heads, self.config, self.tissues = heads, config, tissues
        self.source, self.target = config.network["source"], config.network["target"]

    def at(self, step: int, stage: Stage) -> Batch:
        """The batch of a step of the whole run, for its stage."""
        rng = np.random.default_rng([self.config.seed, step])
        head = self.heads[int(rng.integers(len(self.heads)))]
        strip, flip = bool(rng.random() < stage.strip), bool(rng.random() < 0.5)
        predict = stage.maps == "predicted" or (stage.maps == "mixed" and bool(rng.random() < 0.5))
        if stage.train == "deformation":
            other = head if stage.paired else self.heads[int(rng.integers(len(self.heads)))]
            batch = self._of_a_pair(head, other, stage, strip, predict, rng)
        else:
            years = float(rng.uniform(-stage.years[1], stage.years[1])) if rng.random() < stage.aged else 0.0
            batch = self._of_a_head(head, stage, strip, predict, years)
        return {name: _flipped(value, name) for name, value in batch.items()} if flip else batch

    def _of_a_head(self, head: AgeingHead, stage: Stage, strip: bool, predict: bool, years: float) -> Batch:
        contrast = self.source if stage.train == "regression" else self.target
        scan = _tensor(head.image(contrast, strip=strip))
        clean = _tensor(head.image(self.target, clean=True, strip=strip))
        mask = _tensor(head.mask)
        shares = self._shares(head, scan, strip, predict) if stage.train == "renderer" else None
        if years != 0.0:
            sampling = _field(head.sampling(years).array)
            scan, clean, mask = (tensors.warp(image, sampling, head.grid.axes) for image in (scan, clean, mask))
            shares = None if shares is None else tensors.warp(shares, sampling, head.grid.axes)
        batch = {"scan": scan, "clean": clean, "mask": mask}
        return batch if shares is None else batch | {"shares": shares}

    def _of_a_pair(
        self, head: AgeingHead, other: AgeingHead, stage: Stage, strip: bool, predict: bool, rng: np.random.Generator
    ) -> Batch:
        years = float(rng.choice([-1, 1]) * rng.uniform(*stage.years))
        source = _tensor(head.image(self.source, strip=strip))
        sampling = _field(other.sampling(years).array)
        shares = _tensor(head.tissue_shares(strip=strip))
        target = _tensor(other.image(self.target, strip=strip))
        later = shares if other is head else _tensor(other.tissue_shares(strip=strip))
        return {
            "years": torch.tensor([years]),
            "source": source,
            "shares": shares,
            "seen_shares": self._shares(head, source, strip, predict),
            "target": tensors.warp(target, sampling, head.grid.axes),
            "target_shares": tensors.warp(later, sampling, head.grid.axes),
            "sampling": sampling,
            "mask": _tensor(head.mask),
        }

    def _shares(self, head: AgeingHead, scan: Tensor, strip: bool, predict: bool) -> Tensor:
        if not predict:
            return _tensor(head.tissue_shares(strip=strip))
        assert self.tissues is not None
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return tissue_probabilities(self.tissues, scan)


def _tensor(array: NDArray) -> Tensor:
    """``(1, C, K, J, I)`` of an image or a stack of images."""
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return values[None, None] if values.ndim == 3 else values[None]


def _field(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0)))[None]


def _flipped(value: Tensor, name: str) -> Tensor:
    """Left and right exchanged (the last axis runs along +R)."""
    if value.ndim != 5:
        return value
    mirrored = value.flip(-1)
    return mirrored * torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1, 1) if name == "sampling" else mirrored
