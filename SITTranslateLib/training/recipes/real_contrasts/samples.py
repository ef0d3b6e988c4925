"""Training samples of real visits: three slices of one contrast, the middle slice of all, strongly augmented.

Every augmentation of shape acts on source and targets alike; every one of appearance acts on the source alone, so that
the network learns to read scanners that no patient at hand was scanned on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from SITTranslateLib.systems.regression.multi_contrast import CLIP, middle_values, trimmed_statistics
from SITTranslateLib.training.engine.visit_preparation import PreparedVisit
from SITTranslateLib.training.engine.visits import CONTRASTS
from SITTranslateLib.training.recipes.real_contrasts.augmentation import Augmentation
from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.translate.normalisation import percentile_range

#: Weights of the loss: outside the brain (whole heads only), in lesions, in other bright spots of FLAIR.
HEAD_WEIGHT, LESION_WEIGHT, BRIGHT_WEIGHT = 0.15, 4.0, 3.0
#: How much brighter drawn lesions are, standard deviations of the brain: the same lesion in all contrasts.
LESION_SIGNAL = {"T1w": (-1.6, -0.1), "T2w": (0.6, 2.5), "FLAIR": (1.0, 3.5)}
#: Standardised FLAIR above which a spot deep in the brain counts as bright, and how deep, mm.
BRIGHT, DEEP_MM = 2.3, 5
#: Least brain in a slice that is drawn, voxels.
LEAST_BRAIN = 900
#: Shares: samples whose contrast is not named; slices with lesions; whole heads that are stripped; thick slices.
UNNAMED, WITH_LESIONS, STRIPPED, THICK = 0.25, 0.35, 0.35, 0.35
#: Share of the samples of the second part of a run with drawn lesions.
DRAWN_LESIONS = 0.5


@dataclass(frozen=True, eq=False)
class TrainingVisit:
    """A visit in network units (air 0, median of the head 0.5), float16, with what standardises it.

    Attributes:
        scans: contrast to ``(K, J, I)``.
        middles: contrast to values in the middle of the brain, a few thousand.
        brain: ``(K, J, I)``.
        weights: of the loss, ``(K, J, I)``, at least 0.
        slices, lesion_slices: for each axis, the slices to draw.
        stripped: whether there is brain alone.
    """

    name: str
    scans: dict[str, NDArray[np.float16]]
    middles: dict[str, NDArray[np.float32]]
    brain: NDArray[np.uint8]
    weights: NDArray[np.float16]
    slices: tuple[NDArray[np.int64], ...]
    lesion_slices: tuple[NDArray[np.int64], ...]
    stripped: bool


@dataclass(frozen=True, eq=False)
class Batch:
    """``stack`` (B, 3, J, I), ``code`` (B, contrasts), ``targets`` and ``weights`` (B, contrasts, J, I)."""

    stack: Tensor
    code: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: part.to(device) for name, part in vars(self).items()})


def training_visit(visit: PreparedVisit, stripped: bool) -> TrainingVisit:
    """A prepared visit, ready for sampling."""
    scans, middles, rng = {}, {}, np.random.default_rng(0)
    for contrast, array in visit.scans.items():
        scaled = percentile_range(array).normalise(array)
        if stripped:
            scaled = np.where(visit.brain, scaled, 0.0)
        scans[contrast] = np.clip(scaled, 0.0, 6.0).astype(np.float16)
        values = middle_values(scans[contrast].astype(np.float32))
        middles[contrast] = rng.choice(values, min(4000, values.size), replace=False)
    weights = np.where(visit.brain, 1.0, 0.0 if stripped else HEAD_WEIGHT * visit.covered).astype(np.float32)
    lesions = ndimage.binary_dilation(visit.lesions)
    if "FLAIR" in scans and not visit.lesions.any():
        mean, spread = trimmed_statistics(middles["FLAIR"])
        deep = ndimage.binary_erosion(visit.brain, iterations=DEEP_MM)
        spots = deep & ((scans["FLAIR"].astype(np.float32) - mean) / spread > BRIGHT)
        weights[spots] = BRIGHT_WEIGHT
    weights[lesions & visit.brain] = LESION_WEIGHT
    others = ((1, 2), (0, 2), (0, 1))
    profiles = [visit.brain.sum(axis=o) for o in others]
    loads = [(weights > 2.0).sum(axis=o) for o in others]
    slices = tuple(np.flatnonzero(p > LEAST_BRAIN) for p in profiles)
    with_lesions = tuple(np.flatnonzero((n > 25) & (p > LEAST_BRAIN)) for n, p in zip(loads, profiles, strict=True))
    return TrainingVisit(
        visit.name,
        scans,
        middles,
        visit.brain.astype(np.uint8),
        weights.astype(np.float16),
        slices,
        with_lesions,
        stripped,
    )


class Sampler:
    """Draws batches; the same seed and step give the same batch.

    Args:
        visits: to draw from.
        chances: of each visit, relative.
        size: edge of the crops, voxels.
        augmentation: how much they are varied.
        lesions: share of samples with drawn lesions, the same in all contrasts.
    """

    def __init__(
        self,
        visits: Sequence[TrainingVisit],
        chances: Sequence[float],
        size: int,
        augmentation: Augmentation,
        lesions: float = 0.0,
    ) -> None:
        self.visits, self.size, self.augmentation, self.lesions = list(visits), size, augmentation, lesions
        self.chances = np.asarray(chances, dtype=np.float64) / np.sum(chances)

    def batch(self, size: int, seed: tuple[int, int]) -> Batch:
        rng = np.random.default_rng(seed)
        drawn = [self._one(rng) for _ in range(size)]
        return Batch(*(torch.stack(parts) for parts in zip(*(vars(one).values() for one in drawn), strict=True)))

    def _one(self, rng: np.random.Generator) -> Batch:
        visit = self.visits[rng.choice(len(self.visits), p=self.chances)]
        contrasts = list(visit.scans)
        source = contrasts[rng.integers(len(contrasts))]
        axis = int(rng.choice(3, p=(0.5, 0.25, 0.25)))
        pool = visit.lesion_slices[axis]
        if not (pool.size and rng.random() < WITH_LESIONS):
            pool = visit.slices[axis]
        middle = int(rng.choice(pool))
        strip = not visit.stripped and rng.random() < STRIPPED

        def cut(array: NDArray[np.generic], index: int) -> NDArray[np.float32]:
            return np.asarray(array.take(np.clip(index, 0, array.shape[axis] - 1), axis=axis), dtype=np.float32)

        stack = self._stack(rng, lambda index: cut(visit.scans[source], index), middle)
        brain = cut(visit.brain, middle)
        if strip:
            stack = np.stack([s * cut(visit.brain, middle + n) for n, s in zip((-1, 0, 1), stack, strict=True)])
        targets = np.zeros((len(CONTRASTS), *brain.shape), np.float32)
        weights = np.zeros_like(targets)
        weight = cut(visit.weights, middle) * (brain if strip else 1.0)
        spots = None
        if self.lesions and rng.random() < self.lesions:
            first = "T1w" if "T1w" in visit.scans else source
            level, spread = trimmed_statistics(visit.middles[first])
            spots = lesion_shapes(rng, brain * (cut(visit.scans[first], middle) > level - spread))
            weight = np.where(spots > 0.5, LESION_WEIGHT, weight)
        for n, contrast in enumerate(CONTRASTS):
            if contrast in visit.scans:
                mean, spread = trimmed_statistics(visit.middles[contrast])
                standard = (cut(visit.scans[contrast], middle) - mean) / spread
                if spots is not None:
                    brighter = float(rng.uniform(*LESION_SIGNAL[contrast]))
                    standard = standard + brighter * spots
                    if contrast == source:
                        nearby = np.array([rng.uniform(0.5, 1.0), 1.0, rng.uniform(0.5, 1.0)], np.float32)
                        stack = stack + brighter * spread * nearby[:, None, None] * spots
                targets[n] = np.clip(standard, *CLIP)
                # What is read already is worth little to learn.
                weights[n] = weight * (0.2 if contrast == source else 1.0)
        planes = np.concatenate((stack, targets, weights))
        warped = self._warped(rng, torch.from_numpy(planes), brain)
        n = len(CONTRASTS)
        image = self._appearance(rng, warped[:3], visit.middles[source])
        code = torch.zeros(n)
        if rng.random() >= UNNAMED:
            code[CONTRASTS.index(source)] = 1.0
        return Batch(image, code, warped[3 : 3 + n], warped[3 + n :])

    def _stack(self, rng: np.random.Generator, cut, middle: int) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
        """Three slices; sometimes of a scan with thick slices, along the stack or within it."""
        thick = int(rng.integers(2, 6)) if rng.random() < THICK else 1
        if thick == 1 or rng.random() < 0.5:
            stack = np.stack([cut(middle + n) for n in (-1, 0, 1)])
            if thick > 1:
                stack = ndimage.uniform_filter1d(stack, thick, axis=int(rng.integers(1, 3)))
            return stack
        reach = range(-1 - thick // 2, 2 + thick // 2)
        slices = {n: cut(middle + n) for n in reach}
        half = thick // 2
        return np.stack([np.mean([slices[n + d] for d in range(-half, half + 1)], axis=0) for n in (-1, 0, 1)])

    def _warped(self, rng: np.random.Generator, planes: Tensor, brain: NDArray[np.float32]) -> Tensor:
        """All planes through one random affine with a local magnification, on a crop about a point of the brain."""
        a, size = self.augmentation, self.size
        rows, columns = brain.shape
        inside = np.argwhere(brain > 0)
        centre = inside[rng.integers(len(inside))] * 0.5 + inside.mean(axis=0) * 0.5
        angle = np.deg2rad(rng.uniform(-a.turn_deg, a.turn_deg))
        scales = np.exp(rng.uniform(-1, 1) * np.log(a.scale) + rng.uniform(-0.08, 0.08, 2))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1.0, rng.uniform(-a.shear, a.shear)], [0.0, 1.0]])
        mirror = np.diag([-1.0 if rng.random() < 0.2 else 1.0, -1.0 if rng.random() < 0.5 else 1.0])
        matrix = turn @ shear @ np.diag(scales) @ mirror
        line = np.arange(size) - (size - 1) / 2.0
        grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
        if rng.random() < 0.5:
            # A bump of magnification near the middle: large ventricles, large lesions.
            spot, width = rng.uniform(-25, 25, 2), rng.uniform(12, 30)
            offset = grid - spot
            share = rng.uniform(-0.5, 1.0) * a.magnification
            grid = grid - share * offset * np.exp(-(offset**2).sum(-1, keepdims=True) / (2 * width**2))
        places = grid @ matrix.T + centre
        normal = np.stack((places[..., 1] * 2 / (columns - 1) - 1, places[..., 0] * 2 / (rows - 1) - 1), axis=-1)
        where = torch.from_numpy(normal.astype(np.float32))[None]
        return torch.nn.functional.grid_sample(planes[None], where, align_corners=True, padding_mode="border")[0]

    def _appearance(self, rng: np.random.Generator, stack: Tensor, middle: NDArray[np.float32]) -> Tensor:
        """Network units to standardised ones by way of another scanner."""
        a = self.augmentation
        mean, _ = trimmed_statistics(middle)
        image, values = stack.clamp(min=0.0) / mean, np.maximum(middle, 0.0) / np.float32(mean)
        if rng.random() < 0.8:
            exponent = float(np.exp(rng.uniform(-1, 1) * np.log(a.gamma)))
            image, values = image**exponent, values ** np.float32(exponent)
        if rng.random() < 0.7:
            image = image * torch.exp(_smooth_field(rng, stack.shape[-1]) * float(rng.uniform(0, a.bias)))
        if rng.random() < 0.3 and a.blur > 0.3:
            image = _blurred(image, float(rng.uniform(0.3, a.blur)))
        level, spread = trimmed_statistics(values.astype(np.float32))
        air = (stack < 0.02)[..., :, :]
        standard = (image - level) / spread
        if rng.random() < 0.5:
            noise = torch.from_numpy(rng.standard_normal(tuple(stack.shape)).astype(np.float32))
            standard = torch.where(air, standard, standard + noise * float(rng.uniform(0, a.noise)))
        standard = standard * float(np.exp(rng.uniform(-a.gain, a.gain))) + float(rng.uniform(-a.offset, a.offset))
        return standard.clamp(*CLIP)


def batches(
    visits: Sequence[TrainingVisit], chances: Sequence[float], config: RealContrastsConfig, start: int
) -> Iterator[Batch]:
    """Endless batches from a step on; lesions are drawn into those after the config's ``steps``."""
    plain, lesions = (
        Sampler(visits, chances, config.size, config.augmentation, share) for share in (0.0, DRAWN_LESIONS)
    )
    for step in count(start):
        yield (plain if step < config.steps else lesions).batch(config.batch, (config.seed, step))


