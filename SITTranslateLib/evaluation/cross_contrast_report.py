"""Methods of the tables between contrasts: networks, baselines and upper bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.evaluation.baselines import fit_transfer_curve, mean_image
from SITTranslateLib.evaluation.cross_contrast_table import COLUMNS, Case, Method, Segmenter, figures_of
from SITTranslateLib.evaluation.metrics import matched_linearly
from SITTranslateLib.evaluation.table import IDENTITY, Prediction, Table, Unit, measure
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.translate.preparation import with_fluid

Array = NDArray[np.float32]


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


def unit_of(target: str) -> Unit:
    """The unit of a case's truth: HU of CT, network units of MR."""
    return Unit.HU if target == "CT" else Unit.NETWORK


def identity(case: Any) -> Prediction:
    """The source as it is."""
    return Prediction(case.source, Unit.NETWORK)


def baselines(training: Sequence[Case]) -> dict[str, Method]:
    """Identity, best global transfer curve, mean image: the last two from training cases of the same kind."""
    kinds = {case.stripped for case in training}
    fitted = {kind: [case for case in training if case.stripped == kind] for kind in kinds}
    curves = {k: fit_transfer_curve((c.source[c.head], c.truth[c.head]) for c in some) for k, some in fitted.items()}
    means = {kind: mean_image(case.truth for case in some) for kind, some in fitted.items()}

    def mean(case: Case) -> Prediction:
        image = means[case.stripped]
        return Prediction(
            image if image.shape == case.source.shape else np.zeros_like(case.source), unit_of(case.target)
        )

    return {
        IDENTITY: identity,
        "best global transfer curve": lambda c: Prediction(curves[c.stripped](c.source), unit_of(c.target)),
        "mean image": mean,
    }


def acquired(case: Case) -> Prediction:
    """The target's own scan: what noise, bias and blur alone cost."""
    return Prediction(case.truth if case.acquired is None else case.acquired, unit_of(case.target))


def matched(method: Method) -> Method:
    """A method whose image gets the gain and offset that suit the truth best; for real MR."""

    def fitted(case: Case) -> Prediction:
        image = matched_linearly(method(case).measured(case.target), case.truth, case.brain)
        return Prediction(image, unit_of(case.target))

    return fitted


def own_curve(case: Case) -> Prediction:
    """The transfer curve of this very pair: no curve can be better."""
    curve = fit_transfer_curve([(case.source[case.brain], case.truth[case.brain])])
    return Prediction(np.where(case.head, curve(case.source), np.float32(0.0)), unit_of(case.target))


def table_of(cases: Iterable[Case], methods: Mapping[str, Method], segmenter: Segmenter | None = None) -> Table:
    """The table of some methods; ``segmenter`` labels images of the target contrast."""
    return Table(COLUMNS, measure(cases, methods, lambda case, given: figures_of(case, given, segmenter)))
