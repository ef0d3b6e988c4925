"""The segment table: the effect of a translation on each segment, in one pass over the volume.

The segmentation is never hardened through a transform. A voxel y of the output is shared among the labels of the
eight source voxels around ``y + u(y)`` with their linear weights, so that the volume afterwards is the sum of every
segment's linearly read mask; summed over all segments, each voxel counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.arguments import instance_of, shown
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.geometry import (
    Geometry,
    box_of,
    field_on,
    inside,
    inverse_residual,
    volume_on,
    voxels_inside,
)
from SITTranslateLib.traceability.overlap import agreement
from SITTranslateLib.traceability.table import SegmentRow, SegmentTable
from SITTranslateLib.traceability.verdict import Rules, judge_table
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Grid, Volume, lengths

SLAB = 24
#: Largest label for which a table by label is made.
LONGEST_TABLE = 1 << 20
UNEXPLAINED_ABOVE = 4.0
"""A residual above this many local spreads is content that noise does not explain."""
EMPTY = "empty: no voxel of the label map carries this label"
OUTSIDE = "outside: the segment lies beyond the scan"
AT_BORDER = "touches the border of the scan: what lies beyond is not known, so there is no volume afterwards"
MOVES_OUT = "moves out of the scan: there is no volume afterwards"


def segment_table(
    translation: Translation,
    labels: Volume,
    names: dict[int, str] | None = None,
    translated_labels: Volume | None = None,
    *,
    unexplained: Volume | None = None,
    floor_mm: float | None = None,
    rules: Rules | None = None,
) -> SegmentTable:
    """Measures of every segment before and after a translation, with verdicts.

    Args:
        translation: the translation; with origin ``none`` only volumes before and intensities are given.
        labels: integer label map of the source on any grid; 0 is background.
        names: names of labels; a named label that no voxel carries gets a row that says so.
        translated_labels: a segmentation of the translated scan with the same labels, for Dice and HD95.
        unexplained: residual in units of the local spread (``explanation.Explanation.unexplained``).
        floor_mm: floor of an estimated field; by default what the translation's provenance says.
        rules: thresholds of the verdict; the shipped ones by default.

    Raises:
        InputError: the label map holds fractions or negative values, or lies entirely outside the scan.
    """
    instance_of(translation, Translation, "What the segments are measured in")
    check_labels(labels, names, translated_labels)
    geometry = Geometry.of(translation)
    values, dense, present = _dense_labels(labels)
    if floor_mm is None:
        floor_mm = getattr(translation.provenance.noise_floor, "mean_mm", None)
    rows = []
    if len(present):
        patch = _patch(dense, labels.grid, geometry)
        rows = _before(patch, values, translation, geometry, unexplained)
        if not any(row.volume_before_mm3 is not None for row in rows):
            raise InputError("The segmentation lies entirely outside the scan; choose the one drawn on this scan.")
        rows = _after(rows, patch, values, translation, geometry)
        if geometry is not None and translated_labels is not None:
            carried = values[_carried(patch, geometry, translated_labels.grid)]
            rows = _compared(rows, carried, translated_labels)
    table = SegmentTable(
        source=translation.source.name,
        translated=translation.translated.name,
        field_origin=translation.field_origin.value,
        floor_mm=floor_mm,
        rows=_with_names(rows, names or {}),
        whole=whole_measures(translation, geometry, unexplained),
    )
    return judge_table(table, rules)


def check_labels(labels: object, names: object = None, translated_labels: object = None) -> None:
    """Refuse what is no label map, or no names of labels, before anything is computed.

    Raises:
        InputError: of the wrong type.
    """
    for volume, what in ((labels, "The label map"), (translated_labels, "The label map of the translated scan")):
        if volume is not None or what == "The label map":
            instance_of(volume, Volume, what)
    if names is not None:
        for label, name in instance_of(names, Mapping, "The table of names").items():  # type: ignore[type-abstract]
            if not isinstance(label, Integral) or not isinstance(name, str):
                raise InputError(f"The names of labels are a table of number to text, not of '{shown(label)}'.")


def whole_measures(translation: Translation, geometry: Geometry | None, unexplained: Volume | None) -> dict[str, float]:
    """Measures of the whole scan, for the verdict: folds, round trip, recomposition, motion, unexplained share."""
    source = translation.source.array
    low, high = (float(p) for p in np.percentile(source, (0.5, 99.5)))
    measures = {"recomposition_percent": 100.0 * translation.recomposition_error / max(high - low, 1e-12)}
    tissue = source > low + 0.05 * (high - low)
    if geometry is not None:
        inner = np.zeros(source.shape, bool)
        inner[tuple(slice(2, -2) if n > 8 else slice(None) for n in source.shape)] = True
        tissue = tissue & inner if np.any(tissue & inner) else inner
        length = geometry.lengths.array[tissue]
        measures |= {
            "folded_percent": 100.0 * float(np.mean(geometry.jacobian.array[inner] <= 0)),
            "inverse_residual_mm": float(np.percentile(geometry.residual.array[tissue], 95)),
            "motion_mean_mm": float(length.mean()),
            "motion_p95_mm": float(np.percentile(length, 95)),
            "jacobian_min": float(geometry.jacobian.array[inner].min()),
        }
        if translation.field_origin is FieldOrigin.ESTIMATED:
            measures["estimated_motion_p95_mm"] = measures["motion_p95_mm"]
    if unexplained is not None:
        measures["unexplained_percent"] = 100.0 * float(np.mean(unexplained.array[tissue] > UNEXPLAINED_ABOVE))
    return measures


@dataclass(frozen=True, eq=False)
class _Patch:
    """The labelled part of a label map with a margin for the motion; ``labels`` index into the values."""

    labels: NDArray[np.int32]
    grid: Grid

    def slabs(self) -> Iterator[tuple[slice, Grid]]:
        """The patch in layers of a few slices, so that the passes need little memory."""
        depth, height, width = self.grid.shape
        for start in range(0, depth, SLAB):
            stop = min(start + SLAB, depth)
            yield slice(start, stop), box_of(self.grid, np.array([0, 0, start]), np.array([width, height, stop]))


def _dense_labels(labels: Volume) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Label values with 0 in front, the map as indices into them, and the values without background."""
    whole = np.rint(labels.array)
    if not np.array_equal(whole, labels.array) or whole.min(initial=0) < 0:
        raise InputError(f"{labels.name} is not a label map: its voxels must be whole numbers from 0 up.")
    integers = whole.astype(np.int64)
    if integers.max(initial=0) > LONGEST_TABLE:
        # Atlases number their regions up to billions: sorted, for no table can be as long.
        filled = integers > 0
        present, places = np.unique(integers[filled], return_inverse=True)
        dense = np.zeros(integers.shape, np.int32)
        dense[filled] = places + 1
        return np.concatenate(([0], present)), dense, present
    present = np.flatnonzero(np.bincount(integers.ravel()))
    present = present[present > 0]
    values = np.concatenate(([0], present))
    lookup = np.zeros(int(values[-1]) + 1, np.int32)
    lookup[values] = np.arange(len(values))
    return values, lookup[integers], present


