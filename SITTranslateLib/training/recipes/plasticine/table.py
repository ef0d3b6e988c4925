"""Plasticine's table: is the translated scan good, does it lie where its field says, and is the field the true one?

Every method answers every case: a T1w scan of a held-out head, and the T2w or CT of the same head some years later,
whose motion is known. Images are in network units (of MR the head's median is 0.5), fields in mm; a CT is judged in HU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.cross_contrast_table import BONE_HU, SPANS
from SITTranslateLib.evaluation.patch_kid import Features, kernel_distance
from SITTranslateLib.traceability.overlap import agreement
from SITTranslateLib.translate.normalisation import in_own_units
from SITTranslateLib.volume import Grid, VectorField, Volume

Array = NDArray[np.float32]
#: Brain tissues of :data:`SITTranslateLib.segmentation.CLASSES` that segmentations are compared by.
BRAIN_CLASSES = [1, 2, 3, 4]
TITLES = {
    "psnr": "PSNR (dB)", "ssim": "SSIM", "mae": "MAE (HU)", "mae_brain": "MAE brain (HU)",
    "dice_bone": "Dice bone (> 300 HU)", "unlike": "unlike real ones (kernel distance)",
    "dice": "Dice, carried to translated", "hd95": "HD95 (mm)",
    "dice_known": "Dice, known labels carried", "miss": "displacement error, mean (mm)",
    "miss_p95": "displacement error, p95 (mm)", "motion_p99": "longest motion, p99 (mm)", "folded": "folded voxels",
    "inverse": "inverse error, mean (mm)", "recomposition": "recomposition error (network units)",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class AgeingCase:
    """A scan whose translation and motion are known, arrays ``(K, J, I)``.

    Attributes:
        group: what it counts towards.
        years: change of age between source and truth.
        source, truth: network units; the truth is clean, moved by ``sampling``.
        sampling: where each voxel of the truth comes from, mm.
        classes: tissue class of each voxel of the source.
        brain: mask on the source; ``brain_after`` on the truth.
        judged: where images are compared, on the truth: the brain, or of CT the head.
    """

    name: str
    group: str
    target: str
    years: float
    source: Array
    truth: Array
    sampling: VectorField
    classes: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    brain_after: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    stripped: bool

    @property
    def grid(self) -> Grid:
        return self.sampling.grid


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says.

    ``sampling`` and ``motion`` are None where it moves nothing; ``recomposition`` is the largest difference between
    the image and what its parts give.
    """

    image: Array
    sampling: VectorField | None = None
    motion: VectorField | None = None
    recomposition: float = 0.0


@dataclass(frozen=True)
class Row:
    """One method on one case."""

    method: str
    group: str
    case: str
    years: float
    figures: dict[str, float] = field(default_factory=dict)


Method = Callable[[AgeingCase], Answer]
#: Tissue classes of an image in any contrast, a CT in HU.
Segmenter = Callable[[Array], NDArray[np.uint8]]


def figures_of(case: AgeingCase, given: Answer, segment: Segmenter, seen: NDArray[np.uint8]) -> dict[str, float]:
    """The columns for one answer; ``seen`` is the segmentation of the source."""
    zero = VectorField(np.zeros_like(case.sampling.array), case.sampling.affine)
    sampling, span = given.sampling or zero, SPANS[case.target]
    miss = VectorField(sampling.array - case.sampling.array, sampling.affine).magnitude()[case.brain_after]
    image, truth = (in_own_units(array, case.target) for array in (given.image, case.truth))
    found = np.where(case.brain_after, segment(image), 0)
    figures = {
        "psnr": quality.psnr(image, truth, case.judged, span),
        "ssim": quality.ssim(image, truth, case.judged, span),
        "miss": float(miss.mean()),
        "miss_p95": float(np.percentile(miss, 95)),
        "recomposition": given.recomposition,
    }
    if case.target == "CT":
        figures["mae"] = quality.mean_absolute_error(image, truth, case.judged)
        figures["mae_brain"] = quality.mean_absolute_error(image, truth, case.brain_after)
        figures["dice_bone"] = quality.dice((image > BONE_HU) & case.judged, (truth > BONE_HU) & case.judged)
    carried = np.where(case.brain_after, _carried(seen, sampling), 0)
    figures["dice"], figures["hd95"] = _agreement(carried, found, case.grid)
    known = np.where(case.brain_after, _carried(case.classes, sampling), 0)
    figures["dice_known"], _ = _agreement(known, found, case.grid)
    if given.motion is not None and given.sampling is not None:
        figures["folded"] = float(np.count_nonzero(fields.jacobian(given.motion).array <= 0))
        round_trip = fields.compose(given.motion, given.sampling).magnitude()
        figures["inverse"] = float(round_trip[case.brain_after].mean())
        figures["motion_p99"] = float(np.percentile(given.motion.magnitude()[case.brain], 99))
    return figures


