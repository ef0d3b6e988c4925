"""Cases and columns of the tables between contrasts: in-mask, with fixed ranges.

Values are in network units for MR (the head's median is 0.5) and in HU for CT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.table import Array, Column, Prediction

#: Fixed range of each contrast, for SSIM and PSNR: black to cerebrospinal fluid, white matter, cortical bone.
SPANS = {"T1w": 1.0, "T1wGd": 1.0, "T2w": 1.5, "FLAIR": 1.0, "PD": 1.0, "CT": 2600.0}
#: Of CT inside the brain: a radiologist's brain window.
BRAIN_WINDOW_HU = 80.0
TISSUES = {"CSF": 1, "grey matter": 2, "white matter": 3}
BONE_HU = 300.0
COLUMNS = {
    "ssim": Column("SSIM"), "psnr": Column("PSNR (dB)"), "mae": Column("MAE"), "rmse": Column("RMSE"),
    "pcc": Column("PCC"), "dice_csf": Column("Dice CSF"), "dice_grey": Column("Dice grey"),
    "dice_white": Column("Dice white"), "dice": Column("tissue Dice, mean"), "flicker": Column("flicker"),
    "gradient": Column("through-plane gradient error"), "ssim_brain": Column("SSIM brain, 80 HU"),
    "mae_brain": Column("MAE brain (HU)"), "dice_bone": Column("Dice bone (> 300 HU)"),
    "own_dice": Column("own segmentation Dice"), "own_assd": Column("own segmentation ASSD (mm)"),
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


Method = Callable[[Case], Prediction]
Segmenter = Callable[[Array], NDArray[np.uint8]]


def figures_of(case: Case, given: Prediction, segmenter: Segmenter | None) -> dict[str, float]:
    """The columns for one prediction; ``segmenter`` labels an image of the target contrast."""
    image, truth = given.measured(case.target), case.truth
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
        labelled = segmenter(image)
        each = [quality.dice((labelled == n) & case.brain, (case.classes == n) & case.brain) for n in TISSUES.values()]
        figures |= dict(zip(("dice_csf", "dice_grey", "dice_white"), each, strict=True))
        figures["dice"] = float(np.mean(each))
    if given.segmentation is not None and case.classes is not None:
        pairs = [((given.segmentation == n) & case.brain, (case.classes == n) & case.brain) for n in TISSUES.values()]
        figures["own_dice"] = float(np.mean([quality.dice(a, b) for a, b in pairs]))
        figures["own_assd"] = float(np.nanmean([quality.surface_distance(a, b, case.spacing) for a, b in pairs]))
    return figures
