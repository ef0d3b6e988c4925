"""Contrast of a scan: CT by its units, MR by the intensities in and around the brain.

Two opinions are weighed: a logistic regression on percentiles in three shells of an ellipsoid about the brain's middle,
relative to the brain's median, and a small network on the picture (``contrast_picture``). Both were fitted to simulated
scans only (``contrast.json`` says how) and look at nothing that depends on the scanner's units.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.translate import contrast_picture
from SITTranslateLib.translate.head import Anatomy

MODEL_FILE = Path(__file__).with_name("contrast.json")
#: Half axes (R, A, S) of the ellipsoid, mm: the inside of an adult brain.
HALF_AXES_MM = np.array([56.0, 70.0, 56.0])
#: Shells by relative radius, and the percentiles taken in each.
SHELLS = ((0.0, 0.45), (0.45, 0.8), (0.8, 1.05))
INSIDE, PERCENTILES = 0.9, (3, 10, 25, 50, 75, 90, 97)
SHELL_PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Modality:
    """The likeliest modality and how likely it is.

    ``by_histogram``: what the histogram alone says. ``familiar``: whether the picture is of a sort that was learned.
    ``in_hu``: a CT known by its units; ``offset_hu`` is what its
    values are off by.
    """

    name: str
    probability: float
    probabilities: dict[str, float]
    offset_hu: float = 0.0
    in_hu: bool = False
    by_histogram: dict[str, float] = field(default_factory=dict)
    familiar: bool = True


def guess(anatomy: Anatomy) -> Modality | None:
    """The modality of a scan; None where there is too little of a brain to tell."""
    offset = ct_offset(anatomy)
    if offset is not None:
        return Modality("CT", 1.0, {"CT": 1.0}, offset, in_hu=True)
    histogram, picture = by_histogram(anatomy), by_picture(anatomy)
    shares = combined(histogram, picture)
    if shares is None:
        return None
    best = max(shares, key=lambda name: shares[name])
    return Modality(best, shares[best], shares, by_histogram=histogram or {}, familiar=picture is not None)


def by_histogram(anatomy: Anatomy) -> dict[str, float] | None:
    """Probability of each kind of scan by its histogram; None without enough brain."""
    values = features(anatomy)
    if values is None:
        return None
    model = _model()
    scores = (values - model["mean"]) / model["scale"] @ model["weights"] + model["bias"]
    odds = np.exp(scores - scores.max())
    return dict(zip(model["classes"], (odds / odds.sum()).tolist(), strict=True))


def by_picture(anatomy: Anatomy) -> dict[str, float] | None:
    """Probability of each kind of scan by the small network; None without enough brain."""
    return contrast_picture.opinion(anatomy)


def combined(histogram: dict[str, float] | None, picture: dict[str, float] | None) -> dict[str, float] | None:
    """Both opinions in one: their weighted geometric mean. One alone counts where the other has none."""
    if histogram is None or picture is None:
        return histogram if picture is None else picture
    share = _settings()["share_of_network"]
    odds = {n: histogram[n] ** (1.0 - share) * picture[n] ** share for n in histogram}
    total = sum(odds.values()) or 1.0
    return {name: value / total for name, value in odds.items()}


@dataclass(frozen=True)
class Thresholds:
    """Probability of a model's own contrast below which the suitability check warns, and below which it refuses.

    It also warns where the histogram alone finds it less likely than ``doubted_below``, and it refuses only where the
    histogram, too, finds it less likely than ``agreed_below``.
    """

    warned_below: float
    refused_below: float
    doubted_below: float
    agreed_below: float


def thresholds() -> Thresholds:
    """As they were chosen on simulated scans."""
    return Thresholds(**{one.name: float(_settings()[one.name]) for one in fields(Thresholds)})


def ct_offset(anatomy: Anatomy) -> float | None:
    """0 if the values are HU, 1024 or 1000 if they are HU plus that, None if it is no CT.

    Air lies 1000 HU below water, brain at 20 to 45 HU in a narrow peak, bone far above.
    """
    inside = _inside(anatomy)
    if inside is None or np.ptp(inside) == 0:
        return None
    counts, edges = np.histogram(inside, bins=np.arange(-100, 1300, 20))
    peak = float(edges[counts.argmax()]) + 10.0
    if not anatomy.skull:
        spread = float(np.subtract(*np.percentile(inside, (75, 25))))
        narrow = spread < 35 and float(np.percentile(inside, 99)) < 120
        return 0.0 if narrow and 15 <= float(np.median(inside)) <= 50 else None
    air = float(np.percentile(anatomy.coarse.array, 2))
    if air < -800:
        return 0.0 if -20 <= peak <= 100 else None
    # HU stored with an offset could also be an MR scan in those units by chance: the peak must be narrow, with bone.
    share = float(np.mean(np.abs(inside - peak) < 45))
    bone = float(np.percentile(anatomy.coarse.array[anatomy.mask], 98)) > peak + 500
    for offset in (1024.0, 1000.0):
        if -10 <= peak - offset <= 90 and -1100 <= air - offset <= -850 and share > 0.35 and bone:
            return offset
    return None


def features(anatomy: Anatomy) -> NDArray[np.float64] | None:
    """Percentiles inside the brain and in its shells over the brain's median; None without enough brain."""
    radius, array = _radius(anatomy), anatomy.coarse.array
    inside = array[(radius < INSIDE) & anatomy.mask]
    if inside.size < 2000 or np.ptp(inside) == 0:
        return None
    middle = float(np.median(inside)) - _floor(anatomy)
    if middle <= 0:
        return None
    found = [np.percentile(inside, [p for p in PERCENTILES if p != 50])]
    for low, high in SHELLS:
        shell = array[(radius >= low) & (radius < high) & anatomy.mask]
        if shell.size < 200:
            return None
        found.append(np.percentile(shell, SHELL_PERCENTILES))
    return np.clip((np.concatenate(found) - _floor(anatomy)) / middle, 0.0, 4.0)


def _floor(anatomy: Anatomy) -> float:
    """Air: scans with an offset still compare."""
    outside = anatomy.coarse.array[~anatomy.mask]
    return float(np.median(outside)) if outside.size > 1000 else float(anatomy.coarse.array.min())


def _inside(anatomy: Anatomy) -> NDArray[np.float32] | None:
    inside = anatomy.coarse.array[(_radius(anatomy) < INSIDE) & anatomy.mask]
    return inside if inside.size >= 500 else None


def _radius(anatomy: Anatomy) -> NDArray[np.float64]:
    grid = anatomy.coarse.grid
    squared = np.zeros(grid.shape)
    for axis, (count, dim) in enumerate(zip(grid.shape[::-1], (2, 1, 0), strict=True)):
        position = grid.affine[axis, 3] + grid.affine[axis, axis] * np.arange(count) - anatomy.centre[axis]
        shape = [1, 1, 1]
        shape[dim] = -1
        squared = squared + ((position / HALF_AXES_MM[axis]) ** 2).reshape(shape)
    return np.sqrt(squared)


@cache
def _settings() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    return raw


@cache
def _model() -> dict[str, Any]:
    return {k: v if k == "classes" else np.array(v) for k, v in _settings()["model"].items()}