def _patch(dense: NDArray[np.int32], grid: Grid, geometry: Geometry | None) -> _Patch:
    occupied = [np.flatnonzero(dense.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    low, high = np.array([o[0] for o in occupied]), np.array([o[-1] + 1 for o in occupied])
    farthest = 0.0 if geometry is None or geometry.still else float(geometry.lengths.array.max())
    margin = np.ceil(farthest * np.abs(np.linalg.inv(grid.axes)).sum(axis=1)).astype(int) + 1
    box = box_of(grid, low - margin, high + margin)
    labels = np.zeros(box.shape, np.int32)
    inner = tuple(slice(int(m), int(m + n)) for m, n in zip(margin[::-1], (high - low)[::-1], strict=True))
    labels[inner] = dense[tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))]
    return _Patch(labels, box)


def _before(
    patch: _Patch,
    values: NDArray[np.int64],
    translation: Translation,
    geometry: Geometry | None,
    unexplained: Volume | None,
) -> list[SegmentRow]:
    """Rows with everything that is measured on the source's side, segment by segment in one sorted pass."""
    places = np.flatnonzero(patch.labels)
    found = patch.labels.ravel()[places]
    # Numbers of 16 bits are sorted several times faster.
    order = np.argsort(found.astype(np.uint16) if len(values) < 1 << 16 else found, kind="stable")
    places, found = places[order], found[order]
    bounds = np.searchsorted(found, np.arange(1, len(values) + 1))
    scan = translation.source.grid
    in_scan = voxels_inside(scan, patch.grid).ravel()[places]
    in_depth = voxels_inside(scan, patch.grid, margin=-0.5).ravel()[places]
    stays = np.ones(len(places), bool)

    def read(volume: Volume) -> NDArray[np.float32]:
        return volume_on(volume, patch.grid).array.ravel()[places]

    columns = {"source": read(translation.source), "change": read(_pure_change(translation, geometry, patch.grid))}
    if unexplained is not None:
        columns["unexplained"] = read(unexplained)
    motion = np.zeros((0, 3), np.float32)
    if geometry is not None:
        motion = field_on(geometry.motion, patch.grid).array.reshape(-1, 3)[places]
        columns["length"] = lengths(motion)
        stays = _stays(patch.grid, places, motion, float(columns["length"].max()), scan)
        columns["jacobian"] = read(geometry.jacobian)
        columns["residual"] = inverse_residual(geometry, patch.grid).ravel()[places]
    voxel = patch.grid.voxel_volume
    rows = []
    for index, label in enumerate(values[1:]):
        part = slice(int(bounds[index]), int(bounds[index + 1]))
        count = part.stop - part.start
        if not in_scan[part].any():
            rows.append(SegmentRow(int(label), "", count, note=OUTSIDE))
            continue
        note = "" if in_depth[part].all() else AT_BORDER
        measured = {
            "voxels": count,
            "volume_before_mm3": count * voxel,
            "intensity_before": _mean(columns["source"][part]),
            "intensity_change": _mean(columns["change"][part]),
        }
        if unexplained is not None:
            measured["unexplained_percent"] = 100.0 * float(np.mean(columns["unexplained"][part] > UNEXPLAINED_ABOVE))
        if geometry is not None:
            note = note or ("" if stays[part].all() else MOVES_OUT)
            measured |= _moved(columns, motion, part, voxel)
        rows.append(SegmentRow(label=int(label), name="", note=note, **measured))  # type: ignore[arg-type]
    return rows


