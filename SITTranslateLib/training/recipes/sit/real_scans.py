"""Ageing of real scans: ventricle growth against the published rate, and quality of the field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from SITTranslateLib.files import read_volume
from SITTranslateLib.files.reading import read_labels
from SITTranslateLib.simulation import RATES
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.verification import verify

#: Neuromorphometrics labels of the lateral ventricles with their inferior horns.
LATERAL_VENTRICLES = (49, 50, 51, 52)


@dataclass(frozen=True)
class AgedScan:
    """One scan aged by some years; volumes in mL, fields in mm."""

    subject: str
    years: float
    ventricles_before: float
    ventricles_change_percent: float
    largest_motion: float
    folded: int
    recomposition_percent: float
    inverse_residual: float


def age_scan(model: LoadedModel, subject: str, scan: Path, labels: Path, years: float) -> AgedScan:
    """Translate and measure; the ventricles after are the integral of the motion's Jacobian over those before."""
    volume = read_volume(scan)
    result = translate(volume, model, age=years)
    found = verify(result)
    array, _ = read_labels(labels)
    ventricles = np.isin(array, LATERAL_VENTRICLES)
    assert result.jacobian is not None
    millilitres = volume.grid.voxel_volume / 1000.0
    before = float(ventricles.sum()) * millilitres
    after = float(result.jacobian.array[ventricles].sum()) * millilitres
    worst = max(found.recomposition or 0.0, found.network_error)
    return AgedScan(
        subject=subject,
        years=years,
        ventricles_before=before,
        ventricles_change_percent=100.0 * (after / before - 1.0),
        largest_motion=float(found.largest_motion_mm or 0.0),
        folded=int(found.folded or 0),
        recomposition_percent=100.0 * worst / found.intensity_range,
        inverse_residual=float(found.inverse_residual_mm or 0.0),
    )


def published_change(years: float) -> float:
    """Lateral ventricle growth over some years at the simulation's published rate, per cent."""
    return 100.0 * (float(np.exp(RATES["lateral ventricles"].per_decade * years / 10.0)) - 1.0)


def as_markdown(scans: Iterable[AgedScan]) -> str:
    """A row a change of age: mean and range over the scans, the published figure beside it."""
    scans = list(scans)
    lines = [
        "| age | lateral ventricles, mean (range) | published rate | identity | largest motion | folded voxels "
        "| recomposition, worst | inverse residual p99, worst |",
        "|---" * 8 + "|",
    ]
    for years in sorted({scan.years for scan in scans}):
        group = [scan for scan in scans if scan.years == years]
        change = np.array([scan.ventricles_change_percent for scan in group])
        cells = [
            f"{years:+g} years ({len(group)} scans)",
            f"{change.mean():+.1f} % ({change.min():+.1f} to {change.max():+.1f})",
            f"{published_change(years):+.1f} %",
            "0 %",
            f"{max(s.largest_motion for s in group):.2f} mm",
            f"{sum(s.folded for s in group)}",
            f"{max(s.recomposition_percent for s in group):.3f} % of range",
            f"{max(s.inverse_residual for s in group):.4f} mm",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(scans: list[AgedScan], folder: Path) -> None:
    """``ageing_on_real_scans.md`` and ``.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ageing_on_real_scans.md").write_text(as_markdown(scans), encoding="utf-8")
    text = json.dumps([asdict(scan) for scan in scans], indent=1)
    (folder / "ageing_on_real_scans.json").write_text(text, encoding="utf-8")


def age_scans(folder: Path, model: str, years: tuple[float, ...] = (-20.0, 20.0)) -> list[AgedScan]:
    """Every scan ``*_T1w.nii.gz`` of a folder, made older and younger by a model package; its labels lie beside it."""
    loaded = load_model(model)
    jobs = [(file, change) for file in sorted(folder.glob("*_T1w.nii.gz")) for change in years]
    return [
        age_scan(loaded, file.name.split("_")[0], file, file.with_name(file.name.replace("T1w", "labels")), change)
        for file, change in track(jobs, "Ageing real scans")
    ]
