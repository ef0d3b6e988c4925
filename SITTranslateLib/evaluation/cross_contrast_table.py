"""The tables of SA-UNIT and SASAN: every method on every case, in-mask, with the rows that must be beaten.

Values are in network units for MR (the head's median is 0.5) and in HU for CT; ranges are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.evaluation import metrics as quality

Array = NDArray[np.float32]
#: Fixed range of each contrast, for SSIM and PSNR: black to cerebrospinal fluid, white matter, cortical bone.
SPANS = {"T1w": 1.0, "T1wGd": 1.0, "T2w": 1.5, "FLAIR": 1.0, "PD": 1.0, "CT": 2600.0}
#: Of CT inside the brain: a radiologist's brain window.
BRAIN_WINDOW_HU = 80.0
TISSUES = {"CSF": 1, "grey matter": 2, "white matter": 3}
BONE_HU = 300.0
TITLES = {
    "ssim": "SSIM", "psnr": "PSNR (dB)", "mae": "MAE", "rmse": "RMSE", "pcc": "PCC",
    "dice_csf": "Dice CSF", "dice_grey": "Dice grey", "dice_white": "Dice white", "dice": "tissue Dice, mean",
    "flicker": "flicker", "gradient": "through-plane gradient error",
    "ssim_brain": "SSIM brain, 80 HU", "mae_brain": "MAE brain (HU)", "dice_bone": "Dice bone (> 300 HU)",
    "own_dice": "own segmentation Dice", "own_assd": "own segmentation ASSD (mm)",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Case:
    """A scan whose translation is known.

    Attributes:
        group: what it counts towards (a scanner range, a real scan).
        source, truth: ``(K, J, I)``; network units, CT truth in HU.
        acquired: the target as its scanner gives it, for the row that shows what noise alone costs.
        brain, head: masks.
        classes: 1 CSF, 2 grey, 3 white, or None where nobody drew them.
        stripped: the skull was taken off.
    """

    name: str
    group: str
    target: str
    source: Array
    truth: Array
    acquired: Array | None
    brain: NDArray[np.bool_]
    head: NDArray[np.bool_]
    classes: NDArray[np.uint8] | None
    stripped: bool
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says: the image, and its own segmentation of the source if it makes one."""

    image: Array
    segmentation: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Row:
    """One method on one case."""

    method: str
    group: str
    case: str
    figures: dict[str, float] = field(default_factory=dict)


Method = Callable[[Case], Prediction]
Segmenter = Callable[[Array], NDArray[np.uint8]]


def figures_of(case: Case, given: Prediction, segmenter: Segmenter | None) -> dict[str, float]:
    """The columns for one prediction; ``segmenter`` labels an image of the target contrast."""
    image, truth = given.image, case.truth
    span, mask = SPANS[case.target], case.head if case.target == "CT" else case.brain
    figures = {
        "ssim": quality.ssim(image, truth, mask, span),
        "psnr": quality.psnr(image, truth, mask, span),
        "mae": quality.mean_absolute_error(image, truth, mask),
        "rmse": quality.root_mean_square(image, truth, mask),
        "pcc": quality.correlation(image, truth, mask),
        "flicker": quality.flicker(image, truth, case.brain),
        "gradient": quality.through_plane_error(image, truth, mask),
    }
    if case.target == "CT":
        figures["ssim_brain"] = quality.ssim(image, truth, case.brain, BRAIN_WINDOW_HU)
        figures["mae_brain"] = quality.mean_absolute_error(image, truth, case.brain)
        figures["dice_bone"] = quality.dice((image > BONE_HU) & case.head, (truth > BONE_HU) & case.head)
    if segmenter is not None and case.classes is not None:
        found = segmenter(image)
        each = [quality.dice((found == n) & case.brain, (case.classes == n) & case.brain) for n in TISSUES.values()]
        figures |= dict(zip(("dice_csf", "dice_grey", "dice_white"), each, strict=True))
        figures["dice"] = float(np.mean(each))
    if given.segmentation is not None and case.classes is not None:
        pairs = [((given.segmentation == n) & case.brain, (case.classes == n) & case.brain) for n in TISSUES.values()]
        figures["own_dice"] = float(np.mean([quality.dice(a, b) for a, b in pairs]))
        figures["own_assd"] = float(np.nanmean([quality.surface_distance(a, b, case.spacing) for a, b in pairs]))
    return figures


def run_table(cases: Iterable[Case], methods: Mapping[str, Method], segmenter: Segmenter | None = None) -> list[Row]:
    """Every method on every case, the truth's own segmentation among them."""
    rows = []
    for case in cases:
        for name, method in methods.items():
            given = method(case)
            rows.append(Row(name, case.group, case.name, figures_of(case, given, segmenter)))
    return rows


def summarise(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean of each column by group and method."""
    gathered: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        columns = gathered.setdefault(row.group, {}).setdefault(row.method, {})
        for column, value in row.figures.items():
            columns.setdefault(column, []).append(value)
    return {
        group: {m: {c: float(np.nanmean(v)) for c, v in columns.items()} for m, columns in methods.items()}
        for group, methods in gathered.items()
    }


def as_markdown(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The tables as documents show them; a column is there if any row of the group has it."""
    lines = []
    for group, methods in summary.items():
        columns = [c for c in TITLES if any(c in figures for figures in methods.values())]
        lines += [f"### {group}", "", "| method | " + " | ".join(TITLES[c] for c in columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for method, figures in methods.items():
            cells = (_number(figures[c]) if c in figures else "" for c in columns)
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"
