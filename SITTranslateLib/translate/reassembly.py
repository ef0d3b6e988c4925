"""Translations restored from the parts in a saved scene."""

from __future__ import annotations

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

#: Parts that belong together give the saved scan again to this share of its grey range; edited ones do not.
LARGEST_MISFIT = 0.02


def reassembled(
    *,
    source: Volume,
    origin: FieldOrigin,
    recomposition_error: float,
    provenance: Provenance,
    translated: Volume | None = None,
    change: Volume | None = None,
    within: Volume | None = None,
    velocity: VectorField | None = None,
    sampling: VectorField | None = None,
) -> Translation:
    """The translation that was saved, able to be traced, measured and shown at another strength again.

    Args:
        translated: the scan at full strength; None where the scene was saved at another one.
        change: intensity change, native units; where ``within`` is 0 it was not kept and follows from ``translated``.
        within: 1 where ``change`` is known; everywhere by default.
        velocity: of the motion, on its own grid; the fields follow from it.
        sampling: used where the model gave a sampling field without a velocity.

    Raises:
        InputError: the parts do not belong together, or too few of them were kept.
    """
    if provenance.source_sha256 and hash_of(source) != provenance.source_sha256:
        raise InputError(f"'{source.name}' is not the scan that this result was made from; translate it again.")
    for part in (translated, change):
        if part is not None and not part.grid.matches(source.grid):
            raise InputError("The scans of this result no longer lie on one grid; translate the scan again.")
    motion, sampling, jacobian = _fields_on(source, origin, velocity, sampling)
    if change is not None and within is not None and translated is not None:
        there = translated if motion is None else fields.warp(translated, motion)
        change = change.with_array(np.where(within.array > 0.5, change.array, there.array - source.array))
    recomposed = None
    if origin is not FieldOrigin.ESTIMATED and (change is not None or sampling is not None):
        changed = source if change is None else source.with_array(source.array + change.array)
        recomposed = changed if sampling is None else fields.warp(changed, sampling)
    if translated is None:
        if recomposed is None:
            raise InputError("This result was saved at another strength and cannot be taken up; translate again.")
        translated = recomposed.with_array(recomposed.array, f"{source.name} translated")
    elif recomposed is not None:
        _check(translated, recomposed, within)
    return Translation(
        source, translated, velocity, motion, sampling, jacobian, change, origin, recomposition_error, provenance
    )


def _fields_on(
    source: Volume, origin: FieldOrigin, velocity: VectorField | None, sampling: VectorField | None
) -> tuple[VectorField | None, VectorField | None, Volume | None]:
    """Motion, sampling field and Jacobian on the scan's grid, in the way in which they were made at first."""
    grid = source.grid
    if velocity is not None and origin is FieldOrigin.ESTIMATED:
        fine = fields.resample_field(velocity, grid)
        motion = fields.exponential(fine)
        return motion, fields.exponential(fine, -1.0), fields.jacobian(motion)
    if velocity is not None:
        coarse = fields.exponential(velocity)
        back = fields.resample_field(fields.exponential(velocity, -1.0), grid)
        return fields.resample_field(coarse, grid), back, on_grid(fields.jacobian(coarse), grid, outside=1.0)
    if sampling is not None:
        sampling = fields.resample_field(sampling, grid)
        motion = fields.invert(sampling)
        return motion, sampling, fields.jacobian(motion)
    return None, None, None


def _check(translated: Volume, recomposed: Volume, within: Volume | None) -> None:
    inside = np.ones(translated.shape, bool) if within is None else within.array > 0.5
    misfit = np.abs(translated.array - recomposed.array)[inside]
    span = float(np.ptp(translated.array[inside])) if inside.any() else 0.0
    # The 99th percentile: at the rim of the head the change beside it was not kept.
    if inside.any() and float(np.percentile(misfit, 99)) > LARGEST_MISFIT * span:
        raise InputError("The scans of this result were edited after it was made; translate the scan again.")