def _stays(
    grid: Grid, places: NDArray[np.intp], motion: NDArray[np.float32], farthest: float, scan: Grid
) -> NDArray[np.bool_]:
    """Which voxels (flat indices) are still in the scan after their motion ``(N, 3)``, no longer than ``farthest``."""
    reach = farthest * float(np.linalg.norm(np.linalg.inv(scan.axes), axis=1).max())
    stays = voxels_inside(scan, grid, margin=0.5 - reach).ravel()[places]
    near = np.flatnonzero(~stays)
    points = grid.to_world(np.stack(np.unravel_index(places[near], grid.shape)[::-1], axis=-1))
    stays[near] = inside(scan, points + motion[near])
    return stays


def _moved(
    columns: dict[str, NDArray[np.float32]], motion: NDArray[np.float32], part: slice, voxel: float
) -> dict[str, float]:
    """Figures of the motion and its Jacobian in one segment."""
    length, jacobian = columns["length"][part], columns["jacobian"][part]
    vector = motion[part].mean(axis=0, dtype=np.float64)
    return {
        "jacobian_volume_mm3": float(jacobian.sum(dtype=np.float64)) * voxel,
        "jacobian_change_percent": 100.0 * (_mean(jacobian) - 1.0),
        "motion_mean_mm": _mean(length),
        "motion_p95_mm": float(np.percentile(length, 95)),
        "motion_max_mm": float(length.max()),
        "motion_r_mm": float(vector[0]),
        "motion_a_mm": float(vector[1]),
        "motion_s_mm": float(vector[2]),
        "jacobian_min": float(jacobian.min()),
        "jacobian_mean": _mean(jacobian),
        "jacobian_p1": float(np.percentile(jacobian, 1)),
        "folded_percent": 100.0 * float(np.mean(jacobian <= 0)),
        "inverse_residual_mm": float(np.percentile(columns["residual"][part], 95)),
    }


