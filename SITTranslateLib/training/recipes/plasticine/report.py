"""Running Plasticine's table: methods from networks and baselines, files for documents and cards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.baselines import fit_transfer_curve, mean_image
from SITTranslateLib.evaluation.cross_contrast_table import SPANS
from SITTranslateLib.evaluation.patch_kid import Features
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.systems.plasticine.network import PlasticineNetwork
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities
from SITTranslateLib.training.recipes.plasticine.table import (
    AgeingCase,
    Answer,
    Array,
    Method,
    Segmenter,
    as_markdown,
    run_table,
    summarise,
)
from SITTranslateLib.translate.normalisation import from_own_units, in_own_units
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
    "dice": ("Dice of the carried segmentation with that of the translated scan (doing nothing: with itself)", ""),
    "miss": ("displacement error in the brain, mean", "mm"),
    "inverse": ("inverse error, mean", "mm"),
}


def _batch(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


def by_network(network: PlasticineNetwork, *, moves: bool = True, seed: int = 0) -> Method:
    """A network as a method; asked for no ageing unless ``moves``."""

    def method(case: AgeingCase) -> Answer:
        torch.manual_seed(seed)
        request = {network.attribute: case.years} if moves else {}
        with torch.inference_mode():
            output = network.translate(_batch(case.source), request, case.grid.affine)
        image = output.translated[0, 0].numpy()
        if output.velocity is None or output.intensity_change is None or not moves:
            return Answer(image)
        velocity = VectorField(np.moveaxis(output.velocity[0].numpy(), 0, -1), case.grid.affine)
        sampling, motion = fields.exponential(velocity, -1.0), fields.exponential(velocity)
        unmoved = case.source + output.intensity_change[0, 0].numpy()
        volume = fields.warp(Volume(unmoved, case.grid.affine), sampling)
        return Answer(image, sampling, motion, float(np.abs(volume.array - image).max()))

    return method


def by_regression(network: PlasticineNetwork) -> Method:
    """A renderer that was shown the source itself."""

    def method(case: AgeingCase) -> Answer:
        with torch.inference_mode():
            output = network.translate(_batch(case.source), {}, case.grid.affine)
        return Answer(output.translated[0, 0].numpy())

    return method


def baselines(training: Sequence[AgeingCase]) -> dict[str, Method]:
    """Do nothing, best global transfer curve, mean image; the last two from unmoved training cases."""
    kinds = {case.stripped for case in training}

    def truth(case: AgeingCase) -> Array:
        """In the units of the rulers, in which a mean is the best."""
        return in_own_units(case.truth, case.target)

    curves = {
        kind: fit_transfer_curve((c.source[c.judged], truth(c)[c.judged]) for c in training if c.stripped == kind)
        for kind in kinds
    }
    means = {kind: mean_image(truth(c) for c in training if c.stripped == kind) for kind in kinds}

    def answer(case: AgeingCase, image: Array) -> Answer:
        return Answer(from_own_units(image, case.target))

    return {
        "do nothing": lambda case: Answer(case.source),
        "best global transfer curve": lambda case: answer(case, curves[case.stripped](case.source)),
        "mean image": lambda case: answer(case, means[case.stripped]),
    }


def the_truth(case: AgeingCase) -> Answer:
    """The true image with the true field: what the segmenter alone costs."""
    return Answer(case.truth, case.sampling)


def segmenting(network: TissueNetwork) -> Segmenter:
    """The tissue network as the judge of every image."""

    def segment(image: Array) -> NDArray[np.uint8]:
        with torch.inference_mode():
            return tissue_probabilities(network, _batch(image))[0].argmax(dim=0).numpy().astype(np.uint8)

    return segment


def run(
    cases: Iterable[AgeingCase],
    methods: Mapping[str, Method],
    segment: Segmenter,
    folder: Path,
    features: Features | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """The table; writes ``plasticine.md`` and ``plasticine.json`` and returns the means."""
    rows = run_table(cases, methods, segment, features)
    summary = summarise(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plasticine.md").write_text(as_markdown(summary), encoding="utf-8")
    records = {"summary": summary, "rows": [vars(row) for row in rows]}
    (folder / "plasticine.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    return summary


def steps_table(
    network: PlasticineNetwork, cases: Sequence[AgeingCase], choices: Iterable[tuple[int, int]]
) -> list[dict[str, float]]:
    """Quality and CPU-seconds by steps and samples, nothing moved; the network is left as it was."""
    kept = network.steps, network.samples
    still = [case for case in cases if case.years == 0.0]
    found = []
    for steps, samples in choices:
        network.steps, network.samples = steps, samples
        method, started = by_network(network, moves=False), time.process_time()
        answers = [method(case).image for case in still]
        seconds = (time.process_time() - started) / len(still)
        figures = _mean(quality.psnr, answers, still), _mean(quality.ssim, answers, still)
        found.append(
            {"steps": steps, "samples": samples, "psnr": figures[0], "ssim": figures[1], "cpu_seconds": seconds}
        )
    network.steps, network.samples = kept
    return found


def _mean(ruler: Callable[..., float], images: Sequence[Array], cases: Sequence[AgeingCase]) -> float:
    found = []
    for image, case in zip(images, cases, strict=True):
        shown, truth = (in_own_units(array, case.target) for array in (image, case.truth))
        found.append(ruler(shown, truth, case.judged, SPANS[case.target]))
    return float(np.mean(found))


def card_figures(summary: Mapping[str, Mapping[str, Mapping[str, float]]], method: str) -> list[dict[str, Any]]:
    """Figures of one method for a model card, beside doing nothing."""
    return [
        {
            "name": f"{title}, {group}",
            "value": round(methods[method][column], 3),
            "unit": unit,
            "baseline": round(methods["do nothing"][column], 3) if column in methods["do nothing"] else None,
            "note": "held-out simulated scans",
        }
        for group, methods in summary.items()
        for column, (title, unit) in ((_IMAGE_CT if "mae" in methods[method] else _IMAGE) | _TRACED).items()
        if column in methods[method]
    ]
