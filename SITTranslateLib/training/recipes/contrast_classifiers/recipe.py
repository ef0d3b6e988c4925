"""Fit the two contrast classifiers to simulated scans.

Command: ``python -m SITTranslateLib.training.recipes.contrast_classifiers.recipe MAPS``.

Head label maps 01 to 10 are given every kind of scan many times (``simulation.clinical``); a logistic regression on the
histogram and a small network on the picture learn from them. Maps 11 and 12 say how much each of the two is trusted
and where the gate's thresholds lie; maps 13 to 16 are left for ``sittranslate evaluate gate``. No real scan is used.
One thread and one seed: the same numbers come out again on one machine.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import nn

from SITTranslateLib.simulation.clinical import KINDS, clinical_head, clinical_scan
from SITTranslateLib.simulation.labels import read_label_map
from SITTranslateLib.translate import contrast, contrast_picture
from SITTranslateLib.translate.head import locate_head

#: Of the label maps ``*_NN.nii.gz``: those for training, those for the thresholds.
LEARNED_FROM, CHOSEN_ON = tuple(range(1, 11)), (11, 12)
#: How many for one of every other kind of scan: what most models ask for should be known best.
DRAWS = {"T1w": 2}
#: Penalty of the regression; hidden units, rounds, share of inputs left out and weight decay of the network.
PENALTY, HIDDEN, ROUNDS, LEFT_OUT, DECAY = 3e-3, 24, 40, 0.3, 0.3
#: Share of the suitable scans that the check may warn of, refuse, and question by their histogram alone; and
#: of those whose histogram may agree that it is another kind, without which nothing is refused.
MAY_WARN, MAY_REFUSE, MAY_DOUBT, MAY_AGREE = 0.05, 0.005, 0.03, 0.10
#: Times the strangest picture of the maps 11 and 12: what is stranger has no kind that is known.
STRANGER = 1.2


@dataclass(frozen=True, eq=False)
class Examples:
    """Simulated scans as the two classifiers see them.

    Attributes:
        kinds: index into :data:`KINDS`.
        histograms: features of the histogram.
        pictures: descriptors of the picture.
        maps: number of the label map.
    """

    kinds: NDArray[np.int64]
    histograms: NDArray[np.float64]
    pictures: NDArray[np.float32]
    maps: NDArray[np.int64]

    def of(self, maps: tuple[int, ...]) -> Examples:
        """Those of some label maps."""
        where = np.isin(self.maps, maps)
        return Examples(self.kinds[where], self.histograms[where], self.pictures[where], self.maps[where])


def examples(folder: Path, numbers: tuple[int, ...], heads: int, draws: int, seed: int) -> Examples:
    """Scans of ``heads`` anatomies of each label map, ``draws`` of each kind."""
    rows = []
    jobs = [(number, head) for number in numbers for head in range(heads)]
    for number, index in track(jobs, "Simulating scans"):
        (path,) = folder.glob(f"*_{number:02d}.nii.gz")
        rng = np.random.default_rng([seed, number, index])
        head = clinical_head(read_label_map(path), rng)
        for kind in KINDS:
            for _ in range(draws * DRAWS.get(kind, 1)):
                anatomy = locate_head(clinical_scan(head, kind, rng))
                histogram, seen = contrast.features(anatomy), contrast_picture.view(anatomy)
                if histogram is not None and seen is not None:
                    rows.append((KINDS.index(kind), histogram, contrast_picture.descriptors(seen), number))
    kinds, histograms, pictures, maps = zip(*rows, strict=True)
    return Examples(np.array(kinds), np.stack(histograms), np.stack(pictures), np.array(maps))


def fit_logistic(values: NDArray[np.float64], truth: NDArray[np.int64], penalty: float = PENALTY) -> dict[str, Any]:
    """A logistic regression on the histogram, every kind counted alike."""
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-3
    inputs, target = torch.from_numpy((values - mean) / scale), torch.from_numpy(truth)
    weights = torch.zeros(values.shape[1], len(KINDS), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(KINDS), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=500, line_search_fn="strong_wolfe")
    share = _weights(truth).double()

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(inputs @ weights + bias, target, weight=share)
        value = value + penalty * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return _plain({"weights": weights.detach(), "bias": bias.detach(), "mean": mean, "scale": scale})


def fit_network(values: NDArray[np.float32], truth: NDArray[np.int64], seed: int, batch: int = 64) -> dict[str, Any]:
    """One hidden layer on the descriptors, learned with inputs left out and a little noise on the others."""
    torch.manual_seed(seed)
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-2
    inputs, target = torch.from_numpy((values - mean) / scale), torch.from_numpy(truth)
    hidden, last = nn.Linear(values.shape[1], HIDDEN), nn.Linear(HIDDEN, len(KINDS))
    network = nn.Sequential(nn.Dropout(LEFT_OUT), hidden, nn.ReLU(), nn.Dropout(0.2), last)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, ROUNDS)
    share = _weights(truth)
    for _ in track(range(ROUNDS), "Learning kinds of scans"):
        for some in torch.randperm(len(inputs)).split(batch):
            seen = inputs[some] + 0.1 * torch.randn(len(some), inputs.shape[1])
            loss = nn.functional.cross_entropy(network(seen), target[some], weight=share)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        rates.step()
    parts = {"hidden": hidden.weight.T, "hidden_bias": hidden.bias, "weights": last.weight.T, "bias": last.bias}
    return _plain({name: part.detach() for name, part in parts.items()} | {"mean": mean, "scale": scale})


def log_shares(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Logarithms of probabilities ``(N, kinds)``."""
    high = np.asarray(scores, np.float64) - scores.max(axis=1, keepdims=True)
    return np.asarray(high - np.log(np.exp(high).sum(axis=1, keepdims=True)))


