"""``sittranslate evaluate parcellation``: the structures found by the library against labels and between contrasts.

A folder of scans (``--scans``) is measured in two ways. Against labels: each ``NAME_T1w`` with ``NAME_labels``
(Neuromorphometrics protocol) or ``NAME_aseg`` (FreeSurfer's numbers) beside it. Between contrasts of one person: each
``NAME_T1w`` with ``NAME_T2w`` or ``NAME_FLAIR``. A folder of label maps (``--labels``) gives random heads in random
contrasts. What is measured are the volumes and the label map that a user gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import Column, Row, Table
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.segmentation.neuromorphometrics import in_freesurfer_numbers
from SITTranslateLib.simulation.labels import lookup
from SITTranslateLib.simulation.random_contrast import random_contrast
from SITTranslateLib.systems.prescribed.regions import PARTS, REGIONS, Shares
from SITTranslateLib.training.engine.held_out import MAPS
from SITTranslateLib.training.engine.label_maps import label_map as map_of_head
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.random_heads import affine_of, deformed, head_of, stripping_mask
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.translate.structures import find_structures, label_map
from SITTranslateLib.volume import Grid, Volume

CONTRASTS = ("T2w", "FLAIR")
COLUMNS = {
    "dice": Column("Dice", 2),
    "error": Column("volume error %, absolute", 0),
    "bias": Column("volume error %", 0),
    "millilitres": Column("found mL", 1),
}
SEED = 2029
#: Voxels of 1 mm of a random head.
_SHAPE, _SHIFT_MM = (176, 208, 176), (5.0, 6.0, 5.0)
#: FreeSurfer's aseg has white matter of its own for lesions (77).
_FIRST = lookup({label: labels[0] for labels in PARTS.values() for label in labels} | {77: 2}, np.int16)


@dataclass(frozen=True, eq=False)
class Measured:
    """Structures on a grid: the first of FreeSurfer's numbers of each part, and the parts' volumes."""

    numbers: NDArray[np.integer]
    volumes_ml: Mapping[str, float]

    @classmethod
    def of_labels(cls, labels: Volume) -> Measured:
        """Of FreeSurfer's numbers."""
        whole = np.rint(labels.array).astype(int)
        numbers = _FIRST[np.where(whole < len(_FIRST), whole, 0)]
        millilitre = labels.grid.voxel_volume / 1000.0
        counts = np.bincount(numbers.ravel(), minlength=len(_FIRST))
        return cls(numbers, {part: float(counts[own[0]]) * millilitre for part, own in PARTS.items()})

    @classmethod
    def found(cls, shares: Shares, grid: Grid) -> Measured:
        """As a user gets them."""
        return cls(label_map(shares, grid)[0].array.astype(np.int16), shares.volumes_ml)


def agreement(found: Measured, truth: Measured) -> dict[str, dict[str, float]]:
    """Figures of each region that the truth shows: Dice is the mean of left and right, volumes are of both."""
    figures = {}
    for region in REGIONS:
        parts = [(name, own[0]) for name, own in region.parts if truth.volumes_ml.get(name, 0.0) > 0]
        if not parts:
            continue
        dice = []
        for _, number in parts:
            here, there = found.numbers == number, truth.numbers == number
            dice.append(2.0 * int((here & there).sum()) / max(1, int(here.sum()) + int(there.sum())))
        volume, true = (sum(m.volumes_ml.get(name, 0.0) for name, _ in parts) for m in (found, truth))
        bias = 100.0 * (volume / true - 1.0)
        figures[region.name] = {
            "dice": float(np.mean(dice)), "error": abs(bias), "bias": bias, "millilitres": volume
        }  # fmt: skip
    return figures


def rows_of_scans(folder: Path) -> Iterator[Row]:
    """Rows of the scans of a folder."""
    for file in sorted(folder.glob("*_T1w.nii*")):
        name = file.name.partition("_T1w")[0]
        beside = {kind: next(iter(folder.glob(f"{name}_{kind}.nii*")), None) for kind in ("labels", "aseg", *CONTRASTS)}
        if not any(beside.values()):
            continue
        say(name)
        scan = read_volume(file)
        found = find_structures(scan)
        for kind in ("labels", "aseg"):
            labels = beside[kind]
            if labels is not None:
                array, affine = read_labels(labels)
                truth = Volume(array.astype(np.float32), affine, labels.name)
                truth = in_freesurfer_numbers(truth) if kind == "labels" else truth
                measured = Measured.found(found, truth.grid)
                figures = agreement(measured, Measured.of_labels(truth))
                yield from _rows(figures, "real scans against labels", name)
        for contrast in CONTRASTS:
            other = beside[contrast]
            if other is not None:
                pair = (Measured.found(s, scan.grid) for s in (find_structures(read_volume(other)), found))
                yield from _rows(agreement(*pair), f"{contrast} against T1w of the same person (real)", name)


def rows_of_heads(folder: Path, count: int) -> Iterator[Row]:
    """Rows of random heads of a few label maps, every second one without its skull."""
    for name in MAPS:
        head = head_of(map_of_head(folder, name))
        for index in range(count):
            rng = np.random.default_rng([SEED, int(name), index])
            labels = deformed(head, rng, _SHAPE, _SHIFT_MM)
            mask = stripping_mask(labels, rng) if index % 2 else None
            image = Volume(random_contrast(labels, rng, mask, 1.0), affine_of(1.0), f"{name}-{index}")
            truth = Volume(labels.astype(np.float32), affine_of(1.0), "labels")
            figures = agreement(Measured.found(find_structures(image), truth.grid), Measured.of_labels(truth))
            yield from _rows(figures, "new heads of known label maps", image.name)


def _rows(figures: dict[str, dict[str, float]], group: str, case: str) -> Iterator[Row]:
    for region, values in figures.items():
        yield Row(region, group, case, values)


def evaluate(request: EvaluationRequest) -> None:
    """Write the table.

    Raises:
        InputError: neither scans nor label maps.
    """
    rows: list[Row] = []
    if request.scans is not None:
        rows += rows_of_scans(request.scans)
    if request.labels is not None:
        rows += rows_of_heads(request.labels, request.count)
    if not rows:
        raise InputError("There is nothing to measure: give --scans, a folder of *_T1w with labels, or --labels.")
    table = Table(COLUMNS, rows)
    table.write(request.out, "parcellation")
    say(table.markdown())
