"""Baselines of the tables between contrasts: identity, transfer curves, the mean of the target's scans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.evaluation.cases import Case, Method, unit_of
from SITTranslateLib.evaluation.metrics import matched_linearly
from SITTranslateLib.evaluation.table import IDENTITY, Prediction, Unit

BINS, RANGE = 200, (0.0, 3.0)


@dataclass(frozen=True, eq=False)
class TransferCurve:
    """``E[target | source]`` over voxels: the best that can be done from a voxel's own intensity, with pairs."""

    centres: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.interp(source, self.centres, self.values).astype(np.float32)


def fit_transfer_curve(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> TransferCurve:
    """The curve of voxels ``(source, target)``, one pair of flat arrays a scan."""
    edges = np.linspace(*RANGE, BINS + 1)
    total, count = np.zeros(BINS), np.zeros(BINS)
    for source, target in pairs:
        where = np.clip(np.digitize(source, edges) - 1, 0, BINS - 1)
        total += np.bincount(where, weights=target, minlength=BINS)
        count += np.bincount(where, minlength=BINS)
    filled = count >= 20
    centres = 0.5 * (edges[1:] + edges[:-1])
    return TransferCurve(centres[filled], total[filled] / count[filled])


def mean_image(targets: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Voxelwise mean of scans on one grid: a prediction without the input."""
    total, count = None, 0
    for target in targets:
        total = target.astype(np.float64) if total is None else total + target
        count += 1
    if total is None:
        raise ValueError("there is no scan to take the mean of")
    return np.asarray(total / count, dtype=np.float32)


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