def _after(
    rows: list[SegmentRow],
    patch: _Patch,
    values: NDArray[np.int64],
    translation: Translation,
    geometry: Geometry | None,
) -> list[SegmentRow]:
    """Rows with the volume and intensity of the carried segments; without a field, of the same place."""
    lit, shifted = np.zeros((len(values), 2)), np.zeros((len(values), 2))
    still = geometry is None or geometry.still
    for layers, grid in patch.slabs():
        image = volume_on(translation.translated, grid)
        if geometry is None or still:
            voxels, sums = fields.sums_by_label(patch.labels[layers], image.array, count=len(values))
            lit += np.column_stack((voxels, sums))
            continue
        # A second lattice half a voxel away: the edges of thin segments are summed to a few tenths of a per cent.
        for total, lattice in ((lit, grid), (shifted, _half_voxel_on(grid))):
            sampling = field_on(geometry.sampling, lattice)
            total += fields.carried_sums(patch.labels, patch.grid, sampling, image, len(values))
    amount = lit[:, 0] if still else (lit[:, 0] + shifted[:, 0]) / 2
    voxel = patch.grid.voxel_volume
    completed = []
    means = np.divide(lit[:, 1], lit[:, 0], out=np.full(len(values), np.nan), where=lit[:, 0] > 0)
    for row, total, mean in zip(rows, amount[1:].tolist(), means[1:].tolist(), strict=True):
        if row.volume_before_mm3 is not None:
            row = replace(row, intensity_after=None if np.isnan(mean) else mean)
            if geometry is not None and not row.note:
                change = 100.0 * (total * voxel / row.volume_before_mm3 - 1.0)
                row = replace(row, volume_after_mm3=total * voxel, change_percent=change)
        completed.append(row)
    return completed


def _half_voxel_on(grid: Grid) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(np.full(3, 0.5))
    return Grid(grid.shape, affine)


def _origins(geometry: Geometry, grid: Grid) -> NDArray[np.float64]:
    """RAS points ``y + u(y)`` of every voxel y of a grid ``(N, 3)``."""
    k, j, i = np.indices(grid.shape).reshape(3, -1)
    return grid.to_world(np.stack((i, j, k), axis=-1)) + field_on(geometry.sampling, grid).array.reshape(-1, 3)


def _carried(patch: _Patch, geometry: Geometry, grid: Grid) -> NDArray[np.int32]:
    """The label map carried onto a grid: in each voxel the label with the largest share."""
    winners = np.zeros(grid.shape, np.int32)
    for layers, part in _Patch(winners, grid).slabs():
        indices = patch.grid.to_indices(_origins(geometry, part))
        labels, weights = (np.stack(each) for each in zip(*fields.corner_shares(patch.labels, indices), strict=True))
        best = labels[0].copy()
        mixed = np.flatnonzero((labels != labels[0]).any(axis=0))
        votes = np.zeros((8, len(mixed)))
        for corner in range(8):
            votes[corner] = ((labels[:, mixed] == labels[corner, mixed]) * weights[:, mixed]).sum(axis=0)
        best[mixed] = labels[votes.argmax(axis=0), mixed]
        winners[layers] = best.reshape(part.shape)
    return winners


def _compared(rows: list[SegmentRow], carried: NDArray[np.int64], reference: Volume) -> list[SegmentRow]:
    figures = agreement(carried, reference, [row.label for row in rows])
    return [
        replace(row, dice=figures[row.label][0], hd95_mm=figures[row.label][1]) if row.volume_after_mm3 else row
        for row in rows
    ]


def _pure_change(translation: Translation, geometry: Geometry | None, grid: Grid) -> Volume:
    """Intensity change of the tissue itself, on the source's side: the model's d, or what the translated scan shows
    where the tissue went."""
    if translation.intensity_change is not None:
        return volume_on(translation.intensity_change, grid)
    source, translated = translation.source, translation.translated
    if geometry is None or geometry.still:
        return volume_on(translated.with_array(translated.array - source.array), grid)
    # Both are compared after one interpolation, on the output's side: its blur at edges is no change.
    change = translated.with_array(translated.array - fields.warp(source, geometry.sampling).array)
    return fields.warp(change, field_on(geometry.motion, grid))


def _with_names(rows: list[SegmentRow], names: dict[int, str]) -> tuple[SegmentRow, ...]:
    named = [replace(row, name=names.get(row.label, f"label {row.label}")) for row in rows]
    missing = sorted(set(names) - {row.label for row in rows} - {0})
    named += [SegmentRow(label, names[label], 0, note=EMPTY) for label in missing]
    return tuple(sorted(named, key=lambda row: row.label))


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean(dtype=np.float64))
