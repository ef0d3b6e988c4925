"""Prescribed follow-ups: random heads whose change is known from published rates, as training batches.

Each head is a deformed label map. The motion with which its structures change by the tables of
:mod:`SITTranslateLib.systems.prescribed.presets` is found once for each course and kept; a velocity of any age, number
of years and severity is a sum of these. The network sees the head in T1w contrasts. Half of the requests go back in
time: the head is aged first, and what the network is to find is the way back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import resample_field, tensors
from SITTranslateLib.segmentation.structures import BONE_CLASS, CLASS_COUNT, OUTSIDE_CLASS, SOFT_CLASS, STRUCTURES
from SITTranslateLib.simulation.labels import lookup
from SITTranslateLib.systems.prescribed.changes import with_held
from SITTranslateLib.systems.prescribed.motion import Surroundings, window_of
from SITTranslateLib.systems.prescribed.presets import ALZHEIMER, HEALTHY_AGEING
from SITTranslateLib.systems.prescribed.regions import PARTS, parts_named, shares_of_labels
from SITTranslateLib.systems.prescribed.solver import Solution, solve
from SITTranslateLib.systems.sit.courses import ADULT, OLDEST, course_values, courses_of
from SITTranslateLib.systems.sit.layer import flow_of_potential, half_resolution_affine, to_full_resolution
from SITTranslateLib.systems.sit.network import POTENTIAL, SITNetwork
from SITTranslateLib.systems.sit.structures import FEATURES, StructureHead, structure_features
from SITTranslateLib.training.engine.grid import SHAPE, SPACING_MM, training_axes
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.engine.random_heads import FINE, LabelledHead, affine_of, deformed, head_of, t1w_image
from SITTranslateLib.training.recipes.sit.config import Prescribed
from SITTranslateLib.training.recipes.sit.objective import HALF_VOXEL, divergence, log_volume_ratios
from SITTranslateLib.volume import Volume

AGEING, HIPPOCAMPUS, DISEASE = COURSES = "ageing", "hippocampus", "disease"
#: After the name of a course that is followed back in time.
BACK = " back"
#: Heads at the start of a training, and steps after which another one joins.
FIRST_HEADS, STEPS_A_HEAD = 8, 8
#: Heads that the weights to begin with are fitted to.
FITTED_HEADS = 16
_SHIFT_MM = (5.0, 6.0, 5.0)
_COARSE_MM = 4.0
#: Age and years at which the motion of health is found, and years of the disease.
_AGE, _YEARS, _DISEASE_YEARS = 60.0, 20.0, 6.0
_CORRECTIONS = 2
_KEYS = [structure.key for structure in STRUCTURES]
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
    return np.array([sum(v * units[name].get(part, 0.0) for name, v in values.items()) for part in parts])


def cells_of(labels: NDArray[np.int16], names: Sequence[str]) -> tuple[NDArray, NDArray, NDArray]:
    """Cells between the 2 mm voxels of labels of 1 mm that hold a part: flat index, part, share of it in them."""
    table = np.full(len(PARTS) + 1, 255, np.uint8)
    for place, name in enumerate(names):
        table[1 + list(PARTS).index(name)] = place
    numbers = table[_NUMBER_OF_LABEL[labels]][1:-1, 1:-1, 1:-1]
    k, j, i = (n // 2 for n in numbers.shape)
    eighths = numbers.reshape(k, 2, j, 2, i, 2).transpose(1, 3, 5, 0, 2, 4).reshape(8, -1)
    cell = np.broadcast_to(np.arange(eighths.shape[1], dtype=np.int64), eighths.shape)
    there = eighths < 255
    keys, counts = np.unique(cell[there] * 256 + eighths[there], return_counts=True)
    return (keys // 256).astype(np.int32), (keys % 256).astype(np.uint8), counts.astype(np.uint8)


def basis_of(labels: NDArray[np.int16]) -> tuple[NDArray[np.float32], list[str], tuple[NDArray, NDArray, NDArray]]:
    """Basis velocities of a head ``(courses, 3, K/2, J/2, I/2)`` in mm a decade, its parts, and their cells."""
    shares = shares_of_labels(Volume(labels.astype(np.float32), affine_of(1.0)), _COARSE_MM)
    changed = {part for unit in unit_log_ratios().values() for part in unit}
    shown = {part: 1.0 for part in PARTS if part in shares.volumes_ml and part in changed}
    names = list(with_held(shown, shares.volumes_ml))
    stacked = np.stack([shares.parts[name] for name in names])
    window = window_of(shares, Surroundings.LABELLED, hold_stem=True)
    cells = cells_of(labels, names)
    index, part, share = (torch.from_numpy(a.astype(t)) for a, t in zip(cells, (int, int, np.float32), strict=True))
    half = half_resolution_affine(affine_of(SPACING_MM))
    grid = Volume(np.zeros(tuple(n // 2 for n in SHAPE), np.float32), half).grid

    def velocity_of(asked: NDArray[np.float64], start: Solution | None) -> tuple[NDArray[np.float32], Solution]:
        wanted = np.exp(asked)
        targets, found = wanted, start
        field = np.zeros(0, np.float32)
        for attempt in range(_CORRECTIONS + 1):
            found = solve(stacked, targets, window, shares.grid, start=found)
            field = resample_field(found.velocity, grid).array.transpose(3, 0, 1, 2)
            if attempt < _CORRECTIONS:
                at_half = torch.from_numpy(np.ascontiguousarray(field))[None]
                reached = log_volume_ratios(at_half, training_axes(), (index, part, share), len(names))
                targets = targets * wanted / np.exp(reached.numpy().astype(np.float64))
        assert found is not None
        return field, found

    units = {name: log_ratios({name: 1.0}, names) for name in (AGEING, HIPPOCAMPUS, DISEASE)}
    decades = _YEARS / 10.0
    health, solution = velocity_of(decades * (units[AGEING] + units[HIPPOCAMPUS]), None)
    hippocampus, _ = velocity_of(units[HIPPOCAMPUS], solution)
    disease, _ = velocity_of(0.1 * _DISEASE_YEARS * units[DISEASE], solution)
    basis = np.stack([health / decades - hippocampus, hippocampus, disease / (0.1 * _DISEASE_YEARS)])
    smooth = tensors.gaussian(torch.from_numpy(basis), HALF_VOXEL).numpy()
    return smooth.astype(np.float32), names, cells


class PrescribedHeads:
    """Heads with their basis velocities and images; made at their first use, then read from ``folder``.

    Args:
        labels: folder of label maps.
        config: of the data.
        courses: of the network.
        folder: where heads are kept between runs.
        structures: hash of the parcellation weights, where the network sees the structures instead of the scan.
    """

    def __init__(
        self, labels: Path, config: Prescribed, courses: Mapping[str, str], folder: Path, structures: str = ""
    ) -> None:
        what = {name: value for name, value in asdict(config).items() if name != "heads"}
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
        self.labels, self.config, self.courses = labels, config, courses_of(courses)
        self.structures = structures[:12]
        self.folder = folder / f"prescribed-{key}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._maps: dict[str, LabelledHead] = {}

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:04d}.npz"

    def _make(self, index: int) -> None:
        rng = np.random.default_rng([self.config.seed, index])
        name = self.config.training_maps[index % len(self.config.training_maps)]
        if name not in self._maps:
            self._maps[name] = head_of(label_map(self.labels, name))
        labels = deformed(self._maps[name], rng, FINE, _SHIFT_MM)
        basis, names, (cell, part, share) = basis_of(labels)
        strip = rng.random(self.config.images) < self.config.skull_strip
        images = np.stack([t1w_image(labels, rng, bool(s)) for s in strip])
        file = self._file(index)
        unfinished = file.with_suffix(".part.npz")
        np.savez(
            unfinished,
            images=images.astype(np.float16),
            basis=basis.astype(np.float16),
            cell=cell,
            part=part,
            share=share,
            names=np.array(names),
        )
        unfinished.replace(file)

    def batches(self, seed: int, start: int) -> Iterator[dict[str, Tensor]]:
        """Endless batches of one head from a step on; each depends on the seed and its step alone.

        Further heads join the first ones during the training, so that it begins at once.
        """
        step = start
        while True:
            heads = min(self.config.heads, FIRST_HEADS + step // STEPS_A_HEAD)
            yield self.batch(np.random.default_rng([seed, 2, step]), heads)
            step += 1

    def batch(self, rng: np.random.Generator, heads: int) -> dict[str, Tensor]:
        """One of the first heads under a random request, mirrored in half of the cases."""
        index = int(rng.integers(heads))
        if not self._file(index).exists():
            self._make(index)
        with np.load(self._file(index)) as stored:
            which = int(rng.integers(self.config.images))
            image = stored["images"][which].astype(np.float32)
            basis, cell = stored["basis"].astype(np.float32), stored["cell"].astype(np.int64)
            part, share, names = stored["part"], stored["share"], [str(n) for n in stored["names"]]
        source = torch.from_numpy(np.clip(image, 0.0, None) ** np.float32(np.exp(rng.normal(0.0, 0.12))))[None, None]
        source = source * float(rng.uniform(0.88, 1.12))
        seen = self._features(index, which) if self.structures else source
        request = random_request(rng)
        if rng.random() < 0.5:
            seen, basis = seen.flip(-1), basis[..., ::-1] * np.array([-1, 1, 1], np.float32)[:, None, None, None]
            k, j, i = np.unravel_index(cell, tuple(n - 1 for n in SHAPE))
            cell = np.ravel_multi_index((k, j, SHAPE[2] - 2 - i), tuple(n - 1 for n in SHAPE))
        values = course_values(self.courses, request)
        by_course = {c.name.removesuffix(BACK): v for c, v in zip(self.courses, values, strict=True) if v}
        weights = np.array([by_course.get(name, 0.0) for name in COURSES], np.float32)
        velocity = torch.from_numpy(np.ascontiguousarray(np.tensordot(weights, basis, axes=1)))[None]
        ratios, history = log_ratios(by_course, names), torch.zeros_like(velocity)
        if request["years"] < 0:
            history, ratios = -velocity, np.zeros(len(names))
            sampling, axes = tensors.exponential(velocity, 2.0 * training_axes(), steps=5), 2.0 * training_axes()
            if not self.structures:
                sampling, axes = to_full_resolution(sampling), training_axes()
            seen = tensors.warp(seen, sampling, axes)
        return {
            "features" if self.structures else "source": seen,
            "code": torch.tensor([[*values, *[1.0] * len(values)]]),
            "velocity": velocity,
            "history": history,
            "cell": torch.from_numpy(cell)[None],
            "part": torch.from_numpy(part.astype(np.int64))[None],
            "share": torch.from_numpy(share.astype(np.float32))[None],
            "log_ratios": torch.from_numpy(ratios.astype(np.float32))[None],
        }

    def truth(self, index: int) -> tuple[Tensor, Tensor]:
        """Basis velocities ``(courses, 3, K/2, J/2, I/2)`` of a head, and its structures in its first image."""
        if not self._file(index).exists():
            self._make(index)
        with np.load(self._file(index)) as stored:
            return torch.from_numpy(stored["basis"].astype(np.float32)), self._features(index, 0)

    def _features(self, index: int, which: int) -> Tensor:
        """Structures that the parcellation finds in an image ``(1, FEATURES, K/2, J/2, I/2)``, kept in the folder."""
        file = self.folder / f"{index:04d}-{which}-{self.structures}.npy"
        if not file.exists():
            with np.load(self._file(index)) as stored:
                image = stored["images"][which].astype(np.float32)
            found = structure_features(torch.from_numpy(image)[None, None])
            unfinished = file.with_suffix(".part.npy")
            np.save(unfinished, found.numpy().astype(np.float16))
            unfinished.replace(file)
        return torch.from_numpy(np.load(file).astype(np.float32))


@torch.no_grad()
def begin_with_structures(network: SITNetwork, heads: PrescribedHeads) -> None:
    """Weights to begin with: each course's potential as a sum over structures, by least squares on a few heads.

    The velocity is linear in the potential. The window is open in the brain and its fluid, and shut in the brain stem
    and outside.
    """
    head = network.field_head
    assert isinstance(head, StructureHead)
    shut = {OUTSIDE_CLASS: -2.0, BONE_CLASS: -5.0, SOFT_CLASS: -5.0, 1 + _KEYS.index("brain stem"): -5.0}
    head.sum.weight[-1, :CLASS_COUNT, 0, 0, 0] = torch.tensor([shut.get(n, 4.0) for n in range(CLASS_COUNT)])
    axes = 2.0 * training_axes()
    gram = torch.zeros(FEATURES, FEATURES)
    moments = torch.zeros(len(COURSES), FEATURES)
    for index in range(min(FITTED_HEADS, heads.config.heads)):
        basis, features = heads.truth(index)
        window = torch.sigmoid(head(features)[:, -1:])
        units = [
            flow_of_potential(POTENTIAL * features[:, n : n + 1], window, axes, network.kernel)[0]
            for n in range(FEATURES)
        ]
        fields = tensors.gaussian(torch.stack(units), HALF_VOXEL)
        for of in (lambda field: field, lambda field: divergence(field, axes)):
            made, true = of(fields).flatten(1), of(basis).flatten(1)
            scale = 1.0 / true.square().sum(dim=1, keepdim=True).clamp(min=1e-6)
            gram += made @ made.T * float(scale.mean())
            moments += true @ made.T * float(scale.mean())
    gram += 1e-4 * gram.diagonal().mean() * torch.eye(FEATURES)
    weights = torch.linalg.solve(gram, moments.T).T
    for row, course in enumerate(network.courses):
        head.sum.weight[row, :, 0, 0, 0] = weights[COURSES.index(course.name.removesuffix(BACK))]


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
