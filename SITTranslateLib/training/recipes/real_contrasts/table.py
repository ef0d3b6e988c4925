"""Table of a model between real contrasts: every patient by a network trained on none of the patient's scans.

Rows are the source itself, a line with either sign, one intensity curve fitted on other patients, the same fitted on
the very pair (an oracle), and the network. A curve of real scans comes from real scans.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.baselines import TransferCurve, fit_transfer_curve
from SITTranslateLib.evaluation.contrast_metrics import (
    Array,
    ContrastScores,
    Mask,
    area,
    jitter,
    middle_of,
    scores,
    shell_of,
    truth_of,
)
from SITTranslateLib.systems.regression.multi_contrast import LEVEL, SPREAD, MultiContrastNetwork
from SITTranslateLib.training.recipes.real_contrasts.preparation import PreparedVisit, prepared
from SITTranslateLib.training.recipes.real_contrasts.subjects import (
    CONTRASTS,
    FOLDS,
    Visit,
    held_out_visits,
    training_visits,
)
from SITTranslateLib.translate.normalisation import percentile_range

METHODS = ("identity", "linear, free sign", "curve, other patients", "curve, same pair (oracle)", "network")
NETWORK, CURVE, ORACLE = METHODS[4], METHODS[2], METHODS[3]


@dataclass(frozen=True)
class Row:
    """One translation of one visit by one method; ``truth_auc`` and ``source_auc`` are of the acquired scans."""

    visit: str
    subject: str
    scanner: str
    source: str
    target: str
    method: str
    scores: ContrastScores
    truth_auc: float
    source_auc: float
    truth_jitter: float


@dataclass(frozen=True, eq=False)
class Standardised:
    """A visit's scans as the network sees them, ``(K, J, I)``, and where they count."""

    scans: dict[str, Array]
    images: dict[str, torch.Tensor]
    brain: Mask
    lesions: Mask


def standardised_visit(visit: PreparedVisit, stripped: bool, aligned: bool = True) -> Standardised:
    """The scans in network units and standardised; with ``aligned`` false, as the headers place them."""
    plain = MultiContrastNetwork(CONTRASTS, widths=(2, 2))
    images, scans = {}, {}
    for contrast, array in (visit.scans if aligned else visit.unaligned).items():
        scaled = percentile_range(array).normalise(array)
        if stripped:
            scaled = np.where(visit.brain, scaled, 0.0).astype(np.float32)
        images[contrast] = torch.from_numpy(np.ascontiguousarray(scaled))[None, None]
        scans[contrast] = plain.standardised(images[contrast])[0, 0].numpy()
    return Standardised(scans, images, middle_of(visit.brain), visit.lesions)


def curve_of(visits: Iterable[Standardised], source: str, target: str) -> TransferCurve:
    """One intensity curve over the brains of some visits, standardised units; see :func:`translated_by`."""
    pairs = [
        (LEVEL + SPREAD * v.scans[source][v.brain], v.scans[target][v.brain])
        for v in visits
        if source in v.scans and target in v.scans
    ]
    return fit_transfer_curve(pairs)


