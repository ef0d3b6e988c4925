"""Fits the gate's modality classifier to simulated scans; ``python -m SITTranslateLib.training.modality MAPS``.

Each label map is given every contrast several times with drawn tissues, sequence timings, transfer curve, bias and
noise, with its skull or without. Half of the maps are kept out and scored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.simulation.contrast import SEQUENCES, Sequence
from SITTranslateLib.simulation.labels import TABLE_SIZE, TISSUE_OF_LABEL, LabelMap, read_label_map
from SITTranslateLib.simulation.scanner import Scanner
from SITTranslateLib.simulation.subject import brain_mask
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.translate.anatomy import look_at
from SITTranslateLib.translate.modality import MODEL_FILE, features
from SITTranslateLib.volume import Volume

CLASSES = {"T1w": ("T1w", "T1w_spoiled"), "T2w": ("T2w",), "FLAIR": ("FLAIR",), "PD": ("PD",)}
#: How far each timing of a sequence may lie from the usual one, as a share of it.
TIMING = {"repetition": 0.15, "echo": 0.25, "inversion": 0.12, "flip": 0.2}


def fit(folder: Path, *, repeats: int = 16, seed: int = 0, penalty: float = 3e-3) -> dict[str, Any]:
    """The classifier fitted to all maps, with the confusion on maps that a first fit did not see."""
    maps = sorted(folder.glob("*.nii.gz"))
    rows = [row for index, path in enumerate(maps) for row in _examples(path, index, repeats, seed)]
    values = np.stack([r[1] for r in rows])
    truth = np.array([list(CLASSES).index(r[0]) for r in rows])
    subject = np.array([r[2] for r in rows])
    seen = subject % 2 == 0
    scores = _scores(_logistic(values[seen], truth[seen], penalty), values[~seen])
    confusion = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    np.add.at(confusion, (truth[~seen], scores.argmax(axis=1)), 1)
    return {
        "about": "Fitted to simulated scans by SITTranslateLib.training.modality; no real scan was used.",
        "config": {"maps": len(maps), "repeats": repeats, "seed": seed, "penalty": penalty},
        "held_out_confusion": {name: confusion[i].tolist() for i, name in enumerate(CLASSES)},
        "model": _logistic(values, truth, penalty),
    }


def _examples(path: Path, index: int, repeats: int, seed: int) -> Iterator[tuple[str, NDArray[np.float64], int]]:
    full = read_label_map(path).cropped()
    labels = LabelMap(full.array[::2, ::2, ::2], full.affine @ np.diag([2.0, 2.0, 2.0, 1.0]), full.name)
    masks = [brain_mask(labels, 0.0), brain_mask(labels, 2.0)]
    rng = np.random.default_rng([seed, index])
    for name, sequences in CLASSES.items():
        for repeat in range(repeats):
            array = _scan(labels, SEQUENCES[sequences[repeat % len(sequences)]], rng)
            if rng.random() < 0.5:
                array = np.where(masks[int(rng.integers(2))], array, 0)
            found = features(look_at(Volume(array.astype(np.float32), labels.affine, name)))
            if found is not None:
                yield name, found, index


def _scan(labels: LabelMap, sequence: Sequence, rng: np.random.Generator) -> NDArray[np.float32]:
    jitter = {key: getattr(sequence, key) * (1 + share * rng.uniform(-1, 1)) for key, share in TIMING.items()}
    varied, tissues = replace(sequence, **jitter), draw_tissues(rng)
    table = np.zeros(TABLE_SIZE, dtype=np.float32)
    for label, tissue in TISSUE_OF_LABEL.items():
        table[label] = varied.signal(tissues[tissue])
    scanner = Scanner(
        gamma=float(rng.uniform(0.7, 1.4)),
        bias=float(rng.uniform(0.0, 0.35)),
        noise=float(rng.uniform(0.0, 0.05)),
        blur_mm=float(rng.uniform(0.0, 4.0)),
        bias_seed=int(rng.integers(2**31)),
    )
    signal = scanner.transfer(table[labels.array], float(table[2]))
    return scanner.acquire(Volume(signal, labels.affine), rng).array


def _logistic(values: NDArray[np.float64], truth: NDArray[np.int64], penalty: float) -> dict[str, Any]:
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-3
    inputs, target = torch.from_numpy((values - mean) / scale), torch.from_numpy(truth)
    weights = torch.zeros(values.shape[1], len(CLASSES), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(CLASSES), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weights + bias, target) + penalty * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    rounded = {"weights": weights.detach(), "bias": bias.detach(), "mean": mean, "scale": scale}
    return {"classes": list(CLASSES)} | {k: np.round(np.asarray(v), 5).tolist() for k, v in rounded.items()}


def _scores(model: dict[str, Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = (values - np.array(model["mean"])) / np.array(model["scale"])
    return np.asarray(centred @ np.array(model["weights"]) + np.array(model["bias"]))


if __name__ == "__main__":
    MODEL_FILE.write_text(json.dumps(fit(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