def by_histogram(model: dict[str, Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores ``(N, kinds)`` of the regression."""
    centred = (values - np.array(model["mean"])) / np.array(model["scale"])
    return np.asarray(centred @ np.array(model["weights"]) + np.array(model["bias"]))


def by_picture(model: dict[str, Any], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores ``(N, kinds)`` of the network."""
    arrays = {name: np.array(part) for name, part in model.items() if name != "classes"}
    return contrast_picture.answer(values, arrays).astype(np.float64)


def confusion(scores: NDArray[np.floating[Any]], truth: NDArray[np.int64]) -> dict[str, list[int]]:
    """Rows: what it is; columns: what it was taken for."""
    table = np.zeros((len(KINDS), len(KINDS)), dtype=int)
    np.add.at(table, (truth, scores.argmax(axis=1)), 1)
    return {name: table[n].tolist() for n, name in enumerate(KINDS)}


def write_models(found: Examples, config: dict[str, Any]) -> None:
    """Fit both to the examples and write the files that the suitability check reads."""
    learned, chosen = found.of(LEARNED_FROM), found.of(CHOSEN_ON)
    histogram = fit_logistic(learned.histograms, learned.kinds)
    picture = fit_network(learned.pictures, learned.kinds, config["seed"])
    one, two = by_histogram(histogram, chosen.histograms), by_picture(picture, chosen.pictures)
    share = _best_share(log_shares(one), log_shares(two), chosen.kinds)
    both = log_shares((1 - share) * log_shares(one) + share * log_shares(two))
    rows = np.arange(len(both))
    own, own_by_histogram = np.exp(both[rows, chosen.kinds]), np.exp(log_shares(one)[rows, chosen.kinds])
    # The drawn heads differ from one another more than real ones do; a fifth more than the strangest is strange.
    arrays = {name: np.array(part) for name, part in picture.items() if name != "classes"}
    strangest = float(contrast_picture.strangeness(chosen.pictures, arrays).max())
    picture["strangest"] = round(STRANGER * strangest, 2)
    about = f"Fitted to simulated scans of maps 01 to 10 by {Path(__file__).parent.name}; no real scan was used."
    document = {"about": about, "config": {**config, "scans": len(learned.kinds)}}
    settings = {
        "share_of_network": share,
        "warned_below": _below(own, chosen.kinds, MAY_WARN),
        "refused_below": _below(own, chosen.kinds, MAY_REFUSE),
        "doubted_below": _below(own_by_histogram, chosen.kinds, MAY_DOUBT),
        "agreed_below": _below(own_by_histogram, chosen.kinds, MAY_AGREE),
    }
    of_both = {"maps_11_and_12": {"histogram": confusion(one, chosen.kinds), "both": confusion(both, chosen.kinds)}}
    text = json.dumps(document | of_both | settings | {"model": histogram})
    contrast.MODEL_FILE.write_text(text + "\n", encoding="utf-8")
    text = json.dumps(document | {"maps_11_and_12": confusion(two, chosen.kinds), "model": picture})
    contrast_picture.NETWORK_FILE.write_text(text + "\n", encoding="utf-8")


def _below(own: NDArray[np.float64], kinds: NDArray[np.int64], share: float) -> float:
    """The probability below which so many scans of the usual sources of models lie; the lowest of the kinds."""
    ends = [float(np.quantile(own[kinds == KINDS.index(kind)], share)) for kind in ("T1w", "T2w", "FLAIR")]
    return round(min(ends), 3)


def _best_share(one: NDArray[np.float64], two: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Weight of the second classifier against the first: the share with the clearest separation."""
    rows = np.arange(len(truth))
    shares = np.linspace(0.0, 1.0, 21)
    losses = [-log_shares((1 - s) * one + s * two)[rows, truth].mean() for s in shares]
    return round(float(shares[int(np.argmin(losses))]), 2)


def _weights(truth: NDArray[np.int64]) -> torch.Tensor:
    counts = np.maximum(np.bincount(truth, minlength=len(KINDS)), 1)
    return torch.from_numpy((counts.mean() / counts).astype(np.float32))


def _plain(parts: dict[str, Any]) -> dict[str, Any]:
    rounded = {name: np.asarray(part, np.float64).tolist() for name, part in parts.items()}
    return {"classes": list(KINDS)} | {name: _short(part) for name, part in rounded.items()}


def _short(part: Any) -> Any:
    """Numbers with four digits."""
    return [_short(one) for one in part] if isinstance(part, list) else float(f"{part:.4g}")


def _kept(cache: Path | None) -> Examples | None:
    if cache is None or not cache.is_file():
        return None
    with np.load(cache) as kept:
        return Examples(kept["kinds"], kept["histograms"], kept["pictures"], kept["maps"])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Fit the classifiers of the gate to simulated scans.")
    parser.add_argument("maps", type=Path, help="folder of head label maps *_NN.nii.gz")
    parser.add_argument("--heads", type=int, default=6, help="anatomies a label map")
    parser.add_argument("--draws", type=int, default=5, help="scans of each kind an anatomy, T1w twice as many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keep what the scans look like in this .npz")
    given = parser.parse_args()
    torch.set_num_threads(1)
    numbers = (*LEARNED_FROM, *CHOSEN_ON)
    found = _kept(given.cache) or examples(given.maps, numbers, given.heads, given.draws, given.seed)
    if given.cache is not None:
        kept = {"kinds": found.kinds, "histograms": found.histograms, "pictures": found.pictures, "maps": found.maps}
        np.savez(given.cache, **kept)  # type: ignore[arg-type]
    write_models(found, {"heads": given.heads, "draws": given.draws, "seed": given.seed})


if __name__ == "__main__":
    main()
