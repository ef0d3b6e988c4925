"""Methods of Plasticine's table, from networks and baselines, and the cost of its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.baselines import fit_transfer_curve, identity, mean_image
from SITTranslateLib.evaluation.cases import SPANS, unit_of
from SITTranslateLib.evaluation.table import IDENTITY, Array, Prediction, Unit
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.systems.plasticine.network import PlasticineNetwork
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities
from SITTranslateLib.training.recipes.plasticine.table import AgeingCase, Method, Segmenter
from SITTranslateLib.translate.normalisation import in_own_units
from SITTranslateLib.volume import VectorField, Volume

#: Figures of the model's card; of CT those of the head.
_IMAGE = {"psnr": ("PSNR in the brain", "dB"), "ssim": ("SSIM in the brain", "")}
_IMAGE_CT = {
    "mae": ("MAE", "HU"),
    "psnr": ("PSNR", "dB"),
    "ssim": ("SSIM", ""),
    "dice_bone": ("Dice of bone", ""),
}
_TRACED = {
    "dice": ("Dice of the carried segmentation with that of the translated scan (identity: with itself)", ""),
    "miss": ("displacement error in the brain, mean", "mm"),
    "inverse": ("inverse error, mean", "mm"),
}


def _batch(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


def by_network(network: PlasticineNetwork, *, moves: bool = True, seed: int = 0) -> Method:
    """A network as a method; asked for no ageing unless ``moves``."""

    def method(case: AgeingCase) -> Prediction:
        torch.manual_seed(seed)
        request = {network.attribute: case.years} if moves else {}
        with torch.inference_mode():
            output = network.translate(_batch(case.source), request, case.grid.affine)
        image = output.translated[0, 0].numpy()
        if output.velocity is None or output.intensity_change is None or not moves:
            return Prediction(image, Unit.NETWORK)
        velocity = VectorField(np.moveaxis(output.velocity[0].numpy(), 0, -1), case.grid.affine)
        sampling, motion = fields.exponential(velocity, -1.0), fields.exponential(velocity)
        unmoved = case.source + output.intensity_change[0, 0].numpy()
        volume = fields.warp(Volume(unmoved, case.grid.affine), sampling)
        recomposition = float(np.abs(volume.array - image).max())
        return Prediction(image, Unit.NETWORK, sampling=sampling, motion=motion, recomposition=recomposition)

    return method


def by_regression(network: PlasticineNetwork) -> Method:
    """A renderer that was shown the source itself."""

    def method(case: AgeingCase) -> Prediction:
        with torch.inference_mode():
            output = network.translate(_batch(case.source), {}, case.grid.affine)
        return Prediction(output.translated[0, 0].numpy(), Unit.NETWORK)

    return method


def baselines(training: Sequence[AgeingCase]) -> dict[str, Method]:
    """Identity, best global transfer curve, mean image; the last two from unmoved training cases.

    They are fitted in the units of the metrics, in which a mean is the best.
    """
    kinds = {case.stripped for case in training}
    target = training[0].target
    fitted = {kind: [(c, in_own_units(c.truth, target)) for c in training if c.stripped == kind] for kind in kinds}
    curves = {
        kind: fit_transfer_curve((case.source[case.judged], truth[case.judged]) for case, truth in some)
        for kind, some in fitted.items()
    }
    means = {kind: mean_image(truth for _, truth in some) for kind, some in fitted.items()}
    unit = unit_of(target)
    return {
        IDENTITY: identity,
        "best global transfer curve": lambda case: Prediction(curves[case.stripped](case.source), unit),
        "mean image": lambda case: Prediction(means[case.stripped], unit),
    }


def the_truth(case: AgeingCase) -> Prediction:
    """The true image with the true field: what the segmenter alone costs."""
    return Prediction(case.truth, Unit.NETWORK, sampling=case.sampling)


def segmenting(network: TissueNetwork) -> Segmenter:
    """The tissue network as the judge of every image."""

    def segment(image: Array) -> NDArray[np.uint8]:
        with torch.inference_mode():
            return tissue_probabilities(network, _batch(image))[0].argmax(dim=0).numpy().astype(np.uint8)

    return segment


def steps_table(
    network: PlasticineNetwork, cases: Sequence[AgeingCase], choices: Iterable[tuple[int, int]]
) -> list[dict[str, float]]:
    """Quality and CPU-seconds by steps and samples, nothing moved; the network is left as it was."""
    before = network.steps, network.samples
    still = [case for case in cases if case.years == 0.0]
    rows = []
    for steps, samples in choices:
        network.steps, network.samples = steps, samples
        method, started = by_network(network, moves=False), time.process_time()
        answers = [method(case) for case in still]
        seconds = (time.process_time() - started) / len(still)
        figures = _mean(quality.psnr, answers, still), _mean(quality.ssim, answers, still)
        rows.append(
            {"steps": steps, "samples": samples, "psnr": figures[0], "ssim": figures[1], "cpu_seconds": seconds}
        )
    network.steps, network.samples = before
    return rows


def _mean(metric: Callable[..., float], answers: Sequence[Prediction], cases: Sequence[AgeingCase]) -> float:
    return float(
        np.mean(
            [
                metric(
                    answer.measured(case.target),
                    in_own_units(case.truth, case.target),
                    case.judged,
                    SPANS[case.target],
                )
                for answer, case in zip(answers, cases, strict=True)
            ]
        )
    )


def card_columns(target: str) -> dict[str, tuple[str, str]]:
    """Name and unit of the columns that a model card shows."""
    return (_IMAGE_CT if target == "CT" else _IMAGE) | _TRACED
