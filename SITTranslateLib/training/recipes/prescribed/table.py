"""Tables of change by structure: ``sittranslate evaluate prescribed`` by labels, ``... change`` by a package alone.

Healthy ageing of scans with manual labels (``--scans``) and, by a package, of simulated heads of label maps that no
package was trained on (``--labels``). Both kinds of labels are for measuring; only ``prescribed`` is given them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import Column, Row, Table
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.segmentation.neuromorphometrics import in_freesurfer_numbers
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import PARTS, parts_named
from SITTranslateLib.systems.prescribed.solver import cell_jacobian, nodes_of
from SITTranslateLib.training.engine.grid import SPACING_MM
from SITTranslateLib.training.engine.held_out import MAPS
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.random_heads import FINE, affine_of, deformed, head_of, t1w_image
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.prescribing import prescribe
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

PRESET, AGE, YEARS = "healthy-ageing", 60.0, 20.0
SEED = 2028
#: What the preset changes no volume of is measured if it is this one.
HELD = "brain stem"
COLUMNS = {
    "asked": Column("asked %", 1),
    "reached": Column("reached %", 1),
    "lowest": Column("lowest", 1, "min"),
    "highest": Column("highest", 1, "max"),
    "miss": Column("absolute miss, points", 2),
    "largest": Column("largest miss", 2, "max"),
    "right": Column("share with the right sign", 2),
    "folded": Column("folded voxels", 0, "sum"),
    "back": Column("there and back, 95th percentile in the brain, mm, at most", 3, "max"),
    "back_max": Column("anywhere in the brain, mm", 2, "max"),
    "again": Column("translated back from the result alone, median in the brain, mm", 2),
    "again_95": Column("95th percentile, mm", 2),
    "longest": Column("longest motion, mm", 1, "max"),
    "cpu": Column("CPU s a scan", 1),
}


def rows_of(
    group: str, case: str, result: Translation, asked: dict[str, float], labels: Volume, **more: float
) -> Iterator[Row]:
    """Rows of one result: of each structure that was asked for, or is held, and of the scan as a whole.

    Args:
        asked: per cent of change by part. What is reached is the integral of the Jacobian over the part's label.
        labels: FreeSurfer's numbers.
        more: further figures of the scan.
    """
    assert result.velocity is not None and result.motion is not None and result.sampling is not None
    motion = fields.resample_field(fields.exponential(result.velocity), nodes_of(labels.grid)).array
    jacobian = cell_jacobian(motion @ np.linalg.inv(labels.grid.axes).T.astype(np.float32), 1.0)
    for part, own in PARTS.items():
        inside = np.isin(labels.array, own)
        if inside.any() and (part in asked or part == HELD):
            wanted, reached = asked.get(part, 0.0), 100.0 * (float(jacobian[inside].mean(dtype=np.float64)) - 1.0)
            figures = {"asked": wanted, "miss": abs(reached - wanted), "largest": abs(reached - wanted)}
            figures |= dict.fromkeys(("reached", "lowest", "highest"), reached)
            yield Row(part, group, case, figures | ({"right": float(reached * wanted > 0)} if wanted else {}))
    back = fields.compose(result.motion, result.sampling).magnitude()[brain_of(labels, result)]
    whole = {
        "folded": float(np.count_nonzero(jacobian <= 0)),
        "back": float(np.percentile(back, 95)),
        "back_max": float(back.max()),
        "longest": float(result.motion.magnitude().max()),
    }
    yield Row("scan as a whole", f"{group}, whole", case, whole | more)


def brain_of(labels: Volume, result: Translation) -> np.ndarray:
    """The brain on the grid of a result."""
    return np.asarray(fields.resample_volume(labels, result.source.grid, "nearest").array > 0)


def request_of(model: LoadedModel, age: float, years: float) -> dict[str, float]:
    """Healthy ageing: years from an age on, or, where a package knows no years, ``age`` as the change."""
    return {"age": years} if model.card.attribute("years") is None else {"age": age, "years": years}


def changed_scan(group: str, case: str, scan: Volume, labels: Volume, model: LoadedModel) -> Iterator[Row]:
    """Rows of a scan aged by a package and translated back, the model seeing the result alone."""
    changes = preset_changes(PRESET, AGE, YEARS).items()
    asked = {part: percent for region, percent in changes for part in parts_named(region)}
    started = time.process_time()
    result = translate(scan, model, attributes=request_of(model, AGE, YEARS))
    cpu = time.process_time() - started
    back = translate(result.translated, model, attributes=request_of(model, AGE + YEARS, -YEARS))
    assert result.motion is not None and back.motion is not None
    again = fields.compose(back.motion, result.motion).magnitude()[brain_of(labels, result)]
    left = {"again": float(np.median(again)), "again_95": float(np.percentile(again, 95))}
    yield from rows_of(group, case, result, asked, labels, cpu=cpu, **left)


def real_scans(folder: Path) -> Iterator[tuple[str, Volume, Volume]]:
    """Name, scan ``*_T1w`` and manual labels ``*_labels`` (Neuromorphometrics protocol), in FreeSurfer's numbers.

    Raises:
        InputError: none.
    """
    pairs = [(file, file.with_name(file.name.replace("T1w", "labels"))) for file in sorted(folder.glob("*_T1w.nii.gz"))]
    pairs = [pair for pair in pairs if pair[1].is_file()]
    if not pairs:
        raise InputError(f"'{folder.name}' holds no scans *_T1w.nii.gz with *_labels.nii.gz beside them.")
    for file, labels in pairs:
        array, affine = read_labels(labels)
        manual = in_freesurfer_numbers(Volume(array.astype(np.float32), affine, labels.name))
        yield file.name.split("_")[0], read_volume(file), manual


def held_out_heads(folder: Path, count: int) -> Iterator[tuple[str, Volume, Volume]]:
    """Name, T1w scan (2 mm, every second one without skull) and labels of random heads of the held-out maps."""
    for name in MAPS:
        head = head_of(label_map(folder, name))
        for index in range(count):
            rng = np.random.default_rng([SEED, int(name), index])
            labels = deformed(head, rng, FINE, (5.0, 6.0, 5.0))
            scan = Volume(t1w_image(labels, rng, strip=bool(index % 2)), affine_of(SPACING_MM), f"{name}-{index}")
            yield scan.name, scan, Volume(labels.astype(np.float32), affine_of(1.0), "labels")


def evaluate(request: EvaluationRequest) -> None:
    """Table of prescribed change.

    Raises:
        InputError: no folder of scans with labels.
    """
    if request.scans is None:
        raise InputError("There is nothing to evaluate: give --scans, a folder of *_T1w with *_labels.")
    rows: list[Row] = []
    for name, scan, labels in real_scans(request.scans):
        started = time.process_time()
        result = prescribe(scan, labels, preset=PRESET, age=AGE, years=YEARS)
        cpu = time.process_time() - started
        rows += rows_of("real scans", name, result, dict(result.provenance.attributes), labels, cpu=cpu)
    _write(rows, request.out, "prescribed")


def evaluate_change(request: EvaluationRequest) -> None:
    """Table of a package.

    Raises:
        InputError: neither scans with labels nor label maps.
    """
    if request.scans is None and request.labels is None:
        raise InputError("There is nothing to evaluate: give --scans, a folder of *_T1w with *_labels, or --labels.")
    model = load_model(request.model)
    groups: dict[str, Iterator[tuple[str, Volume, Volume]]] = {}
    if request.labels is not None:
        groups["simulated heads"] = held_out_heads(request.labels, request.count)
    if request.scans is not None:
        groups["real scans"] = real_scans(request.scans)
    rows = [row for group, cases in groups.items() for case in cases for row in changed_scan(group, *case, model)]
    _write(rows, request.out, "change", model=model.card.name)


def _write(rows: Sequence[Row], folder: Path, name: str, **records: Any) -> None:
    table = Table(COLUMNS, rows)
    table.write(folder, name, preset=PRESET, age=AGE, years=YEARS, **records)
    say(table.markdown())
