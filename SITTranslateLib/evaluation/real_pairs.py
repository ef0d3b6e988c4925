"""Real scans of one person in two contrasts as cases: ``NAME_T1w.nii.gz`` and ``NAME_T2w.nii.gz`` below a folder.

Both must lie on one grid, or at least in one space; tissue labels are not needed. Names end with the contrast,
as in BIDS (``sub-01_T1w``, ``sub-01_ce-gadolinium_T1w``), BraTS (``BraTS2021_00000_t1ce``, ``BraTS-GLI-00000-000-t2f``)
and IXI, which has a folder for each contrast (``IXI-T1/IXI002-Guys-0828-T1``, ``IXI-PD/IXI002-Guys-0828-PD``; its scans
must be brought into one space first).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.cases import Case
from SITTranslateLib.files import read_volume
from SITTranslateLib.packages import NetworkGrid, Normalisation
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.normalisation import percentile_range
from SITTranslateLib.translate.preparation import intensity_range, network_grid, reduced

#: How the names of a contrast's files end, before ``.nii.gz``; the first that fits from the longest on.
ENDINGS = {
    "T1w": ("_T1w", "_t1", "-t1n", "-T1"),
    "T1wGd": ("_T1wGd", "_T1w_gd", "_ce-gadolinium_T1w", "_t1ce", "-t1c"),
    "T2w": ("_T2w", "_t2", "-t2w", "-T2"),
    "FLAIR": ("_FLAIR", "_flair", "-t2f"),
    "PD": ("_PD", "_PDw", "-PD"),
    "CT": ("_CT", "_ct"),
}

#: As the shipped models have it.
GRID = NetworkGrid(1.0, (176, 208, 176))
NORMALISATION = Normalisation("percentile", 0.5, 50.0, 2.0)


def pairs_in(folder: Path, source: str, target: str) -> list[tuple[str, Path, Path]]:
    """Name, source and target of every pair below a folder.

    Raises:
        InputError: no pair there.
    """
    scans = by_person(folder)
    found = [
        (name, files[source], files[target]) for name, files in scans.items() if source in files and target in files
    ]
    if not found:
        raise InputError(f"There is no pair NAME_{source}.nii.gz and NAME_{target}.nii.gz below '{folder.name}'.")
    return found


def by_person(folder: Path) -> dict[str, dict[str, Path]]:
    """The scans below a folder by person and contrast; a person's name is a file's without its contrast's ending."""
    endings = sorted(((e, contrast) for contrast, many in ENDINGS.items() for e in many), key=lambda p: -len(p[0]))
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*.nii.gz")):
        name = file.name.removesuffix(".nii.gz")
        for ending, contrast in endings:
            if name.endswith(ending):
                found.setdefault(name.removesuffix(ending), {}).setdefault(contrast, file)
                break
    return found


def case_of(name: str, source_file: Path, target_file: Path, target: str, requested: NetworkGrid = GRID) -> Case:
    """A real pair on the networks' grid, both in network units; the mask is where both scans show brain or head."""
    source, truth = read_volume(source_file), read_volume(target_file)
    anatomy = locate_head(source)
    grid = network_grid(requested, anatomy.centre)
    arrays = []
    for volume in (source, truth):
        array = reduced(volume, grid).array
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
        spacing=(requested.spacing_mm,) * 3,
    )
