"""Held-out ageing heads as cases of Plasticine's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.segmentation import CLASS_OF_LABEL
from SITTranslateLib.training.engine.held_out import MAPS
from SITTranslateLib.training.recipes.plasticine.phantoms import CONTRASTS, AgeingPhantom, AgeingPhantomSet
from SITTranslateLib.training.recipes.plasticine.table import AgeingCase
from SITTranslateLib.volume import Volume

POOLS = {
    "scanner as in training": AgeingPhantomSet(MAPS, heads=8, seed=2026),
    "unseen scanner (gamma, bias, noise, resolution)": AgeingPhantomSet(MAPS, heads=8, scanner="unseen", seed=2027),
}
#: Smallest and largest change of age of the aged cases, years.
YEARS = (12.0, 30.0)


def showing(pool: AgeingPhantomSet, *contrasts: str) -> AgeingPhantomSet:
    """The same heads, also in contrasts that the pool has not."""
    return replace(pool, contrasts=CONTRASTS + tuple(c for c in dict.fromkeys(contrasts) if c not in CONTRASTS))


def case_of(head: AgeingPhantom, index: int, group: str, source: str, target: str, years: float) -> AgeingCase:
    """A head as a case; every second one with its skull taken off, but for CT, of which the skull is the point."""
    stripped = bool(index % 2) and target != "CT"
    sampling = head.sampling(years)
    clean = Volume(head.image(target, clean=True, strip=stripped), head.affine)
    mask = Volume(head.mask.astype(np.float32), head.affine)
    classes = CLASS_OF_LABEL[head.labels]
    # Bone is what a CT is taken for; of MR the brain is.
    judged = Volume((classes > 0).astype(np.float32), head.affine) if target == "CT" else mask
    return AgeingCase(
        name=f"{head.name} {index}",
        group=group,
        target=target,
        years=years,
        source=head.image(source, strip=stripped),
        truth=clean.array if years == 0.0 else fields.warp(clean, sampling).array,
        sampling=sampling,
        classes=np.where(head.mask > 0, classes, 0).astype(np.uint8) if stripped else classes,
        brain=head.mask > 0,
        brain_after=fields.warp(mask, sampling, mode="nearest").array > 0.5,
        judged=fields.warp(judged, sampling, mode="nearest").array > 0.5,
        stripped=stripped,
    )


def cases_of(heads: Sequence[AgeingPhantom], group: str, source: str, target: str, *, aged: bool) -> list[AgeingCase]:
    """All heads of a group, as they are or so many years older and younger in turn."""
    years = np.linspace(*YEARS, max(len(heads), 2))[: len(heads)] * np.where(np.arange(len(heads)) % 4 < 2, 1, -1)
    return [
        case_of(head, index, group, source, target, float(years[index]) if aged else 0.0)
        for index, head in enumerate(heads)
    ]
