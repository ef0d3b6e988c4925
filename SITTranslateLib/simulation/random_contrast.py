"""A head in a random contrast: every tissue gets a random intensity.

Networks trained on such images learn shapes, not brightness (Billot et al., "SynthSeg", Medical Image Analysis 2023).
Half of the images here keep to the signal equations, with tissues and settings drawn widely, so that what scanners do
give is met as well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.simulation.contrast import SEQUENCES, signal_table
from SITTranslateLib.simulation.labels import TABLE_SIZE, TISSUE_LABELS
from SITTranslateLib.simulation.scanner import bias_field
from SITTranslateLib.simulation.tissue import draw_tissues

Array = NDArray[np.float32]

ALIKE = (("gm", "cerebellar_gm", "hippocampus"), ("wm", "cerebellar_wm", "nerve_cord"), ("caudate", "putamen"))
"""Tissues of one kind, which mostly share a brightness."""
WINDOW_HU = (-150.0, 200.0)


def random_table(rng: np.random.Generator, physical: float = 0.5, sequence: str | None = None) -> tuple[Array, float]:
    """Brightness of each label in [0, 1], ``(TABLE_SIZE,)``, and how much it varies inside a tissue.

    Args:
        rng: of everything random.
        physical: probability that it keeps to the signal equations.
        sequence: the one to keep to then; any if None.
    """
    if rng.random() < physical:
        return _physical_table(rng, sequence), float(rng.uniform(0.01, 0.05))
    level = {tissue: float(rng.uniform(0.05, 1.0)) for tissue in TISSUE_LABELS}
    if rng.random() < 0.7:
        for first, *others in ALIKE:
            level |= {other: level[first] + float(rng.normal(0.0, 0.04)) for other in others}
    if rng.random() < 0.85:
        level["air"] = float(rng.uniform(0.0, 0.03))
    if rng.random() < 0.5:
        level["bone_cortical"] = level["air"] + float(rng.uniform(0.0, 0.1))
    table = np.zeros(TABLE_SIZE, np.float32)
    for tissue, labels in TISSUE_LABELS.items():
        table[list(labels)] = np.clip(level[tissue], 0.0, 1.0)
    return table, float(rng.uniform(0.0, 0.08))


def _physical_table(rng: np.random.Generator, chosen: str | None = None) -> Array:
    """Signals of one of the known sequences, its times and angles varied by up to a quarter; CT in a brain window."""
    name = chosen or str(rng.choice(list(SEQUENCES)))
    sequence = SEQUENCES[name]
    if sequence.kind == "ct":
        low, high = WINDOW_HU
        cut = np.clip(signal_table(name, draw_tissues(rng)), low, high)
        return np.asarray((cut - low) / (high - low), np.float32)
    # The readouts of an inversion-prepared train have to fit before and after the inversion: those times vary less.
    spread = 0.1 if sequence.inversion > 0 else 0.25
    times = {key: getattr(sequence, key) for key in ("repetition", "echo", "inversion", "flip")}
    varied = {key: value * float(rng.uniform(1 - spread, 1 + spread)) for key, value in times.items()}
    table = signal_table(name, draw_tissues(rng), replace(sequence, **varied))
    relative = np.maximum(table, 0.0) / max(float(table.max()), 1e-6)
    return np.asarray(relative ** rng.uniform(0.6, 1.6), np.float32)


def random_contrast(
    labels: NDArray[np.int16], rng: np.random.Generator, mask: NDArray[np.bool_] | None, physical: float = 0.5
) -> Array:
    """An image of a label map: random brightness, texture, bias, thickness, blur and noise; about [0, 1].

    Args:
        labels: ``(K, J, I)`` at 1 mm.
        rng: of everything random.
        mask: what is left of the head, or None for all of it.
        physical: probability that the contrast keeps to the signal equations.
    """
    table, spread = random_table(rng, physical)
    image = table[labels]
    if spread > 0:
        grain = rng.standard_normal(tuple(-(-n // 3) for n in labels.shape), dtype=np.float32)
        fine = grain.repeat(3, 0).repeat(3, 1).repeat(3, 2)[tuple(slice(n) for n in labels.shape)]
        image *= 1.0 + np.float32(spread) * fine
    if mask is not None:
        image = np.where(mask, image, np.float32(0.0))
    blur = [float(rng.uniform(0.3, 0.9))] * 3
    if rng.random() < 0.35:
        blur[int(rng.integers(3))] = float(rng.uniform(0.9, 2.2))
    image = np.asarray(ndimage.gaussian_filter(image, blur, mode="nearest", truncate=2.5), np.float32)
    image *= bias_field(image.shape, float(rng.uniform(0.0, 0.35)), int(rng.integers(2**31)))
    noise = np.float32(rng.uniform(0.0, 0.07) if rng.random() < 0.8 else 0.0)
    return np.asarray(np.abs(image + noise * rng.standard_normal(image.shape, dtype=np.float32)), np.float32)
