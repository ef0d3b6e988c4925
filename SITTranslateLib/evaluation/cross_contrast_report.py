"""Running the tables between two contrasts: methods from networks and baselines, files for documents and cards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.evaluation.baselines import fit_transfer_curve, mean_image
from SITTranslateLib.evaluation.cross_contrast_table import (
    Case,
    Method,
    Prediction,
    Row,
    Segmenter,
    as_markdown,
    run_table,
    summarise,
)
from SITTranslateLib.evaluation.metrics import matched_linearly
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.translate.normalisation import HOUNSFIELD, to_native
from SITTranslateLib.translate.preparation import with_fluid

Array = NDArray[np.float32]


def by_network(network: Any, fluid: float = 0.0) -> Method:
    """A network as a method; CT comes out in HU. ``fluid``: as in a card's normalisation."""

    def method(case: Case) -> Prediction:
        filled = with_fluid(case.source, fluid, case.spacing[0]) if fluid and case.stripped else case.source
        with torch.inference_mode():
            output = network.translate(torch.from_numpy(np.ascontiguousarray(filled))[None, None], {}, np.eye(4))
        image = output.translated[0, 0].numpy()
        labels = output.labels.get("segmentation")
        return Prediction(
            to_native(image, HOUNSFIELD) if case.target == "CT" else image,
            None if labels is None else labels[0, 0].numpy().astype(np.uint8),
        )

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


def baselines(training: Sequence[Case]) -> dict[str, Method]:
    """Do nothing, best global transfer curve, mean image: the last two from training cases of the same kind."""
    curves = {
        stripped: fit_transfer_curve((c.source[c.head], c.truth[c.head]) for c in training if c.stripped == stripped)
        for stripped in {c.stripped for c in training}
    }
    means = {
        stripped: mean_image(c.truth for c in training if c.stripped == stripped)
        for stripped in {c.stripped for c in training}
    }

    def nothing(case: Case) -> Prediction:
        return Prediction(to_native(case.source, HOUNSFIELD) if case.target == "CT" else case.source)

    def mean(case: Case) -> Prediction:
        image = means[case.stripped]
        return Prediction(image if image.shape == case.source.shape else np.zeros_like(case.source))

    return {
        "do nothing": nothing,
        "best global transfer curve": lambda case: Prediction(curves[case.stripped](case.source)),
        "mean image": mean,
    }


def acquired(case: Case) -> Prediction:
    """The target's own scan: what noise, bias and blur alone cost."""
    return Prediction(case.truth if case.acquired is None else case.acquired)


def matched(method: Method) -> Method:
    """A method whose image gets the gain and offset that suit the truth best; for real MR."""
    return lambda case: Prediction(matched_linearly(method(case).image, case.truth, case.brain))


def own_curve(case: Case) -> Prediction:
    """The transfer curve of this very pair: no curve can be better."""
    curve = fit_transfer_curve([(case.source[case.brain], case.truth[case.brain])])
    return Prediction(np.where(case.head, curve(case.source), np.float32(0.0)))


def run(
    cases: Iterable[Case], methods: Mapping[str, Method], folder: Path, name: str, segmenter: Segmenter | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """The table of some methods; writes ``NAME.md`` and ``NAME.json`` and returns the means."""
    rows: list[Row] = run_table(cases, methods, segmenter)
    summary = summarise(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(as_markdown(summary), encoding="utf-8")
    records = {"summary": summary, "rows": [vars(row) for row in rows]}
    (folder / f"{name}.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    return summary


def card_figures(
    summary: Mapping[str, Mapping[str, Mapping[str, float]]], method: str, columns: Mapping[str, tuple[str, str]]
) -> list[dict[str, Any]]:
    """Figures of one method for a model card, beside doing nothing; ``columns``: name and unit of each."""
    return [
        {
            "name": f"{title}, {group}",
            "value": round(figures[method][column], 3),
            "unit": unit,
            "baseline": round(figures["do nothing"][column], 3) if column in figures["do nothing"] else None,
            "note": "held-out simulated scans" if "real" not in group else "one person",
        }
        for group, figures in summary.items()
        if method in figures
        for column, (title, unit) in columns.items()
        if column in figures[method]
    ]
