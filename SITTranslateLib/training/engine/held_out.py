"""Held-out simulated heads as cases of the tables between two contrasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from SITTranslateLib.evaluation.cases import Case
from SITTranslateLib.training.engine.phantoms import SPACING_MM, Phantom, PhantomSet
from SITTranslateLib.translate.normalisation import HOUNSFIELD, to_native

#: Label maps that no shipped model was trained on.
MAPS = ("13", "14", "15", "16")
GROUPS = {
    "scanner as in training": PhantomSet(MAPS, heads=2, seed=2026),
    "unseen scanner (gamma, bias, noise, resolution)": PhantomSet(MAPS, heads=2, seed=2027, scanner="unseen"),
}
#: Slices of the grid that the tables evaluate: the 48 mm about the middle of the brain.
SLAB = slice(64, 112)


def case_of(head: Phantom, index: int, group: str, source: str, target: str, slab: slice = SLAB) -> Case:
    """A head as a case; every second one with its skull taken off, but for CT, of which the skull is the point."""
    stripped = bool(index % 2) and target != "CT"
    first, count = slab.start, slab.stop - slab.start
    images = [
        head.slab(contrast, first, count, clean=clean, strip=stripped)
        for contrast, clean in ((source, False), (target, True), (target, False))
    ]
    if target == "CT":
        images[1:] = [to_native(image, HOUNSFIELD) for image in images[1:]]
    classes, mask = np.array(head.classes[slab]), np.array(head.mask[slab]) > 0
    classes = np.where(mask, classes, 0).astype(np.uint8) if stripped else classes
    return Case(
        name=f"{head.name} {index}",
        group=group,
        target=target,
        source=images[0],
        truth=images[1],
        acquired=images[2],
        brain=mask,
        head=mask if stripped else classes > 0,
        classes=classes,
        stripped=stripped,
        spacing=(SPACING_MM,) * 3,
    )


def cases_of(heads: Sequence[Phantom], group: str, source: str, target: str) -> list[Case]:
    """All heads of a group."""
    return [case_of(head, index, group, source, target) for index, head in enumerate(heads)]


def whole_cases_of(heads: Sequence[Phantom], source: str, target: str) -> list[Case]:
    """All heads from top to bottom: at 2 mm that is cheap."""
    whole = [slice(0, head.classes.shape[0]) for head in heads]
    return [case_of(head, n, "", source, target, whole[n]) for n, head in enumerate(heads)]
