"""ALDM's tissue intensity mapping from phantoms: curves by least squares, contrasts by linear discriminants.

The discriminants are our own: scikit-learn's take the priors of the classes and shrink towards another covariance, so
that the buffers of shipped packages would not come out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.segmentation.maps import WEIGHTS, tissue_network
from SITTranslateLib.systems.aldm.tissue_mapping import (
    KNOTS,
    LOOKS,
    Statistics,
    TissueIntensityMapping,
    features_of,
    knots_of,
    looks_of,
    statistics,
)
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities
from SITTranslateLib.training.engine.phantoms import Phantom, other_scanner
from SITTranslateLib.training.engine.progress import steps_with_progress

#: Voxels that are drawn of each scan.
DRAWN = 8_000
#: Scanners that each scan is simulated with: its own, and others.
VARIANTS = 2
#: Squared values that least squares holds small, in voxels; looks count :data:`SHY` times, since heads are few.
HELD, SHY = 10.0, 0.05
#: How much more a voxel of the brain counts.
BRAIN_WEIGHT = 3.0
#: Share of the features' own variance that is added to it.
SHRINKAGE = 1e-3


class FoundTissues:
    """Tissues that the library's network finds in the heads' scans; found once, kept beside the heads.

    Args:
        heads: as :func:`SITTranslateLib.training.recipes.aldm.phantoms.heads_of` gives them.
        folder: where they are kept; None keeps them in memory.
    """

    def __init__(self, heads: Sequence[Phantom], folder: Path | None = None) -> None:
        self.heads, self.folder = heads, folder
        self._kept: dict[tuple[int, str, bool], NDArray[np.uint8]] = {}
        self._network = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:8]

    def shares(self, number: int, contrast: str, strip: bool) -> NDArray[np.uint8]:
        """Share of each tissue ``(classes, K, J, I)``, 255 for all."""
        key = (number, contrast, strip)
        if key not in self._kept:
            self._kept[key] = self._stored(*key)
        return self._kept[key]

    def _stored(self, number: int, contrast: str, strip: bool) -> NDArray[np.uint8]:
        if self.folder is None:
            return self._found(number, contrast, strip)
        name = f"{number:03d}-{contrast}-{'brain' if strip else 'head'}.npy"
        file = self.folder / f"tissues-{self._network}" / name
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part.npy")
            np.save(part, self._found(number, contrast, strip))
            part.replace(file)
        stored: NDArray[np.uint8] = np.load(file, mmap_mode="r")
        return stored

    @torch.no_grad()
    def _found(self, number: int, contrast: str, strip: bool) -> NDArray[np.uint8]:
        head = self.heads[number]
        scan = head.slab(contrast, 0, head.classes.shape[0], strip=strip)
        shares = tissue_probabilities(tissue_network(), torch.from_numpy(scan)[None, None])[0]
        return np.asarray((255.0 * shares).round().to(torch.uint8).numpy())


def fit_tissue_mapping(
    mapping: TissueIntensityMapping,
    heads: Sequence[Phantom],
    contrasts: Sequence[str],
    tissues: FoundTissues,
    seed: int = 0,
) -> None:
    """Curves and recognition from all heads, with and without their skulls, each as some scanners would see it."""
    mapping.structure.load_state_dict(tissue_network().state_dict())
    samples = _samples(heads, contrasts, tissues, seed)
    for source in range(len(contrasts)):
        of_source = [scan for scan in samples if scan.contrast == source]
        looks = torch.cat([looks_of(scan.statistics) for scan in of_source])
        mapping.usual[source], mapping.varies[source] = looks.mean(dim=0), looks.std(dim=0) + 1e-3
        _fit_curves(mapping, source, len(contrasts), of_source)
    _fit_recognition(mapping, samples)


@dataclass(frozen=True, eq=False)
class SampledScan:
    """Some voxels of a scan.

    Attributes:
        contrast: of the scan.
        statistics: of the whole scan.
        bright, shares: of the voxels ``(N,)``, ``(classes, N)``.
        truth: the voxels in every contrast ``(N, contrasts)``; NaN in one that was not acquired.
        weight: what each counts ``(N,)``.
    """

    contrast: int
    statistics: Statistics
    bright: NDArray[np.float32]
    shares: NDArray[np.float32]
    truth: NDArray[np.float32]
    weight: NDArray[np.float32]


def _samples(heads: Sequence[Phantom], contrasts: Sequence[str], tissues: FoundTissues, seed: int) -> list[SampledScan]:
    rng = np.random.default_rng(seed)
    found = []
    with steps_with_progress("tissue curves", 0, len(heads)) as advance:
        for number, head in enumerate(heads):
            slices = head.classes.shape[0]
            for strip in (False, True):
                where, weight = _drawn(head, strip, rng)
                truth = np.full((len(where), len(contrasts)), np.nan, np.float32)
                acquired = [(n, contrast) for n, contrast in enumerate(contrasts) if contrast in head.scans]
                for n, contrast in acquired:
                    truth[:, n] = head.slab(contrast, 0, slices, clean=True, strip=strip).ravel()[where]
                for index, contrast in acquired:
                    shares = tissues.shares(number, contrast, strip).astype(np.float32) / 255.0
                    own = head.slab(contrast, 0, slices, strip=strip)
                    others = [other_scanner(own, contrast, rng) for _ in range(VARIANTS - 1)]
                    for scan in (own, *others):
                        of_scan = statistics(torch.from_numpy(scan)[None, None], torch.from_numpy(shares)[None])
                        drawn = shares.reshape(len(CLASSES), -1)[:, where]
                        found.append(SampledScan(index, of_scan, scan.ravel()[where], drawn, truth, weight))
            advance({})
    return found


def _fit_curves(mapping: TissueIntensityMapping, source: int, contrasts: int, samples: Sequence[SampledScan]) -> None:
    """Weighted least squares of each target, where it was acquired, on the features of :func:`design`."""
    size = len(CLASSES) * (KNOTS + 1 + LOOKS)
    normal, right = np.tile(HELD * np.eye(size), (contrasts, 1, 1)), np.zeros((contrasts, size, 1))
    for scan in samples:
        unusual = (looks_of(scan.statistics)[0] - mapping.usual[source]) / mapping.varies[source]
        rows = design(scan, SHY * unusual.double().numpy())
        acquired, weighted = np.isfinite(scan.truth).all(axis=0), (rows * scan.weight[:, None]).T
        normal[acquired] += weighted @ rows
        right[acquired] += (weighted @ scan.truth[:, acquired]).T[..., None]
    found = np.linalg.solve(normal, right).reshape(contrasts, len(CLASSES), -1)
    for name, part, factor in (
        ("curves", slice(0, KNOTS), 1.0),
        ("slopes", KNOTS, 1.0),
        ("lifts", slice(KNOTS + 1, None), SHY),
    ):
        getattr(mapping, name)[source] = torch.from_numpy(factor * found[..., part])


def design(scan: SampledScan, looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features in which the mapping is linear ``(N, classes * (KNOTS + 1 + LOOKS))``; its formula is the class's."""
    every = np.arange(len(scan.bright))
    columns = []
    for share, mean, spread in zip(scan.shares, scan.statistics.mean[0], scan.statistics.spread[0], strict=True):
        off = torch.from_numpy(scan.bright) - mean
        below, part = (t.numpy() for t in knots_of(off / spread))
        hats = np.zeros((len(every), KNOTS))
        hats[every, below], hats[every, below + 1] = 1.0 - part, part
        level = np.broadcast_to(looks, (len(every), LOOKS))
        columns.append(share[:, None] * np.concatenate((hats, off.numpy()[:, None], level), axis=1))
    return np.concatenate(columns, axis=1)


