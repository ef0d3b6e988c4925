"""Real visits in the form of phantoms: what a recipe learns from where its config names a fold of them.

The scan of a visit is its own clean image; its tissue classes are those that the segmentation finds in one of its
contrasts, since nobody has drawn them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.maps import tissue_network
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities
from SITTranslateLib.training.engine.phantoms import Phantom, network_units
from SITTranslateLib.training.engine.visit_preparation import PreparedVisit, prepared
from SITTranslateLib.training.engine.visits import Visit, training_visits

#: Voxels of a prepared visit that are one of the 2 mm grid, along each axis.
COARSE = 2
#: Class of a phantom by that of the segmentation.
_CLASS = np.array([0, 1, 2, 2, 3, 4, 5], np.uint8)
#: Network units beyond which a voxel carries nothing; float16 holds them.
LEAST, MOST = -0.5, 6.0


def real_heads(
    fold: str, data: Path, cache: Path, contrasts: Sequence[str], *, paired: bool = True, coarse: bool = False
) -> list[Phantom]:
    """The visits that a fold trains on.

    Args:
        fold: of :data:`SITTranslateLib.training.engine.visits.FOLDS`.
        data: folder of the scans.
        cache: prepared visits are kept below it.
        contrasts: that are read.
        paired: a head has all of them that were acquired (two or more), or one of the first two, and nobody gives both.
        coarse: on the 2 mm grid, without classes.

    Raises:
        InputError: no such fold, or no visit that serves.
    """
    visits = training_visits(fold)
    if paired:
        given = [(v, [c for c in contrasts if c in v.scans]) for v in visits]
        given = [(visit, names) for visit, names in given if len(names) > 1]
    else:
        given = [(v, [c]) for c, some in zip(contrasts, apart(visits, *contrasts[:2]), strict=False) for v in some]
    if not given:
        raise InputError(f"The fold '{fold}' has nobody to learn {' and '.join(contrasts)} from.")
    return [_head(visit, names, data, cache, coarse) for visit, names in given]


def apart(visits: Sequence[Visit], source: str, target: str) -> tuple[list[Visit], list[Visit]]:
    """Visits for two contrasts, no person in both.

    Who was scanned in one of them gives that; of the others each gives the contrast that fewer people have.
    """
    both = {v.subject for v in visits if source in v.scans} & {v.subject for v in visits if target in v.scans}
    people: dict[str, list[str]] = {source: [], target: []}
    for subject in sorted(dict.fromkeys(v.subject for v in visits), key=lambda one: one in both):
        has = [c for c in (source, target) if any(c in v.scans for v in visits if v.subject == subject)]
        if has:
            people[min(has, key=lambda contrast: len(people[contrast]))].append(subject)
    first, second = ([v for v in visits if v.subject in people[c] and c in v.scans] for c in (source, target))
    return first, second


def _head(visit: Visit, contrasts: Sequence[str], data: Path, cache: Path, coarse: bool) -> Phantom:
    ready = prepared(visit, data, cache / "prepared")
    scans, stripped = {}, {}
    brain = ready.brain
    for contrast in contrasts:
        units, stripped[contrast] = network_units(ready.scans[contrast], brain, contrast)
        if visit.stripped:
            units, stripped[contrast] = np.where(brain, units, np.float32(0.0)), (1.0, 0.0)
        scans[contrast] = np.clip(coarser(units) if coarse else units, LEAST, MOST).astype(np.float16)
    affine = ready.affine
    if coarse:
        brain = coarser(brain.astype(np.float32)) > 0.5
        classes = np.zeros(brain.shape, np.uint8)
        affine = affine @ np.diag([COARSE, COARSE, COARSE, 1.0])
        affine[:3, 3] += ready.affine[:3, :3].sum(axis=1) * (COARSE - 1) / 2.0
    else:
        classes = _classes(ready, contrasts[0], cache / "prepared")
    mask = brain.astype(np.uint8)
    return Phantom(visit.name, scans, scans, classes, mask, stripped, affine)


def coarser(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of blocks of 2 x 2 x 2 voxels of ``(K, J, I)``, even sizes."""
    k, j, i = (n // COARSE for n in array.shape)
    return array.reshape(k, COARSE, j, COARSE, i, COARSE).mean(axis=(1, 3, 5), dtype=np.float32)


@torch.no_grad()
def _classes(visit: PreparedVisit, contrast: str, cache: Path) -> NDArray[np.uint8]:
    """Classes of a visit's scan as the segmentation finds them at 2 mm, kept beside it."""
    file = cache / f"{visit.name}-{contrast}-classes.npy"
    if not file.is_file():
        image = torch.from_numpy(coarser(visit.scans[contrast]))[None, None]
        shares = tissue_probabilities(tissue_network(), image)
        fine = nn.functional.interpolate(shares, scale_factor=COARSE, mode="trilinear")[0]
        part = file.with_suffix(".part.npy")
        np.save(part, _CLASS[fine.argmax(dim=0).numpy()])
        part.replace(file)
    stored: NDArray[np.uint8] = np.load(file)
    return stored
