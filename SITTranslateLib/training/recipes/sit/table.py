"""Table of SIT on simulated scans with known change, with the identity baseline.

Rows: identity, raw generator, SIT; columns below. Every image figure is computed the same way for every
row, from the images alone; displacement and the share of the intensity change use what each row states (a row without
a field states that nothing moved, a raw generator's intensity change is output minus input).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib import fields
from SITTranslateLib.evaluation.table import Column, Prediction, Table, Unit, measure
from SITTranslateLib.simulation import SimulatedPair
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.translate.normalisation import IntensityRange, percentile_range
from SITTranslateLib.volume import VectorField

LATERAL_VENTRICLES = (4, 5, 43, 44)
COLUMNS = {
    "rmse_change": Column("RMSE inside the true-change mask (% of range)", 2),
    "rmse_brain": Column("RMSE in the brain (% of range)", 2),
    "ventricle_error": Column("lateral ventricle volume change, absolute error (% of volume)", 2),
    "displacement_error": Column("displacement error in the brain, mean (mm)", 2),
    "displacement_p95": Column("displacement error in the brain, p95 (mm)", 2),
    "right_place": Column("share of the intensity change in the right place (%)", 2),
}
_UNITS = {"displacement_error": "mm", "displacement_p95": "mm"}
#: Name and unit of each column on a model card.
CARD = {name: (column.title, _UNITS.get(name, "%")) for name, column in COLUMNS.items()}


def ventricle_volume(image: NDArray[np.float32], labels: NDArray[np.integer], scale: IntensityRange) -> float:
    """Lateral ventricle volume (voxels) by partial-volume fraction between CSF and white matter.

    Only the image decides, inside a region that holds the ventricles before and after: the same measure for every row.
    """
    ventricles = np.isin(labels, LATERAL_VENTRICLES)
    region = ndimage.binary_dilation(ventricles, iterations=4)
    white = np.isin(labels, (2, 41)) & region
    inside = ndimage.binary_erosion(ventricles)
    fluid = float(np.median(image[inside if inside.any() else ventricles]))
    tissue = float(np.median(image[white])) if white.any() else scale.high
    fraction = np.clip((tissue - image[region]) / (tissue - fluid), 0.0, 1.0)
    return float(fraction.sum())


def figures_of(pair: SimulatedPair, given: Prediction) -> dict[str, float]:
    """The columns for one prediction on one pair; a method without a field counts as no motion."""
    scale = percentile_range(pair.source.array)
    brain, change = pair.brain_mask > 0, pair.change_mask > 0
    error = (given.image - pair.target.array) / scale.width
    true_volume = ventricle_volume(pair.target.array, pair.labels.array, scale)
    before = ventricle_volume(pair.source.array, pair.labels.array, scale)
    sampling = np.zeros_like(pair.sampling.array) if given.sampling is None else given.sampling.array
    miss = np.linalg.norm(sampling - pair.sampling.array, axis=-1)[brain]
    touched = ndimage.binary_dilation(np.abs(pair.intensity_change.array) > 0.01 * scale.width)
    change_given = np.zeros_like(given.image) if given.intensity_change is None else given.intensity_change
    stated = np.abs(change_given)[brain]
    figures = {
        "rmse_change": 100 * float(np.sqrt(np.mean(error[change] ** 2))) if change.any() else float("nan"),
        "rmse_brain": 100 * float(np.sqrt(np.mean(error[brain] ** 2))),
        "ventricle_error": 100
        * abs(ventricle_volume(given.image, pair.labels.array, scale) - true_volume)
        / max(before, 1.0),
        "displacement_error": float(miss.mean()),
        "displacement_p95": float(np.percentile(miss, 95)),
        "right_place": float("nan"),
    }
    if touched.any():
        total = float(stated.sum())
        figures["right_place"] = 100 * float(stated[touched[brain]].sum()) / total if total > 0 else 0.0
    return figures


def identity(pair: SimulatedPair) -> Prediction:
    """The source as it is."""
    return Prediction(pair.source.array, Unit.NATIVE)


@torch.no_grad()
def by_network(network: SITNetwork, pair: SimulatedPair) -> Prediction:
    """A SIT network (raw, it, dt or dit) on a pair's own grid, as the pipeline runs it."""
    scale = percentile_range(pair.source.array)
    image = torch.from_numpy(scale.normalise(pair.source.array))[None, None]
    request = {name: value for name, value in pair.attributes.items() if value != 0}
    output = network.translate(image, request, pair.source.affine)
    given = Prediction(scale.restore(output.translated[0, 0].numpy()), Unit.NATIVE)
    if output.velocity is not None:
        velocity = VectorField(output.velocity[0].permute(1, 2, 3, 0).numpy(), pair.source.affine)
        given = replace(given, sampling=fields.exponential(velocity, -1.0))
    if output.intensity_change is not None:
        change = output.intensity_change[0, 0].numpy() * np.float32(scale.width)
        return replace(given, intensity_change=change)
    return replace(given, intensity_change=given.image - pair.source.array) if network.variant == "raw" else given


def table_of(
    pairs: Mapping[str, list[SimulatedPair]], methods: Mapping[str, Callable[[SimulatedPair], Prediction]]
) -> Table:
    """Every method on every pair; ``pairs`` by scanner."""
    rows = [
        row
        for scanner, group in pairs.items()
        for index, pair in enumerate(group)
        for row in measure([pair], methods, figures_of, lambda _, n=index, s=scanner: (s, str(n)))  # type: ignore[misc]
    ]
    return Table(COLUMNS, rows)
