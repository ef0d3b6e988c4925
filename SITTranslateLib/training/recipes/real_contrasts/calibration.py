"""Calibration of the predicted scales: errors on patients outside the training, and the factor that covers them.

Split conformal prediction (Papadopoulos et al., ECML 2002) with the predicted scale as the normaliser: the factor is a
quantile of error over scale on patients of other folds, so that the coverage is measured where nothing was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from SITTranslateLib.evaluation.contrast_metrics import fitted
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.segmentation.maps import tissue_probabilities
from SITTranslateLib.segmentation.tissues import BRAIN, CLASSES, SPACING_MM
from SITTranslateLib.training.engine.visits import CONTRASTS, Visit
from SITTranslateLib.training.recipes.real_contrasts.table import Answer, Standardised
from SITTranslateLib.translate.head import resample_itk
from SITTranslateLib.translate.preparation import antialiased
from SITTranslateLib.volume import Grid, Volume

LEVELS = (0.68, 0.95)
"""Shares of voxels that the intervals are to cover."""
SAMPLES = 30_000
"""Voxels drawn of each translation."""
LESION = "lesion"


@dataclass(frozen=True, eq=False)
class Residuals:
    """Errors and scales of some voxels of one translation, standard deviations of the target's brain.

    Attributes:
        subject, source, target: of the translation.
        errors: ``(N,)``, absolute, after the gain and offset that fit best.
        scales: ``(N,)``, as predicted, times the gain.
        tissues: ``(N,)``, index into the segmentation's classes; -1 in lesions.
    """

    subject: str
    source: str
    target: str
    errors: NDArray[np.float32]
    scales: NDArray[np.float32]
    tissues: NDArray[np.int8]


def residuals_of(
    visit: Visit, case: Standardised, source: str, target: str, answer: Answer, tissues: NDArray[np.int8]
) -> Residuals:
    """A random part of the brain's voxels of a translation."""
    truth, mean = case.scans[target], answer.means[target]
    made = fitted(mean, truth, case.brain)
    spread = float(mean[case.brain].std()) or 1.0
    gain = float(made[case.brain].std()) / spread
    places = np.flatnonzero(case.brain)
    rng = np.random.default_rng(0)
    chosen = rng.choice(places, min(SAMPLES, places.size), replace=False)
    where = np.where(case.lesions & case.brain, -1, tissues).astype(np.int8)
    return Residuals(
        visit.subject,
        source,
        target,
        np.abs(made - truth).ravel()[chosen],
        (gain * np.exp(answer.scales[target])).ravel()[chosen].astype(np.float32),
        where.ravel()[chosen],
    )


def tissues_of(image: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.int8]:
    """The likeliest class of the segmentation for each voxel of a 1 mm scan ``(K, J, I)``."""
    volume = Volume(image, affine, "scan")
    centre = volume.grid.to_world((np.array(image.shape[::-1]) - 1) / 2.0)
    coarse = Grid.centred(centre, (88, 104, 88), SPACING_MM)
    small = resample_itk(antialiased(volume, SPACING_MM), coarse, 0.0)
    shares = tissue_probabilities(torch.from_numpy(small.array)[None, None])[0].numpy()
    best = Volume(shares.argmax(axis=0).astype(np.float32), coarse.affine, "classes")
    return np.rint(resample_itk(best, volume.grid, 0.0).array).astype(np.int8)


@dataclass(frozen=True)
class Coverage:
    """Of one target on held-out subjects, all sources and subjects together.

    Attributes:
        covered: level to share of voxels inside the interval.
        by_tissue: tissue to the same.
        correlation: Spearman's between scale and error, mean over translations.
        factors: level to the factor on the scale from all subjects, for the card.
    """

    target: str
    covered: dict[str, float]
    by_tissue: dict[str, dict[str, float]]
    correlation: float
    factors: dict[str, float]


def coverage_of(residuals: Sequence[Residuals], target: str) -> Coverage:
    """Leave-one-subject-out coverage: each subject by the factor of the others."""
    mine = [r for r in residuals if r.target == target]
    subjects = list(dict.fromkeys(r.subject for r in mine))
    inside: dict[float, list[NDArray[np.bool_]]] = {level: [] for level in LEVELS}
    tissues: list[NDArray[np.int8]] = []
    for subject in subjects:
        others = [r for r in mine if r.subject != subject]
        held_out = [r for r in mine if r.subject == subject]
        errors, scales = (np.concatenate([getattr(r, part) for r in held_out]) for part in ("errors", "scales"))
        tissues.append(np.concatenate([r.tissues for r in held_out]))
        for level in LEVELS:
            inside[level].append(errors <= factor_of(others, level) * scales)
    where = np.concatenate(tissues)
    every = {level: np.concatenate(parts) for level, parts in inside.items()}
    names = {LESION: -1, **{CLASSES[n]: n for n in BRAIN}}
    by_tissue = {
        name: {f"{level:.2f}": float(every[level][where == n].mean()) for level in LEVELS}
        for name, n in names.items()
        if np.count_nonzero(where == n) > 200
    }
    ranks = [float(stats.spearmanr(r.errors, r.scales).statistic) for r in mine]
    return Coverage(
        target,
        {f"{level:.2f}": float(every[level].mean()) for level in LEVELS},
        by_tissue,
        float(np.mean(ranks)),
        {f"{level:.2f}": factor_of(mine, level) for level in LEVELS},
    )


def factor_of(residuals: Sequence[Residuals], level: float) -> float:
    """Factor of the scales for this coverage, with equal weight of each subject."""
    by_subject: dict[str, list[Residuals]] = {}
    for one in residuals:
        by_subject.setdefault(one.subject, []).append(one)
    quantiles = [
        float(np.quantile(np.concatenate([r.errors / np.maximum(r.scales, 1e-6) for r in many]), level))
        for many in by_subject.values()
    ]
    return float(np.mean(quantiles))


def covers(coverage: Coverage, tolerance: float = 0.05, least_correlation: float = 0.4) -> bool:
    """Whether the map is calibrated: coverage within the tolerance, ranks related to the error."""
    near = all(abs(share - float(level)) <= tolerance for level, share in coverage.covered.items())
    return near and coverage.correlation >= least_correlation


def as_markdown(coverages: Sequence[Coverage]) -> str:
    """One row a target."""
    lines = [
        "| target | 68 % covers | 95 % covers | rank correlation with the error | by tissue, 68 % / 95 % |",
        "|---|---|---|---|---|",
    ]
    for one in coverages:
        tissues = "; ".join(f"{n} {100 * v['0.68']:.0f} / {100 * v['0.95']:.0f}" for n, v in one.by_tissue.items())
        lines.append(
            f"| {one.target} | {100 * one.covered['0.68']:.0f} % | {100 * one.covered['0.95']:.0f} % "
            f"| {one.correlation:.2f} | {tissues} |"
        )
    return "\n".join(lines) + "\n"


def write(residuals: Sequence[Residuals], out: Path) -> Mapping[str, Coverage]:
    """``uncertainty.md`` and ``uncertainty.json`` below a folder; coverage by target."""
    found = {
        t: coverage_of(residuals, t) for t in CONTRASTS if len({r.subject for r in residuals if r.target == t}) > 1
    }
    (out / "uncertainty.md").write_text(as_markdown(list(found.values())), encoding="utf-8")
    raw = {target: asdict(coverage) | {"covers": covers(coverage)} for target, coverage in found.items()}
    write_json(out / "uncertainty.json", raw)
    return found
