"""Table of prescribed lesions on scans of patients (``sittranslate evaluate lesions``).

The folder holds ``*_T1w``, ``*_T2w``, ``*_FLAIR`` (NIfTI), each by itself, and where there are some ``*_lesions``, the
mask of the same patient on the same grid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.systems.prescribed.lesions import lesion_change
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.translate.structures import find_structures
from SITTranslateLib.volume import Volume

ADDED_ML, REMOVED_ML, SEED = 10.0, -5.0, 1
FORBIDDEN = ("cortex", "brain stem", "ventricle", "caudate", "putamen", "thalamus", "pallidum", "cerebellum")


@dataclass(frozen=True)
class LesionRow:
    """One scan.

    Attributes:
        found_ml: lesions that the scan was found to show; ``mask_ml``: of the mask, None without one.
        added_ml, sparse: delivered of 10 mL asked for, and the share of the whole change that lies in them.
        elsewhere_ml: of these, in other structures than white matter, and ``air_ml`` outside of the brain.
        removed_ml, inside: taken away of 5 mL asked for, and how much of it lies inside the mask.
    """

    scan: str
    found_ml: float
    mask_ml: float | None
    added_ml: float
    sparse: float
    elsewhere_ml: float
    air_ml: float
    removed_ml: float
    inside: float | None


def measured(name: str, scan: Volume, mask: np.ndarray | None) -> LesionRow:
    """The row of a scan."""
    shares, voxel = find_structures(scan), scan.grid.voxel_volume / 1000.0
    more = lesion_change(scan, shares, ADDED_ML, SEED)
    strong = np.abs(more.change) >= 0.5 * abs(more.contrast) * (1 - 1e-6)
    fewer = lesion_change(scan, shares, REMOVED_ML, SEED)
    removed = np.abs(fewer.change) >= 0.5 * abs(fewer.contrast) * (1 - 1e-6)
    return LesionRow(
        name,
        more.found_ml,
        None if mask is None else float(np.count_nonzero(mask)) * voxel,
        more.delivered_ml,
        float(np.abs(more.change[strong]).sum() / max(np.abs(more.change).sum(), 1e-9)),
        float(np.count_nonzero(strong & _elsewhere(shares, scan))) * voxel,
        float(np.count_nonzero(strong & (scan.array <= 0))) * voxel,
        fewer.delivered_ml,
        None if mask is None or not removed.any() else float((mask[removed] > 0).mean()),
    )


def _elsewhere(shares: Shares, scan: Volume) -> np.ndarray:
    """Where another structure than white matter has most of a voxel."""
    parts = [share for name, share in shares.parts.items() if any(word in name for word in FORBIDDEN)]
    together = Volume(np.sum(parts, axis=0).astype(np.float32), shares.grid.affine)
    return np.asarray(fields.resample_volume(together, scan.grid).array > 0.5)


def as_markdown(rows: Sequence[LesionRow]) -> str:
    """The table."""
    lines = [
        "| scan | lesions found, mL | mask, mL | +10 mL: delivered | of the change in lesions | "
        "in other structures, air, mL | -5 mL: removed | inside the mask |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mask = "" if row.mask_ml is None else f"{row.mask_ml:.1f}"
        inside = "" if row.inside is None else f"{100 * row.inside:.0f} %"
        lines.append(
            f"| {row.scan} | {row.found_ml:.1f} | {mask} | {row.added_ml:.1f} | {100 * row.sparse:.0f} % | "
            f"{row.elsewhere_ml:.1f}, {row.air_ml:.1f} | {row.removed_ml:.1f} | {inside} |"
        )
    return "\n".join(lines) + "\n"


def evaluate(request: EvaluationRequest) -> None:
    """Make the table.

    Raises:
        InputError: no folder, or no scans in it.
    """
    files = [] if request.scans is None else sorted(request.scans.glob("*.nii.gz"))
    scans = [file for file in files if re.search(r"_(T1w|T2w|FLAIR)\.nii\.gz$", file.name, re.IGNORECASE)]
    if not scans:
        raise InputError("There is nothing to evaluate: give --scans, a folder of *_T1w, *_T2w or *_FLAIR.nii.gz.")
    rows, refused = [], []
    for file in scans:
        mask = file.with_name(re.sub(r"_[^_]+$", "_lesions.nii.gz", file.name))
        truth = read_labels(mask)[0] if mask.is_file() else None
        name = file.name.removesuffix(".nii.gz")
        try:
            rows.append(measured(name, read_volume(file), truth))
        except InputError as refusal:
            # A scan in which no lesions are offered is no reason to lose the others.
            refused.append(f"{name}: {refusal}")
        say(f"{name}: done")
    request.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join([as_markdown(rows), *refused]) + "\n"
    (request.out / "lesions.md").write_text(text, encoding="utf-8")
    write_json(request.out / "lesions.json", [asdict(row) for row in rows])
    say(text)
