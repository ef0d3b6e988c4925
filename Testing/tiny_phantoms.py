"""Tiny heads in three contrasts for tests of the cross-contrast systems: made here, no data needed."""

from __future__ import annotations

import numpy as np

from SITTranslateLib.training.engine.phantoms import CONTRASTS, Phantom

#: Network units of each class (air, CSF, grey, white, soft, bone) in each contrast.
UNITS = {
    "T1w": (0.0, 0.1, 0.33, 0.5, 0.6, 0.05),
    "T2w": (0.0, 1.5, 0.8, 0.5, 0.4, 0.05),
    "CT": (0.0, 0.83, 0.96, 0.92, 0.78, 1.95),
}


def tiny_phantom(seed: int, shape: tuple[int, int, int] = (16, 32, 32)) -> Phantom:
    """Shells of skin, bone, CSF, grey and white matter about a ventricle, shifted and stretched by the seed."""
    rng = np.random.default_rng(seed)
    k, j, i = np.indices(shape)
    middle = np.array(shape) / 2 + rng.uniform(-1.5, 1.5, 3)
    half = np.array(shape) * rng.uniform(0.42, 0.5, 3)
    radius = np.sqrt(sum(((n - c) / h) ** 2 for n, c, h in zip((k, j, i), middle, half, strict=True)))
    radius = radius + 0.04 * np.sin(i / 2.0 + seed) * np.sin(j / 2.5)
    classes = np.zeros(shape, np.uint8)
    for edge, value in ((0.98, 4), (0.9, 5), (0.8, 1), (0.75, 2), (0.55, 3), (0.25, 1)):
        classes[radius < edge] = value
    clean = {c: np.array(UNITS[c], np.float32)[classes] for c in CONTRASTS}
    scans = {c: (v + 0.02 * rng.standard_normal(shape)).astype(np.float16) for c, v in clean.items()}
    mask = (radius < 0.8).astype(np.uint8)
    stripped = dict.fromkeys(CONTRASTS, (1.2, 0.0)) | {"CT": (1.0, 0.0)}
    return Phantom(
        f"tiny {seed}", scans, {c: v.astype(np.float16) for c, v in clean.items()}, classes, mask, stripped, np.eye(4)
    )
