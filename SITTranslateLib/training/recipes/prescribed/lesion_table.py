"""Table of prescribed lesions on scans of patients (``sittranslate evaluate lesions``).

The folder holds ``*_T1w``, ``*_T2w``, ``*_FLAIR`` (NIfTI), each by itself, and where there are some ``*_lesions``, the
mask of the same patient on the same grid.
"""

from __future__ import annotations

import re

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import Column, Row, Table
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.systems.prescribed.lesions import lesion_change
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.translate.structures import find_structures
from SITTranslateLib.volume import Volume

ADDED_ML, REMOVED_ML, SEED = 10.0, -5.0, 1
FORBIDDEN = ("cortex", "brain stem", "ventricle", "caudate", "putamen", "thalamus", "pallidum", "cerebellum")


COLUMNS = {
    "found": Column("lesions found, mL", 1),
    "mask": Column("mask, mL", 1),
    "added": Column(f"{ADDED_ML:+g} mL: delivered", 1),
    "sparse": Column("share of the change in lesions", 2),
    "elsewhere": Column("in other structures than white matter, mL", 1),
    "air": Column("outside of the brain, mL", 1),
    "removed": Column(f"{REMOVED_ML:+g} mL: delivered", 1),
    "inside": Column("share inside the mask", 2),
}


def measured(name: str, scan: Volume, mask: np.ndarray | None) -> Row:
    """The row of a scan; without a mask, or where nothing is taken away, figures are absent."""
    shares, voxel = find_structures(scan), scan.grid.voxel_volume / 1000.0
    more = lesion_change(scan, shares, ADDED_ML, SEED)
    strong = np.abs(more.change) >= 0.5 * abs(more.contrast) * (1 - 1e-6)
    fewer = lesion_change(scan, shares, REMOVED_ML, SEED)
    removed = np.abs(fewer.change) >= 0.5 * abs(fewer.contrast) * (1 - 1e-6)
    figures = {
        "found": more.found_ml,
        "added": more.delivered_ml,
        "sparse": float(np.abs(more.change[strong]).sum() / max(np.abs(more.change).sum(), 1e-9)),
        "elsewhere": float(np.count_nonzero(strong & _elsewhere(shares, scan))) * voxel,
        "air": float(np.count_nonzero(strong & (scan.array <= 0))) * voxel,
        "removed": fewer.delivered_ml,
    }
    if mask is not None:
        figures["mask"] = float(np.count_nonzero(mask)) * voxel
        if removed.any():
            figures["inside"] = float((mask[removed] > 0).mean())
    return Row(name, "real scans", name, figures)


def _elsewhere(shares: Shares, scan: Volume) -> np.ndarray:
    """Where another structure than white matter has most of a voxel."""
    parts = [share for name, share in shares.parts.items() if any(word in name for word in FORBIDDEN)]
    together = Volume(np.sum(parts, axis=0).astype(np.float32), shares.grid.affine)
    return np.asarray(fields.resample_volume(together, scan.grid).array > 0.5)


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
    table = Table(COLUMNS, rows)
    table.write(request.out, "lesions", refused=refused)
    say("\n".join([table.markdown(), *refused]))
