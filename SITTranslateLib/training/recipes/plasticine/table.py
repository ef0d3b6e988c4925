"""Plasticine's table: image quality, agreement of image and field, and accuracy of the field.

Every method answers every case: a T1w scan of a held-out head, and the T2w or CT of the same head some years later,
whose motion is known. Images are in network units (of MR the head's median is 0.5), fields in mm; a CT is judged in HU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.cases import BONE_HU, SPANS
from SITTranslateLib.evaluation.patch_kid import Features, kernel_distance
from SITTranslateLib.evaluation.table import Array, Column, Prediction, Table, measure
from SITTranslateLib.traceability.overlap import agreement
from SITTranslateLib.translate.normalisation import in_own_units
from SITTranslateLib.volume import Grid, VectorField, Volume

#: Brain tissues of :data:`SITTranslateLib.segmentation.CLASSES` that segmentations are compared by.
BRAIN_CLASSES = [1, 2, 3, 4]
COLUMNS = {
    "psnr": Column("PSNR (dB)", 2), "ssim": Column("SSIM", 3), "mae": Column("MAE (HU)"),
    "mae_brain": Column("MAE brain (HU)"), "dice_bone": Column("Dice bone (> 300 HU)", 3),
    "kid": Column("patch KID to real scans"), "dice": Column("Dice, carried to translated", 3),
    "hd95": Column("HD95 (mm)", 2), "dice_known": Column("Dice, known labels carried", 3),
    "miss": Column("displacement error, mean (mm)", 3), "miss_p95": Column("displacement error, p95 (mm)", 2),
    "motion_p99": Column("longest motion, p99 (mm)", 2), "folded": Column("folded voxels", 0, "sum"),
    "inverse": Column("inverse error, mean (mm)", 3),
    "recomposition": Column("recomposition error (network units)", None, "max"),
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


Method = Callable[[AgeingCase], Prediction]
#: Tissue classes of an image in any contrast, a CT in HU.
Segmenter = Callable[[Array], NDArray[np.uint8]]


def figures_of(
    case: AgeingCase, given: Prediction, segment: Segmenter, source_classes: NDArray[np.uint8]
) -> dict[str, float]:
    """The columns for one prediction; ``source_classes`` is the segmentation of the source."""
    zero = VectorField(np.zeros_like(case.sampling.array), case.sampling.affine)
    sampling, span = given.sampling or zero, SPANS[case.target]
    miss = VectorField(sampling.array - case.sampling.array, sampling.affine).magnitude()[case.brain_after]
    image, truth = given.measured(case.target), in_own_units(case.truth, case.target)
    image_classes = np.where(case.brain_after, segment(image), 0)
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
    carried = np.where(case.brain_after, _carried(source_classes, sampling), 0)
    figures["dice"], figures["hd95"] = _agreement(carried, image_classes, case.grid)
    known = np.where(case.brain_after, _carried(case.classes, sampling), 0)
    figures["dice_known"], _ = _agreement(known, image_classes, case.grid)
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
    image_classes = agreement(one, Volume(other.astype(np.float32), grid.affine), tissues)
    overlaps = [0.0 if overlap is None else overlap for overlap, _ in image_classes.values()]
    distances = [distance for _, distance in image_classes.values() if distance is not None]
    return float(np.mean(overlaps)), float(np.mean(distances)) if distances else float("nan")


def table_of(
    cases: Iterable[AgeingCase],
    methods: Mapping[str, Method],
    segment: Segmenter,
    features: Features | None = None,
) -> Table:
    """Every method on every case; with ``features`` also the kernel distance to the other cases' true scans."""
    rows, cases = [], list(cases)
    real = [features(case.truth, case.judged) for case in cases] if features is not None else []
    for index, case in enumerate(cases):
        labelled = segment(case.source)
        others = [r for n, r in enumerate(real) if n != index and _of_a_kind(cases[n], case)]
        reference = np.concatenate(others) if others else None

        def figures(
            case: AgeingCase,
            given: Prediction,
            labelled: NDArray[np.uint8] = labelled,
            reference: NDArray[np.floating] | None = reference,
        ) -> dict[str, float]:
            columns = figures_of(case, given, segment, labelled)
            if features is not None and reference is not None:
                image = given.in_network_units(case.target)
                columns["kid"] = kernel_distance(features(image, case.judged), reference)
            return columns

        rows += measure([case], methods, figures)
    return Table(COLUMNS, rows)


def _of_a_kind(one: AgeingCase, other: AgeingCase) -> bool:
    return one.group == other.group and one.target == other.target
