"""A person in three contrasts, made of formulas."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from SITTranslateLib.training.engine.visit_preparation import PreparedVisit


def person(seed: int = 0) -> PreparedVisit:
    """A blurred ball of noise as a brain with its ventricle; FLAIR and T2w follow T1w by curves."""
    rng = np.random.default_rng(seed)
    k, j, i = np.indices((48, 56, 52))
    radius = np.sqrt(((k - 24) / 20) ** 2 + ((j - 28) / 24) ** 2 + ((i - 26) / 22) ** 2)
    brain = radius < 1
    texture = sitk.GetArrayFromImage(
        sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(rng.normal(0, 1, k.shape)), 2.0)
    )
    t1 = np.where(brain, 500 + 1500 * texture + 0.5 * i - 150 * (radius < 0.3), 0).clip(0).astype(np.float32)
    t2 = np.where(brain, 900 - 0.8 * t1, 0).clip(0).astype(np.float32)
    flair = np.where(brain, 0.3 * t1 + 200 - 150 * (radius < 0.3), 0).clip(0).astype(np.float32)
    lesions = brain & (np.abs(k - 24) < 4) & (np.abs(j - 40) < 4) & (np.abs(i - 26) < 4)
    scans = {"T1w": t1, "T2w": t2, "FLAIR": flair + 200 * lesions.astype(np.float32)}
    shifts = dict.fromkeys(scans, 0.0)
    return PreparedVisit("person", scans, scans, brain, np.ones_like(brain), lesions, np.eye(4), shifts)
