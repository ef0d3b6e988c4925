"""Columns and methods of the tables between two contrasts: in-mask, with fixed ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.cases import BONE_HU, SPANS, Case, Method, unit_of
from SITTranslateLib.evaluation.table import Array, Column, Prediction, Table, Unit, measure
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.translate.preparation import with_fluid

#: Of CT inside the brain: a radiologist's brain window.
BRAIN_WINDOW_HU = 80.0
TISSUES = {"CSF": 1, "grey matter": 2, "white matter": 3}
COLUMNS = {
    "ssim": Column("SSIM"), "psnr": Column("PSNR (dB)"), "mae": Column("MAE"), "rmse": Column("RMSE"),
    "pcc": Column("PCC"), "dice_csf": Column("Dice CSF"), "dice_grey": Column("Dice grey"),
    "dice_white": Column("Dice white"), "dice": Column("tissue Dice, mean"), "flicker": Column("flicker"),
    "gradient": Column("through-plane gradient error"), "ssim_brain": Column("SSIM brain, 80 HU"),
    "mae_brain": Column("MAE brain (HU)"), "dice_bone": Column("Dice bone (> 300 HU)"),
    "own_dice": Column("own segmentation Dice"), "own_assd": Column("own segmentation ASSD (mm)"),
}  # fmt: skip

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


def by_network(network: Any, fluid: float = 0.0) -> Method:
    """A network as a method. ``fluid``: as in a card's normalisation."""

    def method(case: Case) -> Prediction:
        filled = with_fluid(case.source, fluid, case.spacing[0]) if fluid and case.stripped else case.source
        with torch.inference_mode():
            output = network.translate(torch.from_numpy(np.ascontiguousarray(filled))[None, None], {}, np.eye(4))
        image = output.translated[0, 0].numpy()
        labels = output.labels.get("segmentation")
        segmentation = None if labels is None else labels[0, 0].numpy().astype(np.uint8)
        return Prediction(image, Unit.NETWORK, segmentation)

    return method


def segmenting(network: Any) -> Segmenter:
    """A network with class outputs as the fixed segmenter of a table."""

    def segment(image: Array) -> NDArray[np.uint8]:
        def run(stack: torch.Tensor) -> torch.Tensor:
            middle = stack[:, stack.shape[1] // 2][:, None]
            classes = network(stack).argmax(dim=1, keepdim=True).float()
            return torch.cat((middle.expand(-1, stack.shape[1], -1, -1), classes), dim=1)

        with torch.inference_mode():
            whole = through_volume(
                run,
                torch.from_numpy(np.ascontiguousarray(image))[None, None],
                dims=network.dims,
                slices=network.slices,
                multiple=network.multiple,
            )
        return whole[0, -1].numpy().astype(np.uint8)

    return segment


def acquired(case: Case) -> Prediction:
    """The target's own scan: what noise, bias and blur alone cost."""
    return Prediction(case.truth if case.acquired is None else case.acquired, unit_of(case.target))


def table_of(cases: Iterable[Case], methods: Mapping[str, Method], segmenter: Segmenter | None = None) -> Table:
    """The table of some methods; ``segmenter`` labels images of the target contrast."""
    return Table(COLUMNS, measure(cases, methods, lambda case, given: figures_of(case, given, segmenter)))
