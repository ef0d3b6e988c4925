"""Real scans of one person in two contrasts as cases: ``NAME_T1w.nii.gz`` beside ``NAME_T2w.nii.gz``.

Both must lie on one grid, or at least in one space. A folder of any data set in that form does, BIDS names included
(``sub-01_T1w.nii.gz``); tissue labels are not needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.cross_contrast_table import Case
from SITTranslateLib.files import read_volume
from SITTranslateLib.packages import NetworkGrid, Normalisation
from SITTranslateLib.translate.anatomy import background_of, look_at, resample_itk
from SITTranslateLib.translate.normalisation import percentile_range
from SITTranslateLib.translate.preparation import antialiased, around, intensity_range, network_grid

#: As the shipped models have it.
GRID = NetworkGrid(1.0, (176, 208, 176))
NORMALISATION = Normalisation("percentile", 0.5, 50.0, 2.0)


def pairs_in(folder: Path, source: str, target: str) -> list[tuple[str, Path, Path]]:
    """Name, source and target of every pair below a folder.

    Raises:
        InputError: no pair there.
    """
    found = []
    for file in sorted(folder.rglob(f"*_{source}.nii.gz")):
        partner = file.with_name(file.name.replace(f"_{source}.nii.gz", f"_{target}.nii.gz"))
        if partner.is_file():
            found.append((file.name.removesuffix(f"_{source}.nii.gz"), file, partner))
    if not found:
        raise InputError(f"There is no pair NAME_{source}.nii.gz and NAME_{target}.nii.gz below '{folder.name}'.")
    return found


def case_of(name: str, source_file: Path, target_file: Path, target: str) -> Case:
    """A real pair on the networks' grid, both in network units; the mask is where both scans show brain or head."""
    source, truth = read_volume(source_file), read_volume(target_file)
    anatomy = look_at(source)
    grid = network_grid(GRID, anatomy.centre)
    arrays = []
    for volume in (source, truth):
        smooth = antialiased(around(volume, grid, GRID.spacing_mm), GRID.spacing_mm)
        array = resample_itk(smooth, grid, background_of(volume.array)).array
        if volume is source or target != "CT":
            scale = intensity_range(array, NORMALISATION) if volume is source else percentile_range(array)
            array = scale.normalise(array)
        arrays.append(array)
    shown = (arrays[0] > 0.05) & (arrays[1] > (0.05 if target != "CT" else -500.0))
    return Case(
        name=name,
        group=f"real scans, {name}",
        target=target,
        source=arrays[0],
        truth=np.asarray(arrays[1], dtype=np.float32),
        acquired=None,
        brain=shown,
        head=shown,
        classes=None,
        stripped=not anatomy.skull,
    )
