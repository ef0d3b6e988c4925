"""Volumes of structures before and after a translation, by the parcellation of its source and its motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import product

import numpy as np

from SITTranslateLib.arguments import instance_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.parcellation import Parcellation, parcellated
from SITTranslateLib.structure_table import PARCELLATION, StructureVolume, StructureVolumes
from SITTranslateLib.systems.prescribed.presets import cited_range
from SITTranslateLib.systems.prescribed.regions import PARTS, REGIONS, Shares, shares_of_parcellation
from SITTranslateLib.traceability.geometry import Geometry
from SITTranslateLib.traceability.table import SegmentRow
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.preparation import reduced
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translation import Provenance, Translation
from SITTranslateLib.volume import Grid, Volume

#: Grid of the parcellation about the brain: mm, and voxels (K, J, I).
SPACING_MM, SHAPE = 2.0, (88, 104, 88)
#: Shares below this are not carried onto a label map: a network's probabilities are nowhere 0.
LEAST_SHARE = 0.02
#: Largest ratio of a structure's volume in a label map and by its soft shares, either way. On the T1w of OASIS 1008 the
#: 27 parts have .88 to 1.04; on a CT, which the network does not know, the putamen has .05.
CLEAR = 1.3
STILL = "Nothing moves in this translation: every volume is that of the source."
WHOLE_BRAIN = "whole brain"
#: Contours of few structures, none of which fills most of the brain or is of a few voxels, show what changed.
MOST_DRAWN, LEAST_DRAWN_ML = 6, 0.5
NOT_DRAWN = frozenset({WHOLE_BRAIN, "cortex", "white matter", "cerebellum"})


def structure_volumes(translation: Translation) -> StructureVolumes:
    """Volumes of the structures of a translation, without a segmentation: about 1.2 CPU-seconds.

    The parcellation network finds the structures of the source in any contrast. Each soft share is carried through the
    Jacobian of the motion, so that the volume after is the integral of the Jacobian over the structure.

    Returns:
        Rows by structure and side; none, with a note, where nothing moves or no brain is found.
    """
    instance_of(translation, Translation, "What the structures are measured in")
    return _volumes(translation, lambda: _structures_of_source(translation))


def _volumes(translation: Translation, find: Callable[[], Shares]) -> StructureVolumes:
    """As :func:`structure_volumes`, of the shares that a function finds where anything moves."""
    geometry = Geometry.of(translation)
    if geometry is None:
        return StructureVolumes(note="No motion is known of this translation.")
    if geometry.still or not np.any(geometry.motion.array):
        return StructureVolumes(note=STILL)
    try:
        shares = find()
    except InputError as error:
        return StructureVolumes(note=str(error))
    jacobian = on_grid(geometry.jacobian, shares.grid, outside=1.0).array
    millilitre = shares.grid.voxel_volume / 1000.0
    after = {part: float(np.vdot(share, jacobian)) * millilitre for part, share in shares.parts.items()}
    return structure_table(shares.volumes_ml, after, years_of(translation.provenance), PARCELLATION)


def _structures_of_source(translation: Translation) -> Shares:
    """As the network found them, or found now: both see the scan on the same grid, in linear units of each other."""
    kept: tuple[Parcellation, Grid] | None = translation.take_parcellation()
    return find_structures(translation.source) if kept is None else shares_of_parcellation(*kept)


def find_structures(scan: Volume) -> Shares:
    """Shares of the structures of a head or brain in any contrast, on a grid of 2 mm.

    Raises:
        InputError: no brain is found.
    """
    anatomy = locate_head(scan)
    grid = Grid.centred(anatomy.centre, SHAPE, SPACING_MM)
    return shares_of_parcellation(parcellated(reduced(scan, grid).array), grid)


def structure_segments(translation: Translation) -> tuple[Volume, dict[int, str], list[SegmentRow]]:
    """The structures of a translation's source as a label map on its grid, for viewers and archives.

    Returns:
        The map in FreeSurfer's numbers, the name of each of its labels, and the volumes of :func:`structure_volumes` in
        mm3 by these names (none where nothing moves). They are sums of soft shares: counts of the map's voxels, each
        of which has one label, differ from them somewhat. Structures where they differ by more than :data:`CLEAR` are
        left out: the network was unsure of most of their voxels.

    Raises:
        InputError: no brain is found, or no structure clearly.
    """
    shares = _structures_of_source(translation)
    if translation.known_structures is None:
        translation.keep_structures(_volumes(translation, lambda: shares))
    labels, names = label_map(shares, translation.source.grid)
    counts = {name: int(np.count_nonzero(labels.array == number)) for number, name in names.items()}
    millilitre = labels.grid.voxel_volume / 1000.0
    for number, name in list(names.items()):
        if not 1.0 / CLEAR < counts[name] * millilitre / shares.volumes_ml[name] < CLEAR:
            labels.array[labels.array == number] = 0.0
            del names[number]
    if not names:
        raise InputError("No structure is found clearly enough in this scan for a segmentation; give one.")
    numbers = {name: number for number, name in names.items()}
    rows = [
        SegmentRow(numbers[row.title], row.title, counts[row.title], 1000.0 * row.before_ml, 1000.0 * row.after_ml)
        for row in translation.structures
        if row.title in numbers
    ]
    return labels, names, rows


def structures_to_draw(translation: Translation) -> tuple[StructureVolumes, Volume | None, dict[int, str]]:
    """The volumes of :func:`structure_volumes`, and the structures that changed most as labels for their contours.

    Returns:
        The volumes, those that came with the translation where it has some; labels on a grid of 1 mm about these
        structures, and their names. No labels where nothing moves or no brain is found.
    """
    found: list[Shares] = []

    def find() -> Shares:
        found.append(_structures_of_source(translation))
        return found[0]

    volumes = translation.known_structures
    if volumes is None:
        volumes = _volumes(translation, find)
        translation.keep_structures(volumes)
    elif volumes:
        with suppress(InputError):
            find()
    if not found:
        return volumes, None, {}
    (shares,) = found
    chosen: list[str] = []
    for row in sorted(volumes.whole, key=lambda row: -abs(row.change_percent)):
        parts = [part.title for part in volumes if part.name == row.name and part.title in shares.parts]
        if row.name not in NOT_DRAWN and row.before_ml >= LEAST_DRAWN_ML and len(chosen) + len(parts) <= MOST_DRAWN:
            chosen += parts
    places = [np.argwhere(shares.parts[name] > 0.5) for name in chosen]
    if not any(map(len, places)):
        return volumes, None, {}
    indices = np.concatenate(places)
    low, high = indices.min(axis=0) - 2, indices.max(axis=0) + 2
    affine = shares.grid.affine.copy()
    affine[:3, :3] /= shares.grid.spacing[0]
    affine[:3, 3] = shares.grid.to_world(low[::-1].astype(np.float64))
    depth, height, width = ((high - low) * round(shares.grid.spacing[0]) + 1).tolist()
    labels, names = label_map(shares, Grid((depth, height, width), affine))
    names = {number: name for number, name in names.items() if name in chosen}
    labels.array[~np.isin(labels.array, list(names))] = 0.0
    return volumes, labels, {number: names[number] for name in chosen for number in names if names[number] == name}


def label_map(shares: Shares, grid: Grid) -> tuple[Volume, dict[int, str]]:
    """The part with the largest share in each voxel where brain and ventricles fill more than half of it.

    Returns:
        Labels on the grid, the first of FreeSurfer's numbers of each part, and their names.
    """
    labels, largest, total = (np.zeros(grid.shape, np.float32) for _ in range(3))
    for name, share in shares.parts.items():
        corners = np.argwhere(share > LEAST_SHARE)
        if not len(corners):
            continue
        ends = np.stack([corners.min(axis=0) - 1, corners.max(axis=0) + 1])[:, ::-1]
        box = np.array(list(product(*ends.T)), dtype=np.float64)
        places = grid.to_indices(shares.grid.to_world(box))[:, ::-1]
        first = np.clip(np.floor(places.min(axis=0)), 0, grid.shape).astype(int)
        last = np.clip(np.ceil(places.max(axis=0)) + 1, first, grid.shape).astype(int)
        if not np.all(last > first):
            continue
        within = tuple(slice(*pair) for pair in zip(first.tolist(), last.tolist(), strict=True))
        affine = grid.affine.copy()
        affine[:3, 3] = grid.to_world(first[::-1].astype(np.float64))
        part = Grid(tuple((last - first).tolist()), affine)
        values = on_grid(Volume(share, shares.grid.affine), part, outside=0.0).array
        better = values > largest[within]
        labels[within][better] = PARTS[name][0]
        largest[within][better] = values[better]
        total[within] += values
    labels[total <= 0.5] = 0.0
    present = set(np.unique(labels).tolist())
    names = {PARTS[name][0]: name for name in shares.parts if PARTS[name][0] in present}
    return Volume(labels, grid.affine, "structures"), names


def years_of(made: Provenance) -> tuple[float, float | None] | None:
    """Years that a translation stands for, and the age at the scan where it is known; None for other changes."""
    asked = made.attributes
    if "years" in asked:
        return float(asked["years"]), float(asked["age"]) if "age" in asked else None
    # Of a model without years, the age is the change of age.
    return (float(asked["age"]), None) if "age" in asked else None


def structure_table(
    before: Mapping[str, float], after: Mapping[str, float], years: tuple[float, float | None] | None, note: str
) -> StructureVolumes:
    """The table of volumes in mL by part (``left hippocampus``, ``brain stem``).

    Args:
        before, after: mL by the keys of :data:`SITTranslateLib.systems.prescribed.regions.PARTS`.
        years: see :func:`years_of`.
        note: what they were measured with.
    """
    rows: list[StructureVolume] = []
    tissue = [0.0, 0.0]
    for region in REGIONS:
        parts = [part for part, _ in region.parts if part in before]
        if not parts:
            continue
        pair = sum(before[part] for part in parts), sum(after[part] for part in parts)
        if not region.fluid:
            tissue = [tissue[0] + pair[0], tissue[1] + pair[1]]
        norm, source = (None, "") if years is None else cited_range(region.name, *years)
        whole = len(parts) == len(region.parts)
        if whole:
            rows.append(StructureVolume(region.name, "both" if region.right else "", *pair, norm, source))
        if region.right:
            rows += [
                StructureVolume(region.name, part.split(" ")[0], before[part], after[part], norm, source)
                for part in parts
            ]
    if tissue[0] > 0.0:
        rows.insert(0, StructureVolume(WHOLE_BRAIN, "", tissue[0], tissue[1]))
    return StructureVolumes(tuple(rows), note)
