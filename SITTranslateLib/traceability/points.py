"""Point tracing: positions of source points in the translated scan, and the reverse.

The translated scan was made by reading the source at ``y + u(y)``; that is the truth for both directions. From the
translated scan, a point's origin is read off. From the source, the motion gives a first guess that is then refined
until its origin is the point asked for, so that going forth and back ends where it began.
"""

from __future__ import annotations

import gc
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.geometry import Geometry, inside
from SITTranslateLib.translation import Translation

LARGEST_RESIDUAL_MM = 0.5
REFINEMENTS = 25
CLOSE_ENOUGH_MM = 1e-5


class Direction(StrEnum):
    """Which way a point is traced."""

    TO_TRANSLATED = "to translated"
    TO_SOURCE = "to source"


class TracedPoint(NamedTuple):
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
    try:
        start = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("Points must be rows of three finite numbers (R, A, S in mm).") from error
    if start.ndim != 2 or start.shape[1] != 3 or not np.isfinite(start).all():
        raise InputError(f"Points must be rows of three finite numbers (R, A, S in mm), got shape {start.shape}.")
    to_translated = direction is Direction.TO_TRANSLATED
    if to_translated:
        partner, back = _target_of(start, geometry)
    else:
        partner = start + fields.sample_field(geometry.sampling, start)
        back, _ = _target_of(partner, geometry)
    residual = np.linalg.norm(back - start, axis=1)
    source, translated = (start, partner) if to_translated else (partner, start)
    jacobian, folded = _jacobian_at(source, geometry)
    names = labels or [f"P-{index + 1}" for index in range(len(start))]
    where = "in the source" if to_translated else "in the translated scan"
    # The first that holds is the reason given.
    causes = (
        (~inside(geometry.grid, start), f"the point lies outside the scan {where}"),
        (~inside(geometry.grid, partner), "its partner lies outside the scan"),
        (folded, "the field is folded, several places of the source land on one spot"),
    )
    reasons = [""] * len(start)
    for index in np.flatnonzero(residual > LARGEST_RESIDUAL_MM):
        reasons[index] = f"cannot be traced here: the way back misses the start by {residual[index]:.2g} mm"
    for holds, cause in reversed(causes):
        for index in np.flatnonzero(holds):
            reasons[index] = f"cannot be traced here: {cause}"
    columns = zip(
        names,
        zip(*source.T.tolist(), strict=True),
        zip(*translated.T.tolist(), strict=True),
        residual.tolist(),
        np.linalg.norm(translated - source, axis=1).tolist(),
        jacobian.tolist(),
        [not reason for reason in reasons],
        reasons,
        strict=True,
    )
    # New tuples hold no cycles: the collector would walk through all of them again and again.
    collects = gc.isenabled()
    gc.disable()
    try:
        return list(map(TracedPoint._make, columns))
    finally:
        if collects:
            gc.enable()


def _target_of(source: NDArray[np.float64], geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The y with ``y + u(y) = source`` and where it comes from, ``y + u(y)``.

    The motion is the first guess; Newton steps on the sampling field follow for the points that miss.
    """
    target = source + fields.sample_field(geometry.motion, source)
    origin = source.copy() if geometry.still else np.empty_like(target)
    active = np.arange(0 if geometry.still else len(target))
    for _ in range(REFINEMENTS):
        vectors, derivative = fields.sample_field_with_derivative(geometry.sampling, target[active])
        origin[active] = target[active] + vectors
        miss = origin[active] - source[active]
        length = np.linalg.norm(miss, axis=1)
        going = length > CLOSE_ENOUGH_MM
        active, miss, length = active[going], miss[going], length[going]
        if not len(active):
            return target, origin
        step = _solved(derivative[going] + np.eye(3), miss)
        # Near a fold the derivative is almost singular; never step farther than the miss can justify.
        longest = np.maximum(np.linalg.norm(step, axis=1), 1e-12)
        target[active] -= step * np.minimum(1.0, 3.0 * length / longest)[:, None]
    origin[active] = target[active] + fields.sample_field(geometry.sampling, target[active])
    return target, origin


def _solved(matrices: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x with ``M x = b`` for many 3 x 3 matrices, by cross products; ``b`` itself where M is almost singular."""
    a, b, c = matrices[:, :, 0], matrices[:, :, 1], matrices[:, :, 2]
    rows = (np.cross(b, c), np.cross(c, a), np.cross(a, b))
    determinant = np.einsum("nc,nc->n", a, rows[0])
    singular = np.abs(determinant) < 1e-3
    divisor = np.where(singular, 1.0, determinant)
    solution = np.stack([np.einsum("nc,nc->n", row, vectors) / divisor for row in rows], axis=1)
    return np.where(singular[:, None], vectors, solution)


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
