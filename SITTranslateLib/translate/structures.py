"""Volumes of structures before and after a translation, by the parcellation of its source and its motion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from SITTranslateLib.arguments import instance_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.parcellation import parcellated
from SITTranslateLib.structure_table import PARCELLATION, StructureVolume, StructureVolumes
from SITTranslateLib.systems.prescribed.presets import cited_range
from SITTranslateLib.systems.prescribed.regions import REGIONS, Shares, shares_of_parcellation
from SITTranslateLib.traceability.geometry import Geometry
from SITTranslateLib.translate.head import background_of, locate_head, resample_itk
from SITTranslateLib.translate.preparation import antialiased, around
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translation import Provenance, Translation
from SITTranslateLib.volume import Grid, Volume

#: Grid of the parcellation about the brain: mm, and voxels (K, J, I).
SPACING_MM, SHAPE = 2.0, (88, 104, 88)
STILL = "Nothing moves in this translation: every volume is that of the source."
WHOLE_BRAIN = "whole brain"


def structure_volumes(translation: Translation) -> StructureVolumes:
    """Volumes of the structures of a translation, without a segmentation: about 2.5 CPU-seconds.

    The parcellation network finds the structures of the source in any contrast. Each soft share is carried through the
    Jacobian of the motion, so that the volume after is the integral of the Jacobian over the structure.

    Returns:
        Rows by structure and side; none, with a note, where nothing moves or no brain is found.
    """
    instance_of(translation, Translation, "What the structures are measured in")
    geometry = Geometry.of(translation)
    if geometry is None:
        return StructureVolumes(note="No motion is known of this translation.")
    if geometry.still or not np.any(geometry.motion.array):
        return StructureVolumes(note=STILL)
    try:
        shares = find_structures(translation.source)
    except InputError as error:
        return StructureVolumes(note=str(error))
    jacobian = on_grid(geometry.jacobian, shares.grid, outside=1.0).array
    millilitre = shares.grid.voxel_volume / 1000.0
    after = {part: float(np.vdot(share, jacobian)) * millilitre for part, share in shares.parts.items()}
    return structure_table(shares.volumes_ml, after, years_of(translation.provenance), PARCELLATION)


def find_structures(scan: Volume) -> Shares:
    """Shares of the structures of a head or brain in any contrast, on a grid of 2 mm.

    Raises:
        InputError: no brain is found.
    """
    anatomy = locate_head(scan)
    grid = Grid.centred(anatomy.centre, SHAPE, SPACING_MM)
    smooth = antialiased(around(scan, grid, SPACING_MM), SPACING_MM)
    image = resample_itk(smooth, grid, background_of(scan.array))
    return shares_of_parcellation(parcellated(image.array), grid)


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
