"""The figures at the top of a report, each with its meaning and limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SITTranslateLib.translate.verification import (
    LARGEST_FOLDED,
    LARGEST_RECOMPOSITION,
    LARGEST_RESIDUAL_MM,
    Verification,
)
from SITTranslateLib.translation import FieldOrigin, Translation


@dataclass(frozen=True)
class Figure:
    """One figure: name, value with unit, what it means; ``good`` is None where no limit applies."""

    name: str
    value: str
    meaning: str
    good: bool | None = None


def figures(translation: Translation, found: Verification) -> list[Figure]:
    """The key figures of a translation, in the order a reader asks for them."""
    listed = []
    if found.largest_motion_mm is not None:
        listed.append(
            Figure("Largest motion", f"{found.largest_motion_mm:.2f} mm", "How far the farthest moved point went.")
        )
    if translation.intensity_change is not None:
        change = translation.intensity_change.array
        listed.append(
            Figure(
                "Intensity change",
                f"{change.min():+.3g} to {change.max():+.3g}",
                f"Largest darkening and brightening, in the scan's units; the scan's own range is "
                f"{found.intensity_range:.3g}.",
            )
        )
    if found.folded is not None:
        listed.append(
            Figure(
                "Folded voxels",
                str(found.folded),
                "Places where the motion turns the anatomy inside out; there must be none.",
                found.folded <= LARGEST_FOLDED,
            )
        )
    if found.inverse_residual_mm is not None:
        listed.append(
            Figure(
                "There and back",
                f"{found.inverse_residual_mm:.3f} mm",
                "How far 99 of 100 points miss their start when traced forth and back at most; "
                f"limit {LARGEST_RESIDUAL_MM:g} mm.",
                found.inverse_residual_mm <= LARGEST_RESIDUAL_MM,
            )
        )
    error = max(found.network_error, found.recomposition or 0.0)
    share = error / found.intensity_range
    listed.append(
        Figure(
            "Recomposition error",
            f"{100 * share:.2g} % of the range",
            "Source, intensity change and motion put together again, against the translated scan; "
            f"limit {100 * LARGEST_RECOMPOSITION:g} %.",
            # A figure that could not be otherwise is no good sign.
            None if found.recomposition is None else share <= LARGEST_RECOMPOSITION,
        )
    )
    return listed


def field_words(origin: FieldOrigin) -> str:
    """Origin of the motion, in a sentence."""
    return {
        FieldOrigin.MODEL: "The motion is the model's own: it made the translated scan with it.",
        FieldOrigin.IDENTITY: "The model promises not to move the anatomy: the motion is zero everywhere.",
        FieldOrigin.ESTIMATED: "The motion is ESTIMATED afterwards by registration; the model did not give one.",
        FieldOrigin.NONE: "No motion is known: the model gives none and none was estimated.",
    }[origin]


def expansion_extremes(translation: Translation) -> tuple[float, float] | None:
    """Smallest and largest local volume factor (1st and 99th percentile of J inside the head); None without a field."""
    if translation.jacobian is None:
        return None
    source = translation.source.array
    head = source > source.min() + 0.1 * (np.percentile(source, 98) - source.min())
    values = translation.jacobian.array[head] if head.any() else translation.jacobian.array
    low, high = np.percentile(values, (1, 99))
    return float(low), float(high)
