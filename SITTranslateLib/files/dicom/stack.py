"""Slices as one volume: parallel, on one line, equidistant, each position once (or equally often)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.dicom.slices import MARKS, Slice
from SITTranslateLib.files.stream import LARGEST_SCAN

#: Share of the slice distance by which one gap may differ from the others.
GAP_TOLERANCE = 0.1
#: Difference of direction cosines within a stack (0.1 degrees); text of six digits is better.
ANGLE_TOLERANCE = 2e-3


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in the order of a volume: ``frames[t][k]``, and the affine to RAS mm."""

    frames: tuple[tuple[Slice, ...], ...]
    affine: NDArray[np.float64]


def stacked(slices: Sequence[Slice], name: str) -> Stack:
    """The slices of a series in order.

    Raises:
        InputError: different sizes, angles or pixel sizes, gaps, slices at one place, a tilted gantry.
    """
    first = slices[0]
    size = (first.pixels.rows, first.pixels.columns)
    if size[0] * size[1] * len(slices) > LARGEST_SCAN:
        raise InputError(f"The {name} has more voxels than any scan (at most 5e+08).")
    if any((s.pixels.rows, s.pixels.columns) != size for s in slices):
        raise InputError(f"The {name} mixes slices of different sizes; give one series only.")
    if any(np.abs(s.directions - first.directions).max() > ANGLE_TOLERANCE for s in slices):
        raise InputError(f"The {name} has slices at different angles; give one stack only.")
    if any(not np.allclose(s.spacing, first.spacing, rtol=1e-3) for s in slices):
        raise InputError(f"The {name} has slices with pixels of different sizes; give one stack only.")
    directions = np.mean([s.directions for s in slices], axis=0)
    normal = np.cross(*directions)
    frames = _frames(list(slices), normal / np.linalg.norm(normal), name)
    positions = np.array([s.position for s in frames[0]])
    step = (positions[-1] - positions[0]) / (len(positions) - 1) if len(positions) > 1 else normal
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[0]
    affine[:3, 1] = first.directions[1] * first.spacing[1]
    affine[:3, 2] = normal * float(step @ normal)
    affine[:3, 3] = positions[0]
    return Stack(frames, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def _frames(slices: list[Slice], normal: NDArray[np.float64], name: str) -> tuple[tuple[Slice, ...], ...]:
    """One volume, or several at one place that an element tells apart."""
    if not _has_doubles(slices, normal):
        return (_in_order(slices, normal, name),)
    for tag, sequence in MARKS:
        groups: dict[str, list[Slice]] = defaultdict(list)
        for one in slices:
            groups[one.marks.get(f"{sequence}.{tag}", "")].append(one)
        volumes = list(groups.values())
        if len(volumes) > 1 and len({len(v) for v in volumes}) == 1 and not any(
            _has_doubles(v, normal) for v in volumes
        ):  # fmt: skip
            ordered = [_in_order(groups[mark], normal, name) for mark in sorted(groups, key=_number_or_text)]
            if all(_same_places(volume, ordered[0]) for volume in ordered):
                return tuple(ordered)
    raise InputError(f"The {name} has two slices at one place; it may hold several scans in one series.")


def _has_doubles(slices: list[Slice], normal: NDArray[np.float64]) -> bool:
    gaps = np.diff(np.sort([float(s.position @ normal) for s in slices]))
    if not gaps.size:
        return False
    usual = float(np.median(gaps))
    return usual <= 1e-3 or bool(gaps.min() < (1 - GAP_TOLERANCE) * usual)


def _in_order(slices: list[Slice], normal: NDArray[np.float64], name: str) -> tuple[Slice, ...]:
    ordered = sorted(slices, key=lambda s: float(s.position @ normal))
    positions = np.array([s.position for s in ordered])
    heights = positions @ normal
    gaps = np.diff(heights)
    if not gaps.size:
        return tuple(ordered)
    usual = float(np.median(gaps))
    if gaps.max() > (1 + GAP_TOLERANCE) * usual:
        missing = round(float((gaps / usual - 1).clip(min=0).sum()))
        raise InputError(f"The {name} has gaps: about {max(1, missing)} slices are missing; copy the whole series.")
    drift = np.ptp(positions - np.outer(heights, normal), axis=0).max()
    if drift > 1e-3 * np.ptp(heights) + 1e-2:
        raise InputError(f"The {name} is sheared (tilted gantry); correct the tilt first, for example in Slicer.")
    return tuple(ordered)


def _same_places(volume: tuple[Slice, ...], other: tuple[Slice, ...]) -> bool:
    return bool(np.allclose([s.position for s in volume], [s.position for s in other], atol=1e-2))


def _number_or_text(mark: str) -> tuple[float, str]:
    try:
        return float(mark), mark
    except ValueError:
        return 0.0, mark
