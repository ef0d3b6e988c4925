"""Prescribed follow-ups: random heads whose structures change by published rates, as training batches.

Each head is a deformed label map, seen in a T1w contrast through the library's parcellation. The rates are those of the
tables of :mod:`SITTranslateLib.systems.prescribed.presets`; the volumes of the true structures are held against them.
Half of the requests go back in time: the network ages the head first, and what it is to find is the way back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.simulation.labels import lookup
from SITTranslateLib.systems.prescribed.presets import ALZHEIMER, HEALTHY_AGEING
from SITTranslateLib.systems.prescribed.regions import PARTS, REGIONS, parts_named
from SITTranslateLib.systems.sit.courses import ADULT, OLDEST, course_values, courses_of
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.systems.sit.structures import (
    REGION_OF_PART,
    StructureHead,
    parcellation_sha256,
    sampling_at_voxels,
    structure_features,
)
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.engine.random_heads import FINE, LabelledHead, deformed, head_of, t1w_image
from SITTranslateLib.training.recipes.sit.config import Prescribed

AGEING, HIPPOCAMPUS, DISEASE = COURSES = "ageing", "hippocampus", "disease"
#: After the name of a course that is followed back in time.
BACK = " back"
_SHIFT_MM = (5.0, 6.0, 5.0)
#: Probabilities are kept in steps of this.
_STEP = np.float32(1.0 / 255.0)
_NUMBER_OF_LABEL = lookup({label: n for n, own in enumerate(PARTS.values(), 1) for label in own}, np.uint8)


@cache
def unit_log_ratios() -> dict[str, dict[str, float]]:
    """Logarithm of the volume ratio of each part over a decade of each course at its full rate."""
    units: dict[str, dict[str, float]] = {AGEING: {}, HIPPOCAMPUS: {}, DISEASE: {}}
    for region, rate in HEALTHY_AGEING.items():
        course = HIPPOCAMPUS if region == HIPPOCAMPUS else AGEING
        units[course] |= dict.fromkeys(parts_named(region), 10.0 * float(np.log1p(rate.percent[-1] / 100.0)))
    for region, rate in ALZHEIMER.items():
        units[DISEASE] |= dict.fromkeys(parts_named(region), 10.0 * float(np.log1p(rate.percent[-1] / 100.0)))
    return units


def log_ratios(values: Mapping[str, float], parts: Sequence[str]) -> NDArray[np.float64]:
    """Logarithms of the volume ratios of parts, for decades by course."""
    units = unit_log_ratios()
    return np.array(
        [sum(v * units[name.removesuffix(BACK)].get(part, 0.0) for name, v in values.items()) for part in parts]
    )


def voxels_of(labels: NDArray[np.int16], names: Sequence[str]) -> tuple[NDArray, NDArray, NDArray]:
    """Voxels of 2 mm of labels of 1 mm that hold a part: flat index, part, and how many eighths of them it fills."""
    table = np.full(len(PARTS) + 1, 255, np.uint8)
    for place, name in enumerate(names):
        table[1 + list(PARTS).index(name)] = place
    k, j, i = (n // 2 for n in labels.shape)
    numbers = table[_NUMBER_OF_LABEL[labels]]
    eighths = numbers.reshape(k, 2, j, 2, i, 2).transpose(1, 3, 5, 0, 2, 4).reshape(8, -1)
    voxel = np.broadcast_to(np.arange(eighths.shape[1], dtype=np.int64), eighths.shape)
    there = eighths < 255
    keys, counts = np.unique(voxel[there] * 256 + eighths[there], return_counts=True)
    return keys // 256, keys % 256, counts


class PrescribedHeads:
    """Heads with the structures found in an image of them; made at their first use, then read from ``folder``.

    Args:
        labels: folder of label maps.
        config: of the data.
        folder: where heads are kept between runs.
    """

    def __init__(self, labels: Path, config: Prescribed, folder: Path) -> None:
        what = {name: value for name, value in asdict(config).items() if name != "heads"}
        what["structures"] = parcellation_sha256()
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
        self.labels, self.config, self.courses = labels, config, courses_of(course_table())
        self.folder = folder / f"prescribed-{key}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._maps: dict[str, LabelledHead] = {}

    def _make(self, index: int, file: Path) -> None:
        rng = np.random.default_rng([self.config.seed, index])
        name = self.config.training_maps[index % len(self.config.training_maps)]
        if name not in self._maps:
            self._maps[name] = head_of(label_map(self.labels, name))
        labels = deformed(self._maps[name], rng, FINE, _SHIFT_MM)
        shown = set(_NUMBER_OF_LABEL[np.unique(labels)].tolist())
        names = [p for n, p in enumerate(PARTS, 1) if n in shown and not REGIONS[REGION_OF_PART[p]].thin]
        voxel, part, share = voxels_of(labels, names)
        image = torch.from_numpy(t1w_image(labels, rng, bool(rng.random() < self.config.skull_strip)))
        features = np.rint(structure_features(image[None, None])[0].numpy() / _STEP).astype(np.uint8)
        unfinished = file.with_suffix(".part.npz")
        np.savez_compressed(unfinished, features=features, voxel=voxel, part=part, share=share, names=np.array(names))
        unfinished.replace(file)

    def batches(self, seed: int, start: int) -> Iterator[dict[str, Tensor]]:
        """Endless batches of one head from a step on; each depends on the seed and its step alone."""
        step = start
        while True:
            yield self.batch(step % self.config.heads, random_request(np.random.default_rng([seed, 2, step])))
            step += 1

    def batch(self, index: int, request: Mapping[str, float]) -> dict[str, Tensor]:
        """A head under a request; one that goes back in time with the request ``before`` that it undoes."""
        file = self.folder / f"{index:04d}.npz"
        if not file.exists():
            self._make(index, file)
        with np.load(file) as stored:
            arrays: dict[str, Any] = dict(stored)
        names = [str(name) for name in arrays["names"]]
        code, before = self._code(request), torch.zeros(1, 2 * len(self.courses))
        by_course = {c.name: v for c, v in zip(self.courses, code[0].tolist(), strict=False) if v}
        ratios = log_ratios(by_course, names)
        if request["years"] < 0:
            before = self._code({**request, "age": request["age"] + request["years"], "years": -request["years"]})
            ratios = np.zeros(len(names))
        return {
            "features": torch.from_numpy(arrays["features"])[None].float() * float(_STEP),
            "code": code,
            "before": before,
            "voxel": torch.from_numpy(arrays["voxel"])[None],
            "part": torch.from_numpy(arrays["part"])[None],
            "share": torch.from_numpy(arrays["share"])[None],
            "regions": torch.tensor([[REGION_OF_PART[name] for name in names]]),
            "log_ratios": torch.from_numpy(ratios.astype(np.float32))[None],
        }

    def _code(self, request: Mapping[str, float]) -> Tensor:
        values = course_values(self.courses, request)
        return torch.tensor([[*values, *[1.0] * len(values)]])


@torch.no_grad()
def aged(network: SITNetwork, batch: dict[str, Tensor], axes: NDArray[np.float64]) -> dict[str, Tensor]:
    """The batch with its head aged by the network, and the velocity that did it, where it is to go back in time."""
    if not bool(batch["before"].any()):
        return batch
    history = network(None, batch["before"], axes, features=batch["features"]).velocity
    affine = np.eye(4)
    affine[:3, :3] = axes
    sampling = sampling_at_voxels(history, affine)
    return batch | {"features": tensors.warp(batch["features"], sampling, axes), "history": history}


@torch.no_grad()
def begin_with_tables(network: SITNetwork) -> None:
    """Weights to begin with: what is asked of the structures found is what the true ones are to reach."""
    head = network.field_head
    assert isinstance(head, StructureHead)
    for row, course in zip(head.log_ratios, network.courses, strict=True):
        units = unit_log_ratios()[course.name.removesuffix(BACK)]
        for part, ratio in units.items():
            row[REGION_OF_PART[part]] = ratio


def random_request(rng: np.random.Generator) -> dict[str, float]:
    """Age, years and severity as they are asked for."""
    severity = 0.0 if rng.random() < 0.5 else float(rng.uniform(0.1, 1.0))
    age = float(rng.uniform(40.0, 90.0))
    years = float(rng.uniform(3.0, min(20.0, 8.0 / max(severity, 0.1)))) * (1.0 if rng.random() < 0.6 else -1.0)
    return {"age": age, "years": float(np.clip(years, ADULT - age, OLDEST - age)), "severity": severity}


def course_table() -> dict[str, str]:
    """The courses of the network in a card's form, from the presets."""
    forward = {}
    for name, rate in ((AGEING, HEALTHY_AGEING["white matter"]), (HIPPOCAMPUS, HEALTHY_AGEING[HIPPOCAMPUS])):
        pairs = zip(rate.ages, rate.percent, strict=True)
        forward[name] = " ".join(f"{age:g}:{percent / rate.percent[-1] + 0.0:.6g}" for age, percent in pairs)
    forward[DISEASE] = f"disease {ADULT:g}:1"
    return forward | {name + BACK: f"back {text}" for name, text in forward.items()}