def lesion_shapes(rng: np.random.Generator, tissue: NDArray[np.float32]) -> NDArray[np.float32]:
    """Soft spots (0 to 1) like lesions in a slice ``(J, I)``: some ellipses inside the tissue, 1 to 8 mm in radius."""
    spots = np.zeros_like(tissue)
    places = np.argwhere(tissue > 0)
    if len(places) == 0:
        return spots
    rows, columns = np.indices(tissue.shape, dtype=np.float32)
    for _ in range(int(rng.integers(1, 7))):
        row, column = places[rng.integers(len(places))]
        angle, radius = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(1.2), np.log(8.0))))
        along = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
        across = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
        distance = np.sqrt(along**2 + (across * rng.uniform(1.0, 2.0)) ** 2) / radius
        spots = np.maximum(spots, 1.0 / (1.0 + np.exp(np.clip((distance - 1.0) * 2.0 * radius, -30, 30))))
    return np.asarray(spots * tissue, dtype=np.float32)


def _smooth_field(rng: np.random.Generator, size: int) -> Tensor:
    """A field ``(1, size, size)`` between -1 and 1 that varies over a head's width."""
    small = torch.from_numpy(rng.uniform(-1, 1, (1, 1, 4, 4)).astype(np.float32))
    return torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic", align_corners=True)[0].clamp(-1, 1)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    line = torch.arange(-2, 3, dtype=torch.float32)
    kernel = torch.exp(-(line**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = torch.nn.functional.pad(image[:, None], (2, 2, 2, 2), mode="replicate")
    across = torch.nn.functional.conv2d(padded, kernel[None, None, None, :])
    return torch.nn.functional.conv2d(across, kernel[None, None, :, None])[:, 0]