def translated_by(curve: TransferCurve, scan: Array) -> Array:
    """A curve on a standardised scan."""
    return curve(np.asarray(LEVEL + SPREAD * scan, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class Answer:
    """Prediction of a network for one scan: means and scales by target, standardised."""

    means: dict[str, Array]
    scales: dict[str, Array]


def answer_of(network: MultiContrastNetwork, image: torch.Tensor, source: str, bfloat16: bool = False) -> Answer:
    """The network's answer on a scan ``(1, 1, K, J, I)`` in network units."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        means, scales = network.everything(image, source)
    return Answer(
        {c: means[n].numpy() for n, c in enumerate(CONTRASTS)}, {c: scales[n].numpy() for n, c in enumerate(CONTRASTS)}
    )


def load_weights(run: Path) -> MultiContrastNetwork:
    """The network of a finished run (or, while it runs, of its last checkpoint's average).

    Raises:
        InputError: nothing there.
    """
    from SITTranslateLib.training.recipes.real_contrasts.trainer import baked_network

    final, checkpoint = run / "weights.pt", run / "checkpoint.pt"
    if final.is_file():
        weights = torch.load(final, weights_only=True)
        network = MultiContrastNetwork(CONTRASTS, widths=_widths(weights), norm="none")
        network.load_state_dict(weights)
        return network.eval()
    if checkpoint.is_file():
        weights = torch.load(checkpoint, weights_only=True)["average"]
        network = MultiContrastNetwork(CONTRASTS, widths=_widths(weights), norm="batch")
        network.load_state_dict(weights)
        return baked_network(network.eval())
    raise InputError(f"There is no finished run in '{run.name}'.")


def _widths(weights: Mapping[str, torch.Tensor]) -> list[int]:
    levels = sum(name.startswith("unet.down.") and name.endswith(".0.0.weight") for name in weights)
    return [
        weights["unet.stem.0.weight"].shape[0],
        *(weights[f"unet.down.{level}.0.0.weight"].shape[0] for level in range(levels)),
    ]


class Cases:
    """Standardised visits, read once and kept: about 150 MB each."""

    def __init__(self, data: Path, cache: Path, aligned: bool = True) -> None:
        self._data, self._cache, self._aligned = data, cache, aligned
        self._kept: dict[str, Standardised] = {}

    def of(self, visit: Visit) -> Standardised:
        if visit.name not in self._kept:
            ready = prepared(visit, self._data, self._cache)
            self._kept[visit.name] = standardised_visit(ready, visit.stripped, self._aligned)
        return self._kept[visit.name]


def rows_of_fold(
    fold: str,
    network: MultiContrastNetwork,
    cases: Cases,
    *,
    bfloat16: bool = False,
    named: bool = True,
    use: Callable[[Visit, Standardised, str, Answer], None] | None = None,
) -> list[Row]:
    """All rows of the subjects that a fold leaves out.

    Args:
        fold: of :data:`FOLDS`.
        network: trained without them.
        cases: that visits are taken from.
        bfloat16: of the network's convolutions.
        named: whether the network gets the scan's contrast.
        use: called with each answer, for calibration and pictures.
    """
    others = [cases.of(visit) for visit in training_visits(fold)]
    rows: list[Row] = []
    for visit in held_out_visits(fold):
        case = cases.of(visit)
        shell = shell_of(case.lesions & case.brain, case.brain) if case.lesions.any() else None
        for source in case.scans:
            answer = answer_of(network, case.images[source], source if named else "", bfloat16)
            if use is not None:
                use(visit, case, source, answer)
            for target in case.scans:
                if target != source:
                    rows.extend(_rows(visit, case, shell, source, target, curve_of(others, source, target), answer))
    return rows


def _rows(
    visit: Visit,
    case: Standardised,
    shell: Mask | None,
    source: str,
    target: str,
    curve: TransferCurve,
    answer: Answer,
) -> list[Row]:
    given, lesions = case.scans[source], None if shell is None else case.lesions
    truth = truth_of(case.images[target][0, 0].numpy(), case.brain, lesions, shell)
    candidates = {
        METHODS[0]: given,
        METHODS[1]: given,
        METHODS[2]: translated_by(curve, given),
        METHODS[3]: translated_by(curve_of([case], source, target), given),
        METHODS[4]: answer.means[target],
    }
    aucs = [float("nan"), float("nan")]
    if truth.lesions is not None and truth.shell is not None:
        aucs = [area(image[truth.lesions], image[truth.shell]) for image in (truth.image, given)]
    steady = jitter(truth.image, truth.brain)
    return [
        Row(
            visit.name,
            visit.subject,
            visit.scanner,
            source,
            target,
            method,
            scores(image, truth, free_sign=method == METHODS[1]),
            aucs[0],
            aucs[1],
            steady,
        )
        for method, image in candidates.items()
    ]


def mean_rows(rows: Sequence[Row]) -> dict[tuple[str, str, str, str], dict[str, float]]:
    """Means over subjects (visits of one averaged first) by scanner, source, target and method."""
    found: dict[tuple[str, str, str, str], dict[str, float]] = {}
    for key in dict.fromkeys((r.scanner, r.source, r.target, r.method) for r in rows):
        chosen = [r for r in rows if (r.scanner, r.source, r.target, r.method) == key]
        by_subject = [[r for r in chosen if r.subject == s] for s in dict.fromkeys(r.subject for r in chosen)]
        values: dict[str, float] = {}
        for name in ("ssim", "psnr", "sharpness", "auc", "lesion_contrast", "jitter"):
            each = [float(np.mean([getattr(r.scores, name) for r in one])) for one in by_subject]
            values[name] = float(np.mean(each))
            if name in ("ssim", "psnr"):
                values |= {f"{name}_low": min(each), f"{name}_high": max(each)}
        values["truth_auc"] = float(np.mean([r.truth_auc for r in chosen]))
        values["source_auc"] = float(np.mean([r.source_auc for r in chosen]))
        values["truth_jitter"] = float(np.mean([r.truth_jitter for r in chosen]))
        values["subjects"] = float(len(by_subject))
        found[key] = values
    return found


def as_markdown(rows: Sequence[Row]) -> str:
    """Two tables: similarity by method, and what becomes of lesions and slices."""
    means = mean_rows(rows)
    keys = list(dict.fromkeys(key[:3] for key in means))
    lines = [
        "| scanner (subjects) | direction | " + " | ".join(METHODS) + " |",
        "|---|---|" + "---|" * len(METHODS),
    ]
    for scanner, source, target in keys:
        each = [means[scanner, source, target, m] for m in METHODS]
        best = max(range(len(METHODS)), key=lambda n: each[n]["ssim"])
        cells = [f"{v['ssim']:.3f} / {v['psnr']:.1f}" for v in each]
        cells[best] = f"**{cells[best]}**"
        low, high = each[-1]["ssim_low"], each[-1]["ssim_high"]
        if each[-1]["subjects"] > 1:
            cells[-1] += f" ({low:.3f} to {high:.3f})"
        lines.append(f"| {scanner} ({each[0]['subjects']:.0f}) | {source} to {target} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| scanner | direction | lesion AUC: truth | source | curve | network | lesion contrast in % of the truth's: "
        "curve | network | sharpness: network | jitter: truth | network |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scanner, source, target in keys:
        curve, network = (means[scanner, source, target, m] for m in (CURVE, NETWORK))
        lines.append(
            f"| {scanner} | {source} to {target} | {_text(network['truth_auc'])} | {_text(network['source_auc'])} "
            f"| {_text(curve['auc'])} | {_text(network['auc'])} | {_text(curve['lesion_contrast'], 0)} "
            f"| {_text(network['lesion_contrast'], 0)} | {network['sharpness']:.2f} | {network['truth_jitter']:.3f} "
            f"| {network['jitter']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _text(value: float, digits: int = 2) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def write(rows: Sequence[Row], out: Path, name: str = "contrasts") -> None:
    """``NAME.md`` and ``NAME.json`` below a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(as_markdown(rows), encoding="utf-8")
    raw = [{**asdict(row), "scores": asdict(row.scores)} for row in rows]
    (out / f"{name}.json").write_text(json.dumps(raw, indent=1).replace("NaN", "null"), encoding="utf-8")


def folds_of(runs: Mapping[str, Path]) -> dict[str, Path]:
    """The runs by the fold they leave out.

    Raises:
        InputError: an unknown fold, or none.
    """
    for fold in runs:
        if fold not in FOLDS or not FOLDS[fold]:
            known = ", ".join(name for name, out in FOLDS.items() if out)
            raise InputError(f"'{fold[:40]}' is no fold that leaves somebody out; there are {known}.")
    if not runs:
        raise InputError("There is nothing to evaluate: give --run FOLD=FOLDER of a finished run.")
    return dict(runs)
