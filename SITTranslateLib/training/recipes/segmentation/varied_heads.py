"""Heads whose structures are larger or smaller than those of the label maps they are made of.

Label maps are few and mostly of older people. The motion is that of :mod:`SITTranslateLib.systems.prescribed` with
random volume ratios, so that labels stay neighbours as they are in a head.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields import exponential, resample_field
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.systems.prescribed.changes import with_held
from SITTranslateLib.systems.prescribed.motion import Surroundings, window_of
from SITTranslateLib.systems.prescribed.regions import parts_named, shares_of_labels
from SITTranslateLib.systems.prescribed.solver import solve
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.engine.random_heads import LabelledHead, head_of
from SITTranslateLib.training.recipes.segmentation.config import ParcellationConfig
from SITTranslateLib.volume import VectorField, Volume

#: Volume ratios are drawn between these, uniformly in their logarithms, for both sides, and each side by a little more.
RATIOS: dict[str, tuple[float, float]] = {
    "lateral ventricle": (0.35, 1.7),
    "third ventricle": (0.5, 1.8),
    "fourth ventricle": (0.7, 1.5),
    "hippocampus": (0.7, 1.2),
    "amygdala": (0.65, 1.15),
    "thalamus": (0.85, 1.2),
    "caudate": (0.8, 1.2),
    "putamen": (0.8, 1.2),
    "pallidum": (0.8, 1.25),
    "accumbens": (0.8, 1.6),
    "ventral diencephalon": (0.85, 1.25),
    "cortex": (0.9, 1.25),
    "white matter": (0.92, 1.1),
    "cerebellum": (0.9, 1.15),
}
_SIDE = 0.05
_SPACING_MM = 4.0


def random_ratios(rng: np.random.Generator) -> dict[str, float]:
    """Volume ratios by part."""
    ratios = {}
    for region, bounds in RATIOS.items():
        both = rng.uniform(*np.log(bounds))
        for part in parts_named(region):
            ratios[part] = float(np.exp(both + rng.uniform(-_SIDE, _SIDE)))
    return ratios


def varied(labels: LabelMap, rng: np.random.Generator) -> NDArray[np.int16]:
    """A label map of 1 mm with random volumes of its structures ``(K, J, I)``."""
    volume = Volume(labels.array.astype(np.float32), labels.affine)
    shares = shares_of_labels(volume, _SPACING_MM)
    asked = {part: ratio for part, ratio in random_ratios(rng).items() if part in shares.volumes_ml}
    full = with_held(asked, shares.volumes_ml)
    window = window_of(shares, Surroundings.LABELLED, hold_stem=True)
    stacked = np.stack([shares.parts[name] for name in full])
    found = solve(stacked, np.array(list(full.values())), window, shares.grid)
    back = exponential(VectorField(-found.velocity.array, found.velocity.affine))
    offset = resample_field(back, volume.grid).array @ np.linalg.inv(volume.grid.axes).T.astype(np.float32)
    places = []
    for axis, size in enumerate(labels.array.shape):
        line = np.arange(size, dtype=np.float32).reshape([-1 if d == axis else 1 for d in range(3)])
        place = offset[..., 2 - axis] + line + np.float32(0.5)
        places.append(np.clip(place, 0, size - 1).astype(np.int32))
    return labels.array[tuple(places)]


def heads_of(config: ParcellationConfig, labels: Path, cache: Path) -> list[LabelledHead]:
    """The heads of the label maps, and ``variants`` of each with other volumes, made once and kept in ``cache``."""
    what = json.dumps([config.maps, config.variants, config.seed, RATIOS], sort_keys=True)
    folder = cache / f"varied-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    heads = []
    for place, name in enumerate(config.maps):
        labelled = label_map(labels, name)
        heads.append(head_of(labelled))
        for index in range(config.variants):
            file = folder / f"{name}-{index}.npy"
            if not file.exists():
                folder.mkdir(parents=True, exist_ok=True)
                part = file.with_suffix(".part.npy")
                np.save(part, varied(labelled, np.random.default_rng([config.seed, 2, place, index])))
                part.replace(file)
            # Read where they are needed: all of them do not fit into memory.
            heads.append(LabelledHead(np.load(file, mmap_mode="r"), heads[-1].centre))
    return heads
