"""Contrast of a scan by its image: a small network on the spatial pattern in and around the brain.

Grey values become ranks, so that neither units nor a transfer curve matter. Counted is how often each rank lies on a
ridge, on a slope or in a plain (against the mean of its surroundings, two sizes of them, in the inner and the outer
brain): grey matter is a thin bright ribbon on FLAIR and a thin dark one on T1w. Added are the mean ranks in blocks of
the whole head. One hidden layer, learned from simulated scans by
``SITTranslateLib.training.recipes.contrast_classifiers.recipe``, weighs all that;
its numbers stand in ``contrast_picture.json``, and NumPy runs it in some hundredths of a second.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.translate.head import Anatomy, resample_itk
from SITTranslateLib.volume import Grid

NETWORK_FILE = Path(__file__).with_name("contrast_picture.json")
#: Input size (K, J, I) and its voxels, mm: the whole head about the middle of the brain.
SHAPE, SPACING_MM = (56, 72, 60), 3.0
#: Half axes (R, A, S) of the ellipsoid whose grey values are ranked, mm.
RANKED_MM = (58.0, 72.0, 58.0)
RANKS = np.linspace(0.0, 100.0, 65)
#: Surroundings that a voxel is held against (half their width in voxels), and the steps of both.
RADII, RANK_STEPS = (1, 3), np.array([0.1, 0.25, 0.45, 0.65, 0.85])
SLOPE_STEPS = (np.array([-0.12, -0.05, -0.015, 0.015, 0.05, 0.12]), np.array([-0.3, -0.15, -0.05, 0.05, 0.15, 0.3]))
#: Shells of the ellipsoid, by relative radius: brain, and what lies around it.
BRAIN_SHELLS, OUTER_SHELLS = ((0.0, 0.65), (0.65, 1.0)), ((1.0, 1.12), (1.12, 1.25), (1.25, 1.45))
#: Voxels along the edge of a block.
BLOCK = 8

Array = NDArray[np.float32]


def opinion(anatomy: Anatomy) -> dict[str, float] | None:
    """Probability of each kind of scan; None where there is too little brain to tell, or a picture of no known kind."""
    seen = view(anatomy)
    if seen is None:
        return None
    model, values = _model(), descriptors(seen)
    if strangeness(values, model) > model["strangest"]:
        return None
    scores = answer(values, model)
    odds = np.exp(scores - scores.max())
    return dict(zip(model["classes"], (odds / odds.sum()).tolist(), strict=True))


def view(anatomy: Anatomy) -> Array | None:
    """The input ``(K, J, I)``: ranks of the grey values from 0 to 1, and 0 outside the head."""
    grid = Grid.centred(anatomy.centre, SHAPE, SPACING_MM)
    image = resample_itk(anatomy.coarse, grid, float(anatomy.coarse.array.min())).array
    mask = resample_itk(anatomy.coarse.with_array(anatomy.mask.astype(np.float32)), grid, 0.0).array > 0.5
    ranked = image[(_radius() < 1.0) & mask]
    if ranked.size < 2000 or np.ptp(ranked) == 0:
        return None
    ends = np.percentile(ranked, RANKS)
    ranks = np.interp(image, ends + 1e-6 * np.ptp(ends) * np.arange(ends.size), RANKS / 100.0)
    # In 255 steps, as training keeps them.
    return np.where(mask, np.rint(255.0 * ranks) / 255.0, 0.0).astype(np.float32)


def descriptors(seen: Array) -> Array:
    """A view in 621 numbers, the same for its mirror image."""
    radius, there = _radius(), seen > 0
    picture = sitk.GetImageFromArray(np.ascontiguousarray(seen))
    weight = sitk.GetImageFromArray(there.astype(np.float32))
    rank = np.digitize(seen, RANK_STEPS)
    parts: list[Array] = []
    for width, steps in zip(RADII, SLOPE_STEPS, strict=True):
        # The mean of what belongs to the head, so that the rim of a stripped brain is no ridge.
        box = [width] * 3
        around = sitk.GetArrayFromImage(sitk.BoxMean(picture, box))
        share = sitk.GetArrayFromImage(sitk.BoxMean(weight, box))
        slope = np.digitize(seen - around / np.maximum(share, 1e-3), steps)
        both = rank * (steps.size + 1) + slope
        for low, high in BRAIN_SHELLS:
            where = there & (radius >= low) & (radius < high)
            counts = np.bincount(both[where], minlength=(RANK_STEPS.size + 1) * (steps.size + 1))
            parts.append(np.sqrt(counts / max(1, int(np.count_nonzero(where)))).astype(np.float32))
    for low, high in OUTER_SHELLS:
        where = (radius >= low) & (radius < high)
        inside = seen[where & there]
        ends = np.percentile(inside, (10.0, 50.0, 90.0)) if inside.size > 50 else np.zeros(3)
        parts.append(np.array([there[where].mean(), *ends], dtype=np.float32))
    k, j, i = (n // BLOCK for n in SHAPE)
    cut = seen[:, :, 2 : 2 + i * BLOCK]
    blocks = cut.reshape(k, BLOCK, j, BLOCK, i, BLOCK).mean(axis=(1, 3, 5))
    parts.append((0.5 * (blocks + blocks[:, :, ::-1])).ravel())
    return np.concatenate(parts)


def answer(values: Array, model: dict[str, Any]) -> Array:
    """Scores of descriptors ``(N,)`` or ``(M, N)``: one hidden layer."""
    hidden = np.maximum((values - model["mean"]) / model["scale"] @ model["hidden"] + model["hidden_bias"], 0.0)
    return np.asarray(hidden @ model["weights"] + model["bias"])


def strangeness(values: Array, model: dict[str, Any]) -> NDArray[np.float64]:
    """Distance of descriptors ``(N,)`` or ``(M, N)`` from the training data: root of their mean squared scores.

    A network is sure of itself also where it has never been, so that it is not asked there.
    """
    scores = np.minimum(np.abs((values - model["mean"]) / model["scale"]), 10.0)
    return np.asarray(np.sqrt(np.mean(scores**2, axis=-1)))


@cache
def _radius() -> NDArray[np.float32]:
    k, j, i = (SPACING_MM * (np.arange(n) - (n - 1) / 2.0) for n in SHAPE)
    r, a, s = RANKED_MM
    squared = (k[:, None, None] / s) ** 2 + (j[:, None] / a) ** 2 + (i / r) ** 2
    return np.sqrt(squared).astype(np.float32)


@cache
def _model() -> dict[str, Any]:
    raw = json.loads(NETWORK_FILE.read_text(encoding="utf-8"))
    return {k: v if k == "classes" else np.array(v, np.float32) for k, v in raw["model"].items()}
