"""Training batches of Plasticine, made from simulated heads on the fly; the same at a given step in every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.tissues import BRAIN
from SITTranslateLib.systems.plasticine.structure_map import structure_map, tissue_probabilities
from SITTranslateLib.systems.sit.layer import holds_data
from SITTranslateLib.training.recipes.plasticine.config import PlasticineConfig, Stage
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingPhantom
from SITTranslateLib.translate.normalisation import in_own_units

Batch = dict[str, Tensor]
#: The brain's tissues, which the deformation is judged by.
FIRST, LAST = BRAIN[0], BRAIN[-1]


class Batches:
    """Heads as batches of one.

    Args:
        heads: of the run's pool.
        tissues: network that finds the tissues, where a stage asks for its maps.
    """

    def __init__(self, heads: Sequence[AgeingPhantom], config: PlasticineConfig, tissues: TissueNetwork | None) -> None:
        self.heads, self.config, self.tissues = heads, config, tissues
        self.source, self.target = config.network["source"], config.network["target"]
        self._maps: dict[tuple[int, str, bool, bool], NDArray[np.uint8]] = {}
        self._weights: dict[tuple[int, bool], Tensor] = {}

    def at(self, step: int, stage: Stage) -> Batch:
        """The batch of a step of the whole run, for its stage."""
        rng = np.random.default_rng([self.config.seed, step])
        number = int(rng.integers(len(self.heads)))
        strip, flip = bool(rng.random() < stage.strip), bool(rng.random() < 0.5)
        predict = stage.maps == "predicted" or (stage.maps == "mixed" and bool(rng.random() < 0.5))
        if stage.train == "deformation":
            other = number if stage.paired else int(rng.integers(len(self.heads)))
            batch = self._of_a_pair(number, other, stage, strip, predict, rng)
        else:
            years = float(rng.uniform(-stage.years[1], stage.years[1])) if rng.random() < stage.aged else 0.0
            batch = self._of_a_head(number, stage, strip, predict, years, rng)
        return {name: _flipped(value, name) for name, value in batch.items()} if flip else batch

    def _of_a_head(
        self, number: int, stage: Stage, strip: bool, predict: bool, years: float, rng: np.random.Generator
    ) -> Batch:
        head = self.heads[number]
        if stage.train == "regression":
            seen = _tensor(head.image(self.source, strip=strip), torch.float16)
        else:
            seen = self.structure(number, self.target, strip, predict)
        images = {
            "seen": seen,
            "clean": _tensor(head.image(self.target, clean=True, strip=strip)),
            "mask": _tensor(head.mask, torch.uint8),
        }
        block = _block(head.mask, stage.block, rng)
        unit = {name: 255.0 if name == "seen" and seen.dtype == torch.uint8 else 1.0 for name in images}
        if years == 0.0:
            return {name: image[:, :, *block].float() / unit[name] for name, image in images.items()}
        # As in use: the map is made where the scan lies, and moved.
        steps = head.sampling(years).array[block] @ tensors.index_steps(head.grid.axes, torch.zeros(())).numpy().T
        places = tensors.identity_indices(head.grid.shape, torch.device("cpu"))[block] + torch.from_numpy(steps)
        return {name: tensors.sample(image.float(), places[None]) / unit[name] for name, image in images.items()}

    def _of_a_pair(
        self, number: int, other: int, stage: Stage, strip: bool, predict: bool, rng: np.random.Generator
    ) -> Batch:
        head, second = self.heads[number], self.heads[other]
        years = float(rng.choice([-1, 1]) * rng.uniform(*stage.years))
        sampling = _field(second.sampling(years).array)
        later = _tensor(second.tissue_shares(strip=strip)[FIRST : LAST + 1])
        batch = {
            "years": torch.tensor([years]),
            "source": _tensor(head.image(self.source, strip=strip)),
            "structure": self.structure(number, self.source, strip, predict) / 255.0,
            "holds_data": self._holds_data(number, strip),
            "shares": _tensor(head.tissue_shares(strip=strip)[FIRST : LAST + 1]),
            "target_shares": tensors.warp(later, sampling, head.grid.axes),
            "sampling": sampling,
            "mask": _tensor(head.mask),
        }
        if rng.random() < stage.together or stage.terms.information:
            target = _tensor(second.image(self.target, strip=strip))
            batch["target"] = tensors.warp(target, sampling, head.grid.axes)
            structure = self.structure(other, self.target, strip, predict) / 255.0
            batch["target_structure"] = tensors.warp(structure, sampling, head.grid.axes)
        return batch

    def _holds_data(self, number: int, strip: bool) -> Tensor:
        """Mask where the source may move, at half resolution."""
        if (number, strip) not in self._weights:
            scan = _tensor(self.heads[number].image(self.source, strip=strip))
            self._weights[number, strip] = nn.functional.avg_pool3d(holds_data(scan), 2)
        return self._weights[number, strip]

    def structure(self, number: int, contrast: str, strip: bool, predict: bool) -> Tensor:
        """Structure map of a head's scan ``(1, channels, K, J, I)``, 0 to 255, made once and kept."""
        key = number, contrast, strip, predict
        if key not in self._maps:
            head = self.heads[number]
            image = head.image(contrast, strip=strip)
            scan, shares = _tensor(image), _tensor(head.tissue_shares(strip=strip))
            if predict:
                assert self.tissues is not None
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                    # A CT is known for one by its HU.
                    shares = tissue_probabilities(self.tissues, _tensor(in_own_units(image, contrast)))
            self._maps[key] = (255.0 * structure_map(shares, scan)[0]).round().to(torch.uint8).numpy()
        return torch.from_numpy(self._maps[key])[None]


def _block(mask: NDArray[np.uint8], size: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """A part of the grid about a random place in the brain; all of it without a size."""
    if not size:
        return slice(None), slice(None), slice(None)
    where = np.flatnonzero(mask)
    middle = np.unravel_index(where[int(rng.integers(len(where)))], mask.shape)
    starts = [2 * (int(np.clip(m - n // 2, 0, w - n)) // 2) for m, n, w in zip(middle, size, mask.shape, strict=True)]
    k, j, i = (slice(a, a + n) for a, n in zip(starts, size, strict=True))
    return k, j, i


def _tensor(array: NDArray, dtype: torch.dtype = torch.float32) -> Tensor:
    """``(1, C, K, J, I)`` of an image or a stack of images."""
    values = torch.from_numpy(np.ascontiguousarray(array)).to(dtype)
    return values[None, None] if values.ndim == 3 else values[None]


def _field(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0)))[None]


def _flipped(value: Tensor, name: str) -> Tensor:
    """Left and right exchanged (the last axis runs along +R)."""
    if value.ndim != 5:
        return value
    mirrored = value.flip(-1)
    return mirrored * torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1, 1) if name == "sampling" else mirrored
