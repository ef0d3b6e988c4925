"""Table of prescribed change on real scans, against manual labels (``sittranslate evaluate prescribed``)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.segmentation.neuromorphometrics import in_freesurfer_numbers
from SITTranslateLib.systems.prescribed.regions import PARTS
from SITTranslateLib.systems.prescribed.solver import cell_jacobian, nodes_of
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.translate.prescribing import prescribe
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

PRESET, AGE, YEARS = "healthy-ageing", 60.0, 20.0
#: Structures whose volume is asked to change by the preset, and the brain stem, which is held.
HELD = "brain stem"


@dataclass(frozen=True)
class PrescribedScan:
    """One scan.

    Attributes:
        asked, reached: per cent of change by part; ``reached`` is the integral of the Jacobian over the manual label.
        folded: voxels of the scan's grid with a Jacobian of 0 or less.
        back_p95_mm, back_max_mm: what there and back leaves in the brain.
        longest_mm: the longest motion.
        cpu_seconds: from the scan and its labels to the result.
    """

    subject: str
    asked: dict[str, float]
    reached: dict[str, float]
    folded: int
    back_p95_mm: float
    back_max_mm: float
    longest_mm: float
    cpu_seconds: float


def manual_labels(file: Path) -> Volume:
    """Manual labels of the Neuromorphometrics protocol, in FreeSurfer's numbers."""
    array, affine = read_labels(file)
    return in_freesurfer_numbers(Volume(array.astype(np.float32), affine, file.name))


def measured(subject: str, result: Translation, asked: dict[str, float], labels: Volume, cpu: float) -> PrescribedScan:
    """The row of a result that was made with these changes in mind."""
    assert result.velocity is not None and result.motion is not None and result.sampling is not None
    motion = fields.resample_field(fields.exponential(result.velocity), nodes_of(labels.grid)).array
    jacobian = cell_jacobian(motion @ np.linalg.inv(labels.grid.axes).T.astype(np.float32), 1.0)
    reached = {}
    for part, own in PARTS.items():
        inside = np.isin(labels.array, own)
        if inside.any():
            reached[part] = 100.0 * (float(jacobian[inside].mean(dtype=np.float64)) - 1.0)
    brain = fields.resample_volume(labels, result.source.grid, "nearest").array > 0
    back = fields.compose(result.motion, result.sampling).magnitude()[brain]
    return PrescribedScan(
        subject,
        asked,
        reached,
        int(np.count_nonzero(jacobian <= 0)),
        float(np.percentile(back, 95)),
        float(back.max()),
        float(result.motion.magnitude().max()),
        cpu,
    )


def prescribed_scan(scan: Path, labels: Path) -> PrescribedScan:
    """Healthy ageing of a scan by its manual labels."""
    volume, manual = read_volume(scan), manual_labels(labels)
    started = time.process_time()
    result = prescribe(volume, manual, preset=PRESET, age=AGE, years=YEARS)
    cpu = time.process_time() - started
    return measured(scan.name.split("_")[0], result, dict(result.provenance.attributes), manual, cpu)


def scans_in(folder: Path) -> list[tuple[Path, Path]]:
    """Scans ``*_T1w.nii.gz`` with their ``*_labels.nii.gz``.

    Raises:
        InputError: none.
    """
    pairs = [(f, f.with_name(f.name.replace("T1w", "labels"))) for f in sorted(folder.glob("*_T1w.nii.gz"))]
    pairs = [pair for pair in pairs if pair[1].is_file()]
    if not pairs:
        raise InputError(f"'{folder.name}' holds no scans *_T1w.nii.gz with *_labels.nii.gz beside them.")
    return pairs


def by_part(rows: Sequence[PrescribedScan]) -> Iterator[tuple[str, float, NDArray[np.float64], str]]:
    """Each structure that some scan shows, if it was asked for or is held: per cent asked, reached by scan, and the
    mean and range of these in words."""
    for part in PARTS:
        reached = np.array([row.reached[part] for row in rows if part in row.reached])
        asked = [row.asked[part] for row in rows if part in row.asked and part in row.reached]
        if reached.size and (asked or part == HELD):
            span = f"{reached.mean():+.1f} ({reached.min():+.1f} to {reached.max():+.1f})"
            yield part, asked[0] if asked else 0.0, reached, span


def as_markdown(rows: Sequence[PrescribedScan]) -> str:
    """By structure: asked, reached (mean and range over scans), largest distance in points."""
    lines = [
        f"{len(rows)} scans, {PRESET} from {AGE:g} years on, {YEARS:+g} years",
        "",
        "| structure | asked % | reached %, mean (range) | largest miss, points |",
        "|---|---|---|---|",
    ]
    for part, wanted, reached, span in by_part(rows):
        lines.append(f"| {part} | {wanted:+.1f} | {span} | {float(np.abs(reached - wanted).max()):.2f} |")
    back, cpu = max(row.back_p95_mm for row in rows), np.array([row.cpu_seconds for row in rows])
    lines += [
        "",
        f"Folded voxels: {sum(row.folded for row in rows)}. There and back, 95th percentile in the brain: at most "
        f"{back:.3f} mm (largest anywhere {max(row.back_max_mm for row in rows):.2f} mm). Longest motion "
        f"{max(row.longest_mm for row in rows):.1f} mm. CPU seconds a scan: median {np.median(cpu):.1f}, largest "
        f"{cpu.max():.1f}.",
    ]
    return "\n".join(lines) + "\n"


def write(rows: Sequence[PrescribedScan], folder: Path, name: str = "prescribed") -> None:
    """Write the table and the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(as_markdown(rows), encoding="utf-8")
    write_json(folder / f"{name}.json", [asdict(row) for row in rows])


def evaluate(request: EvaluationRequest) -> None:
    """Make the table.

    Raises:
        InputError: no folder of scans with labels.
    """
    if request.scans is None:
        raise InputError("There is nothing to evaluate: give --scans, a folder of *_T1w with *_labels.")
    write([prescribed_scan(*pair) for pair in scans_in(request.scans)], request.out)