def _carried(classes: NDArray[np.uint8], sampling: VectorField) -> NDArray[np.uint8]:
    moved = fields.warp(Volume(classes.astype(np.float32), sampling.affine), sampling, mode="nearest")
    return np.rint(moved.array).astype(np.uint8)


def _agreement(one: NDArray[np.uint8], other: NDArray[np.uint8], grid: Grid) -> tuple[float, float]:
    """Mean Dice and mean 95th percentile of the Hausdorff distance over the tissues; one that only one holds has 0."""
    tissues = [n for n in BRAIN_CLASSES if (one == n).any() or (other == n).any()]
    found = agreement(one, Volume(other.astype(np.float32), grid.affine), tissues)
    overlaps = [0.0 if overlap is None else overlap for overlap, _ in found.values()]
    distances = [distance for _, distance in found.values() if distance is not None]
    return float(np.mean(overlaps)), float(np.mean(distances)) if distances else float("nan")


def run_table(
    cases: Iterable[AgeingCase],
    methods: Mapping[str, Method],
    segment: Segmenter,
    features: Features | None = None,
) -> list[Row]:
    """Every method on every case; with ``features`` also how unlike the other cases' true scans its images are."""
    rows, cases = [], list(cases)
    real = [features(case.truth, case.judged) for case in cases] if features is not None else []
    for index, case in enumerate(cases):
        seen = segment(case.source)
        others = [r for n, r in enumerate(real) if n != index and _of_a_kind(cases[n], case)]
        reference = np.concatenate(others) if others else None
        for name, method in methods.items():
            answer = method(case)
            figures = figures_of(case, answer, segment, seen)
            if features is not None and reference is not None:
                figures["unlike"] = kernel_distance(features(answer.image, case.judged), reference)
            rows.append(Row(name, case.group, case.name, case.years, figures))
    return rows


def _of_a_kind(one: AgeingCase, other: AgeingCase) -> bool:
    return one.group == other.group and one.target == other.target


def summarise(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean of each column by group and method; of folded voxels the sum, of the recomposition the largest."""
    gathered: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        columns = gathered.setdefault(row.group, {}).setdefault(row.method, {})
        for column, value in row.figures.items():
            columns.setdefault(column, []).append(value)
    how: dict[str, Callable[[list[float]], float]] = {"folded": sum, "recomposition": max}
    return {
        group: {
            m: {c: float(how.get(c, lambda values: float(np.nanmean(values)))(v)) for c, v in columns.items()}
            for m, columns in methods.items()
        }
        for group, methods in gathered.items()
    }


def as_markdown(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The tables as documents show them."""
    lines = []
    for group, methods in summary.items():
        columns = [c for c in TITLES if any(c in figures for figures in methods.values())]
        lines += [f"### {group}", "", "| method | " + " | ".join(TITLES[c] for c in columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for method, figures in methods.items():
            lines.append(f"| {method} | " + " | ".join(_number(c, figures) for c in columns) + " |")
        lines.append("")
    return "\n".join(lines)


def _number(column: str, figures: Mapping[str, float]) -> str:
    if column not in figures:
        return ""
    value = figures[column]
    if column == "folded":
        return f"{value:.0f}"
    if column == "recomposition":
        return f"{value:.1g}" if value else "0"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
