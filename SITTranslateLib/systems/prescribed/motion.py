"""Velocity from region fractions and prescribed ratios: the window, and the solution by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.systems.prescribed.changes import with_held
from SITTranslateLib.systems.prescribed.regions import BRAIN_STEM, PARTS, Shares
from SITTranslateLib.systems.prescribed.solver import Solution, realised, solve
from SITTranslateLib.volume import VectorField

#: How far beyond the brain the tissue around it gives way where the fluid is not labelled, mm.
SHELL_MM = 5.0
#: Voxels at the border of the grid over which the velocity fades out.
FADE = 4
#: A volume ratio that is missed by more on the label map's own voxels is corrected.
CORRECTED_ABOVE = 0.002
CORRECTIONS = 4


class Surroundings(StrEnum):
    """Surroundings of the brain."""

    LABELLED = "labelled"
    SHELL = "shell"
    STRIPPED = "stripped"


#: Percentage points by which a region may miss its prescribed change before it is reported.
SAID_ABOVE = 0.5
_ABOUT_SURROUNDINGS = {
    Surroundings.STRIPPED: "The skull was taken off: the background stands in for the fluid around the brain.",
    Surroundings.SHELL: "The labels do not show the fluid around the brain: what lies within 5 mm of it gives way.",
}


@dataclass(frozen=True)
class PrescribedRow:
    """One part of the brain: mL before and after, what was asked of it (volume ratio) and what was reached."""

    part: str
    before_ml: float
    asked: float
    reached: float
    named: bool


@dataclass(frozen=True, eq=False)
class PrescribedMotion:
    """The solution, its rows, and what lies around the brain."""

    solution: Solution
    rows: tuple[PrescribedRow, ...]
    surroundings: Surroundings


def prescribed_motion(shares: Shares, asked: Mapping[str, float], *, stripped: bool) -> PrescribedMotion:
    """The motion that realises volume ratios by part.

    Args:
        shares: of the parts, with their volumes.
        asked: part to volume ratio; tissue that is not named keeps its volume, fluids give way.
        stripped: whether the skull was taken off.
    """
    full = with_held(asked, shares.volumes_ml)
    if all(abs(ratio - 1.0) < 1e-12 for ratio in asked.values()):
        full = dict.fromkeys(full, 1.0)
    surroundings = _surroundings(shares, stripped)
    window = window_of(shares, surroundings, hold_stem=BRAIN_STEM not in asked)
    names = list(full)
    stacked = np.stack([shares.parts[name] for name in names])
    wanted = np.array([full[name] for name in names])
    solution = solve(stacked, wanted, window, shares.grid)
    reached = solution.ratios
    if shares.fine is not None and solution.steps:
        # The shares of 2 mm voxels do not know where in them a thin structure lies; the label map does.
        solution, reached = _on_the_labels(solution, stacked, wanted, window, shares, names)
    rows = tuple(
        PrescribedRow(name, shares.volumes_ml[name], full[name], float(ratio), name in asked)
        for name, ratio in zip(names, reached, strict=True)
    )
    return PrescribedMotion(solution, rows, surroundings)


def _on_the_labels(
    solution: Solution,
    stacked: NDArray[np.float32],
    wanted: NDArray[np.float64],
    window: NDArray[np.float32],
    shares: Shares,
    names: list[str],
) -> tuple[Solution, NDArray[np.float64]]:
    """The solution corrected by the volumes of the label map's own voxels, and these volumes' ratios."""
    assert shares.fine is not None
    parts, grid = shares.fine
    order = [list(PARTS).index(name) + 1 for name in names]

    def measured(velocity: VectorField) -> NDArray[np.float64]:
        return realised(velocity, parts, grid, len(PARTS) + 1)[order]

    ratios = measured(solution.velocity)
    missed = float(np.abs(ratios - wanted).max())
    if missed < CORRECTED_ABOVE:
        return solution, ratios
    better = solve(
        stacked, wanted, window, shares.grid, replace(solution, ratios=ratios), measured, CORRECTED_ABOVE, CORRECTIONS
    )
    if better.folded or float(np.abs(better.ratios - wanted).max()) >= missed:
        return solution, ratios
    return better, better.ratios


def _surroundings(shares: Shares, stripped: bool) -> Surroundings:
    if shares.has_outer_csf and not stripped:
        return Surroundings.LABELLED
    return Surroundings.STRIPPED if stripped else Surroundings.SHELL


def window_of(shares: Shares, surroundings: Surroundings, *, hold_stem: bool) -> NDArray[np.float32]:
    """0 where nothing moves (skull, brain stem, border of the grid), 1 where everything may."""
    if surroundings is Surroundings.LABELLED:
        inside = np.clip(shares.brain + shares.outer_csf, 0.0, 1.0)
        window = np.clip(2.0 * inside - 1.0, 0.0, 1.0)
    elif surroundings is Surroundings.SHELL:
        away = ndimage.distance_transform_edt(shares.brain < 0.5) * shares.grid.spacing[0]
        window = np.clip(1.0 - away / SHELL_MM, 0.0, 1.0)
    else:
        window = np.ones(shares.grid.shape)
    for axis, size in enumerate(shares.grid.shape):
        ends = np.minimum(np.arange(size), np.arange(size)[::-1])
        ramp = np.clip(ends / FADE, 0.0, 1.0)
        window = window * ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    if hold_stem and BRAIN_STEM in shares.parts:
        window = window * (1.0 - shares.parts[BRAIN_STEM])
    # Its edges are those of labels: a step of one voxel would make the velocity rough.
    return np.asarray(ndimage.gaussian_filter(window, 0.7, mode="constant"), dtype=np.float32)


def warnings_of(motion: PrescribedMotion) -> tuple[str, ...]:
    """Warnings for the user: surroundings of the brain, regions that were missed, folds."""
    sentences = []
    if motion.solution.steps and motion.surroundings in _ABOUT_SURROUNDINGS:
        sentences.append(_ABOUT_SURROUNDINGS[motion.surroundings])
    for row in motion.rows:
        if abs(row.reached - row.asked) > SAID_ABOVE / 100.0:
            reached, asked = 100 * (row.reached - 1), 100 * (row.asked - 1)
            sentences.append(f"The {row.part} reaches {reached:+.1f} % of the {asked:+.1f} % prescribed.")
    if motion.solution.folded:
        sentences.append(f"The motion folds in {motion.solution.folded} voxels; ask for less.")
    return tuple(sentences)