def _drawn(head: Phantom, strip: bool, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Some voxels of the head (or of its brain), and what each counts."""
    brain = np.asarray(head.mask).ravel() > 0
    inside = np.flatnonzero(brain if strip else brain | (np.asarray(head.classes).ravel() > 0))
    where = rng.choice(inside, size=min(DRAWN, len(inside)), replace=False)
    return where, np.where(brain[where], BRAIN_WEIGHT, 1.0).astype(np.float32)


def _fit_recognition(mapping: TissueIntensityMapping, samples: Sequence[SampledScan]) -> None:
    """Linear discriminants: normal distributions about a mean for each contrast, with one covariance."""
    raw = torch.cat([features_of(scan.statistics) for scan in samples])
    mapping.centre.copy_(raw.mean(dim=0))
    mapping.width.copy_(raw.std(dim=0) + 1e-3)
    standardised = ((raw - mapping.centre) / mapping.width).double()
    known = torch.tensor([scan.contrast for scan in samples])
    means = torch.stack([standardised[known == n].mean(dim=0) for n in range(len(mapping.bias))])
    within = torch.cov((standardised - means[known]).T)
    within = within + torch.diag(SHRINKAGE * standardised.var(dim=0) + 1e-6)
    weight = torch.linalg.solve(within, means.T).T
    bias = -0.5 * (weight * means).sum(dim=1)
    mapping.weight.copy_(weight - weight.mean(dim=0))
    mapping.bias.copy_(bias - bias.mean())
