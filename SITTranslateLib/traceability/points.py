"""Where a point of the source lies in the translated scan, and where one of the translated scan came from.

The translated scan was made by reading the source at ``y + u(y)``; that is the truth for both directions. From the
translated scan, a point's origin is read off. From the source, the motion gives a first guess that is then refined
until its origin is the point asked for, so that going forth and back ends where it began.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.geometry import Geometry, inside
from SITTranslateLib.translate.translation import Translation
from SITTranslateLib.volume import VectorField

LARGEST_RESIDUAL_MM = 0.5
REFINEMENTS = 25


class Direction(StrEnum):
    """Which way a point is traced."""

    TO_TRANSLATED = "to translated"
    TO_SOURCE = "to source"


@dataclass(frozen=True)
class TracedPoint:
    """A point and its partner, RAS mm.

    Attributes:
        label: name of the point.
        source: the point in the source.
        translated: its partner in the translated scan.
        residual_mm: how far tracing the partner back misses the start.
        motion_mm: distance between the two.
        jacobian: of the motion there; <= 0 is a fold.
        traceable: whether the pair can be relied on.
        reason: why it cannot; empty if it can.
    """

    label: str
    source: tuple[float, float, float]
    translated: tuple[float, float, float]
    residual_mm: float
    motion_mm: float
    jacobian: float
    traceable: bool
    reason: str


def trace_points(
    translation: Translation | Geometry,
    points: NDArray[np.floating],
    direction: Direction = Direction.TO_TRANSLATED,
    labels: list[str] | None = None,
) -> list[TracedPoint]:
    """Partners of RAS points ``(N, 3)`` in mm.

    Raises:
        InputError: the translation has no field, or the points are not ``(N, 3)``.
    """
    geometry = translation if isinstance(translation, Geometry) else Geometry.of(translation)
    if geometry is None:
        raise InputError("This translation has no field, so no point can be traced; ask for an estimated field first.")
    start = np.asarray(points, dtype=np.float64)
    if start.ndim != 2 or start.shape[1] != 3 or not np.isfinite(start).all():
        raise InputError(f"Points must be rows of three finite numbers (R, A, S in mm), got shape {start.shape}.")
    to_translated = direction is Direction.TO_TRANSLATED
    if to_translated:
        partner = _target_of(start, geometry)
        back = partner + fields.sample_field(geometry.sampling, partner)
    else:
        partner = start + fields.sample_field(geometry.sampling, start)
        back = _target_of(partner, geometry)
    residual = np.linalg.norm(back - start, axis=1)
    source, translated = (start, partner) if to_translated else (partner, start)
    jacobian, folded = _jacobian_at(source, geometry)
    names = labels or [f"P-{index + 1}" for index in range(len(start))]
    traced = []
    for index, name in enumerate(names):
        where = "in the source" if to_translated else "in the translated scan"
        reason = ""
        if not inside(geometry.grid, start[index]):
            reason = f"cannot be traced here: the point lies outside the scan {where}"
        elif not inside(geometry.grid, partner[index]):
            reason = "cannot be traced here: its partner lies outside the scan"
        elif folded[index]:
            reason = "cannot be traced here: the field is folded, several places of the source land on one spot"
        elif residual[index] > LARGEST_RESIDUAL_MM:
            reason = f"cannot be traced here: the way back misses the start by {residual[index]:.2g} mm"
        traced.append(
            TracedPoint(
                label=name,
                source=_triple(source[index]),
                translated=_triple(translated[index]),
                residual_mm=float(residual[index]),
                motion_mm=float(np.linalg.norm(translated[index] - source[index])),
                jacobian=float(jacobian[index]),
                traceable=not reason,
                reason=reason,
            )
        )
    return traced


def _target_of(source: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """The y with ``y + u(y) = source``: the motion as a first guess, then Newton steps on the sampling field."""
    target = source + fields.sample_field(geometry.motion, source)
    if geometry.still:
        return target
    for _ in range(REFINEMENTS):
        miss = target + fields.sample_field(geometry.sampling, target) - source
        if np.abs(miss).max(initial=0.0) < 1e-5:
            break
        step = np.linalg.solve(_derivative(geometry.sampling, target), miss[..., None])[..., 0]
        # Near a fold the derivative is almost singular; never step farther than the miss can justify.
        length = np.linalg.norm(step, axis=1, keepdims=True)
        allowed = 3.0 * np.linalg.norm(miss, axis=1, keepdims=True)
        target = target - step * np.minimum(1.0, allowed / np.maximum(length, 1e-12))
    return target


def _derivative(sampling: VectorField, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """``d (y + u(y)) / dy`` ``(N, 3, 3)`` by differences over half a voxel, kept invertible."""
    reach = 0.5 * min(sampling.grid.spacing)
    matrix = np.broadcast_to(np.eye(3), (len(points), 3, 3)).copy()
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = reach
        ahead, behind = (fields.sample_field(sampling, points + sign * shift) for sign in (1, -1))
        matrix[:, :, axis] += (ahead - behind) / (2 * reach)
    singular = np.abs(np.linalg.det(matrix)) < 1e-3
    matrix[singular] = np.eye(3)
    return matrix


def _jacobian_at(points: NDArray[np.float64], geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Jacobian (nearest voxel) at points, and whether any voxel around them is folded."""
    last = np.array(geometry.grid.shape[::-1]) - 1
    position = np.clip(geometry.grid.to_indices(points), 0, last)
    array = geometry.jacobian.array
    i, j, k = np.rint(position).astype(int).T
    nearest = array[k, j, i]
    base = np.minimum(np.floor(position).astype(int), np.maximum(last - 1, 0))
    folded = np.zeros(len(points), bool)
    for corner in np.ndindex(2, 2, 2):
        i, j, k = np.minimum(base + np.array(corner), last).T
        folded |= array[k, j, i] <= 0
    return nearest.astype(np.float64), folded


def _triple(point: NDArray[np.float64]) -> tuple[float, float, float]:
    r, a, s = (float(value) for value in point)
    return r, a, s
