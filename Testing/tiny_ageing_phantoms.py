"""Tiny ageing heads for tests of Plasticine: made here, no data needed."""

from __future__ import annotations

import numpy as np
from tiny_phantoms import UNITS, tiny_phantom

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingPhantom
from SITTranslateLib.volume import Grid, VectorField

#: Class of ``SITTranslateLib.segmentation.CLASSES`` of each class of a tiny head (air, CSF, grey, white, soft, bone).
STRUCTURE = np.array([0, 1, 2, 4, 5, 6])
#: A FreeSurfer label for each.
LABELS = np.array([0, 4, 3, 2, 511, 515], np.int16)


def tiny_ageing_phantom(
    seed: int, shape: tuple[int, int, int] = (24, 28, 24), shown: tuple[str, ...] = ("T1w", "T2w")
) -> AgeingPhantom:
    """A head of :func:`tiny_phantom` whose ventricle grows by some mm a decade, in the contrasts ``shown``."""
    head = tiny_phantom(seed, shape)
    grid = Grid.centred(np.zeros(3), shape, 2.0)
    coarse = grid.coarsened(2)
    k, j, i = np.meshgrid(*(np.arange(n, dtype=float) for n in coarse.shape), indexing="ij")
    points = coarse.to_world(np.stack((i, j, k), axis=-1))
    away = np.linalg.norm(points, axis=-1, keepdims=True)
    velocity = 0.15 * points * np.exp(-((away / 12.0) ** 2))
    shares = np.stack([STRUCTURE[head.classes] == n for n in range(len(CLASSES))])
    contrasts = {c: head.scans[c] for c in shown}
    assert set(contrasts) <= set(UNITS)
    return AgeingPhantom(
        name=head.name,
        scans=contrasts,
        clean={c: head.clean[c] for c in contrasts},
        stripped={c: head.stripped[c] for c in contrasts},
        shares=(255 * shares).astype(np.uint8),
        labels=LABELS[head.classes],
        mask=head.mask,
        velocity=VectorField(velocity.astype(np.float32), coarse.affine),
        affine=grid.affine,
    )
