"""Simulated follow-up pairs as training batches: made once, kept on disk, the same for a given config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from SITTranslateLib.fields import resample_field
from SITTranslateLib.simulation import SimulatedPair, Subject, draw_scanner, simulate_pair
from SITTranslateLib.simulation.ageing import RATES
from SITTranslateLib.simulation.labels import BRAIN_LABELS, LabelMap
from SITTranslateLib.systems.sit.layer import half_resolution_affine, to_full_resolution
from SITTranslateLib.training.engine.grid import training_grid
from SITTranslateLib.training.recipes.sit.config import Data
from SITTranslateLib.translate.normalisation import percentile_range
from SITTranslateLib.volume import Grid

#: The growth that heads are told apart by, their share of it in the brain at age 0, and the largest age, years.
VENTRICLES, USUAL_VENTRICLES, LARGEST_AGE = RATES["lateral ventricles"], 0.026, 50.0


class SimulatedPairs(Dataset[dict[str, Tensor]]):
    """Pair ``n`` of a pool; simulated at its first use, then read from ``folder``.

    Args:
        subjects: prepared label maps.
        data: ranges and seed.
        scales: attribute scales of the network, in the order (age, lesions).
        folder: where pairs are kept between epochs and runs.
    """

    def __init__(self, subjects: list[Subject], data: Data, scales: tuple[float, float], folder: Path) -> None:
        key = hashlib.sha256(json.dumps(asdict(data), sort_keys=True).encode()).hexdigest()[:12]
        self.subjects, self.data, self.scales = subjects, data, scales
        self.folder = folder / f"pairs-{key}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return self.data.pairs

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        file = self.folder / f"{index:05d}.npz"
        if not file.exists():
            part = file.with_suffix(f".{np.random.default_rng().integers(1 << 30)}.part.npz")
            np.savez(part, allow_pickle=False, **self._simulate(index))
            part.replace(file)
        with np.load(file) as stored:
            arrays = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored.files}
        return self._as_batch(arrays)

    def _simulate(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.data.seed, index])
        subject = self.subjects[index % len(self.subjects)]
        years = float(rng.uniform(*self.data.age_years)) if rng.random() < 0.85 else 0.0
        load, later = rng.uniform(*self.data.lesion_load_ml, size=2)
        change = float(later - load) if rng.random() < 0.6 else 0.0
        pair = simulate_pair(
            subject,
            rng,
            age_change=years,
            lesion_load=float(load),
            lesion_change=change,
            grid=training_grid(subject.centre, self.data.spacing_mm),
            scanner=draw_scanner("training", rng),
            skull_strip=bool(rng.random() < self.data.skull_strip),
        )
        return stored_arrays(pair) | {
            "attributes": np.array([years, change], np.float32),
            "values_before": np.array([apparent_age(pair.labels), load], np.float32),
        }

    def _as_batch(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        scales = torch.tensor(self.scales)
        requested = (arrays["attributes"] != 0).float()
        return {
            "source": arrays["source"][None],
            "target": arrays["target"][None],
            "intensity_change": arrays["intensity_change"][None],
            "sampling": to_full_resolution(arrays["sampling"][None])[0],
            "mask": arrays["mask"][None],
            "change_mask": arrays["change_mask"][None],
            "code": torch.cat((arrays["attributes"] / scales, requested)),
            "values_before": arrays["values_before"] / scales,
        }


def apparent_age(labels: LabelMap) -> float:
    """Years from the usual adult at which the simulated ageing gives the head's share of lateral ventricles.

    Nobody knows how old the people of the label maps are; a critic that is to read ages needs heads whose age and
    anatomy belong together. ``labels`` are those of the simulated scan, whose ventricles differ from its map's.
    """
    ventricles, brain = (int(labels.mask(*which).sum()) for which in (VENTRICLES.labels, BRAIN_LABELS))
    growth = np.log1p(VENTRICLES.percent_per_year / 100.0)
    years = np.log(max(ventricles, 1) / max(brain, 1) / USUAL_VENTRICLES) / growth
    return float(np.clip(years, -LARGEST_AGE, LARGEST_AGE))


def stored_arrays(pair: SimulatedPair) -> dict[str, np.ndarray]:
    """A pair in network units, the field on the half-resolution grid, as small as it goes."""
    scale = percentile_range(pair.source.array)
    half = Grid(tuple(n // 2 for n in pair.source.shape), half_resolution_affine(pair.source.affine))  # type: ignore[arg-type]
    sampling = resample_field(pair.sampling, half).array
    return {
        "source": scale.normalise(pair.source.array).astype(np.float16),
        "target": scale.normalise(pair.target.array).astype(np.float16),
        "intensity_change": (pair.intensity_change.array / scale.width).astype(np.float16),
        "sampling": sampling.transpose(3, 0, 1, 2).astype(np.float16),
        "mask": pair.brain_mask.astype(np.uint8),
        "change_mask": pair.change_mask.astype(np.uint8),
    }


class _EndlessOrder(Sampler[int]):
    """A new permutation each epoch from the seed, starting at the step of the checkpoint; split over ranks."""

    def __init__(self, length: int, seed: int, start: int, rank: int = 0, ranks: int = 1) -> None:
        self.length, self.seed, self.start, self.rank, self.ranks = length, seed, start, rank, ranks

    def __iter__(self) -> Iterator[int]:
        position = self.start * self.ranks + self.rank
        while True:
            epoch, place = divmod(position, self.length)
            yield int(np.random.default_rng([self.seed, epoch]).permutation(self.length)[place])
            position += self.ranks


def batches(
    pairs: Dataset[dict[str, Tensor]],
    *,
    batch: int,
    seed: int,
    start: int = 0,
    workers: int = 1,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[dict[str, Tensor]]:
    """Endless batches, the same at a given step in every run; with scans of other people for a discriminator.

    ``other`` is the previous batch's follow-up scan, an unpaired real scan whose attributes are known; of one's own
    scans, the previous scan itself.
    """
    order = _EndlessOrder(len(pairs), seed, start * batch, rank, ranks)  # type: ignore[arg-type]
    loader = DataLoader(
        pairs,
        batch_size=batch,
        sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=lambda _: torch.set_num_threads(1),
    )
    previous: dict[str, Tensor] | None = None
    for current in loader:
        earlier = previous or current
        current["other"] = earlier.get("target", earlier["source"])
        if "values" in earlier:
            current["other_values"] = earlier["values"]
        else:
            attributes = earlier["code"][:, : earlier["values_before"].shape[1]]
            current["other_values"] = earlier["values_before"] + attributes
        yield current
        previous = current
