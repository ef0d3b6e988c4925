"""The table of SIT on simulated scans whose true change is known, each row beside doing nothing.

Rows: identity (do nothing), raw generator, SIT; columns below. Every image figure is computed the same way for every
row, from the images alone; displacement and the share of the intensity change use what each row states (a row without
a field states that nothing moved, a raw generator's intensity change is output minus input).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib import fields
from SITTranslateLib.simulation import SimulatedPair
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.translate.normalisation import IntensityRange, percentile_range
from SITTranslateLib.volume import VectorField

LATERAL_VENTRICLES = (4, 5, 43, 44)
COLUMNS = {
    "rmse_change": "RMSE inside the true-change mask (% of range)",
    "rmse_brain": "RMSE in the brain (% of range)",
    "ventricle_error": "lateral ventricle volume change, absolute error (% of volume)",
    "displacement_error": "displacement error in the brain, mean (mm)",
    "displacement_p95": "displacement error in the brain, p95 (mm)",
    "right_place": "share of the intensity change in the right place (%)",
}


@dataclass(frozen=True)
class Row:
    """One method on one pair."""

    method: str
    scanner: str
    pair: int
    figures: dict[str, float]


def ventricle_volume(image: NDArray[np.float32], labels: NDArray[np.integer], scale: IntensityRange) -> float:
    """Lateral ventricle volume (voxels) by partial-volume fraction between CSF and white matter.

    Only the image decides, inside a region that holds the ventricles before and after: the same ruler for every row.
    """
    ventricles = np.isin(labels, LATERAL_VENTRICLES)
    region = ndimage.binary_dilation(ventricles, iterations=4)
    white = np.isin(labels, (2, 41)) & region
    inside = ndimage.binary_erosion(ventricles)
    fluid = float(np.median(image[inside if inside.any() else ventricles]))
    tissue = float(np.median(image[white])) if white.any() else scale.high
    fraction = np.clip((tissue - image[region]) / (tissue - fluid), 0.0, 1.0)
    return float(fraction.sum())


def figures_of(pair: SimulatedPair, result: Result) -> dict[str, float]:
    """The columns for one result on one pair."""
    scale = percentile_range(pair.source.array)
    brain, change = pair.brain_mask > 0, pair.change_mask > 0
    error = (result.translated - pair.target.array) / scale.width
    true_volume = ventricle_volume(pair.target.array, pair.labels.array, scale)
    before = ventricle_volume(pair.source.array, pair.labels.array, scale)
    miss = np.linalg.norm(result.sampling - pair.sampling.array, axis=-1)[brain]
    touched = ndimage.binary_dilation(np.abs(pair.intensity_change.array) > 0.01 * scale.width)
    stated = np.abs(result.intensity_change)[brain]
    figures = {
        "rmse_change": 100 * float(np.sqrt(np.mean(error[change] ** 2))) if change.any() else float("nan"),
        "rmse_brain": 100 * float(np.sqrt(np.mean(error[brain] ** 2))),
        "ventricle_error": 100
        * abs(ventricle_volume(result.translated, pair.labels.array, scale) - true_volume)
        / max(before, 1.0),
        "displacement_error": float(miss.mean()),
        "displacement_p95": float(np.percentile(miss, 95)),
        "right_place": float("nan"),
    }
    if touched.any():
        total = float(stated.sum())
        figures["right_place"] = 100 * float(stated[touched[brain]].sum()) / total if total > 0 else 0.0
    return figures


@dataclass(frozen=True)
class Result:
    """What a method states: image (native units), sampling field (mm), intensity change (native units)."""

    translated: NDArray[np.float32]
    sampling: NDArray[np.float32]
    intensity_change: NDArray[np.float32]


def do_nothing(pair: SimulatedPair) -> Result:
    """The identity row."""
    source = pair.source.array
    return Result(source, np.zeros((*source.shape, 3), np.float32), np.zeros_like(source))


@torch.no_grad()
def by_network(network: SITNetwork, pair: SimulatedPair) -> Result:
    """A SIT network (raw, it, dt or dit) on a pair's own grid, as the pipeline runs it."""
    scale = percentile_range(pair.source.array)
    image = torch.from_numpy(scale.normalise(pair.source.array))[None, None]
    request = {name: value for name, value in pair.attributes.items() if value != 0}
    output = network.translate(image, request, pair.source.affine)
    translated = scale.restore(output.translated[0, 0].numpy())
    result = replace(do_nothing(pair), translated=translated)
    if output.velocity is not None:
        velocity = VectorField(output.velocity[0].permute(1, 2, 3, 0).numpy(), pair.source.affine)
        result = replace(result, sampling=fields.exponential(velocity, -1.0).array)
    if output.intensity_change is not None:
        result = replace(result, intensity_change=output.intensity_change[0, 0].numpy() * np.float32(scale.width))
    elif network.variant == "raw":
        result = replace(result, intensity_change=translated - pair.source.array)
    return result


def run_table(
    pairs: Mapping[str, list[SimulatedPair]], methods: Mapping[str, Callable[[SimulatedPair], Result]]
) -> list[Row]:
    """Every method on every pair; ``pairs`` by scanner."""
    return [
        Row(method, scanner, index, figures_of(pair, run(pair)))
        for scanner, group in pairs.items()
        for index, pair in enumerate(group)
        for method, run in methods.items()
    ]


def summarise(rows: list[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean of each column by scanner and method."""
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for scanner in dict.fromkeys(row.scanner for row in rows):
        methods = dict.fromkeys(row.method for row in rows)
        summary[scanner] = {
            method: {
                column: float(
                    np.nanmean([r.figures[column] for r in rows if r.method == method and r.scanner == scanner])
                )
                for column in COLUMNS
            }
            for method in methods
        }
    return summary


def over_seeds(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict[str, str]]]:
    """Mean and standard deviation over the runs of one method, which are named METHOD@SEED, as text."""
    combined: dict[str, dict[str, dict[str, str]]] = {}
    for scanner, methods in summary.items():
        groups: dict[str, list[Mapping[str, float]]] = {}
        for method, figures in methods.items():
            groups.setdefault(method.partition("@")[0], []).append(figures)
        combined[scanner] = {
            f"{name} ({len(runs)} seeds)" if len(runs) > 1 else name: {
                column: _mean_and_spread([run[column] for run in runs]) for column in COLUMNS
            }
            for name, runs in groups.items()
        }
    return combined


def _mean_and_spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return f"{mean} ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else mean


def as_markdown(summary: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """The table of :func:`over_seeds` as documents show it."""
    lines = []
    for scanner, methods in summary.items():
        lines += [f"### {scanner}", "", "| method | " + " | ".join(COLUMNS.values()) + " |"]
        lines.append("|---" * (len(COLUMNS) + 1) + "|")
        for method, figures in methods.items():
            lines.append(f"| {method} | " + " | ".join(figures[c] for c in COLUMNS) + " |")
        lines.append("")
    return "\n".join(lines)
