"""Strength of the augmentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """Ranges of what is varied.

    Attributes:
        turn_deg, scale, shear: of the affine part; ``scale`` is the largest factor.
        magnification: largest local enlargement (a ventricle, for one), as a share.
        gamma: largest exponent; the smallest is its inverse.
        bias: largest logarithm of the bias field.
        noise: largest standard deviation, standardised units.
        gain, offset: of the standardisation.
        blur: largest standard deviation, voxels.
    """

    turn_deg: float = 20.0
    scale: float = 1.25
    shear: float = 0.1
    magnification: float = 0.5
    gamma: float = 1.7
    bias: float = 0.35
    noise: float = 0.35
    gain: float = 0.2
    offset: float = 0.25
    blur: float = 0.9
