"""Forecast from two visits of one person: the motion between them as a yearly rate, blended with that of a group."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import SimpleITK as sitk

from SITTranslateLib.arguments import check_progress, number_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import place_image
from SITTranslateLib.systems.prescribed.changes import LARGEST_RATIO, SMALLEST_RATIO
from SITTranslateLib.systems.prescribed.motion import prescribed_motion
from SITTranslateLib.systems.prescribed.presets import preset_changes, spread_of
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.traceability.estimate import estimated_translation, translation_of_pair
from SITTranslateLib.traceability.geometry import Geometry
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.prescribing import Prescription, translation_of
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translate.structures import find_structures
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

DAYS_A_YEAR = 365.25
#: Over this distance the errors of an estimated motion go together, mm; farther apart they are independent.
CORRELATION_MM = 10.0
#: Share of the noise floor that goes one way over a whole structure (contrast, stripping, scanner): a number chosen.
#: Without it, the cortex of a patient would be said to grow by 5.5 % a year with a standard deviation of 0.4.
SYSTEMATIC = 0.25
#: Of a normal distribution, for an interval of 95 %.
WITHIN_95 = 1.96
FORECAST_FILE = "forecast.csv"
#: Coarsest level of the alignment, mm.
ALIGNED_AT_MM = (8.0, 4.0, 2.0)


@dataclass(frozen=True)
class ForecastRow:
    """One part of the brain. Rates and their standard deviations are in per cent a year, volumes in mL.

    Attributes:
        part: ``left hippocampus``, ``third ventricle``.
        before_ml: at the second visit.
        measured, measured_sd: between the visits, and by the noise floor of the estimate.
        norm, norm_sd: of the preset, and between persons.
        rate, rate_sd: both blended by inverse variance.
        weight: share of the measured rate in it.
        after_ml, low_ml, high_ml: volume after the years of the forecast, and its 95 % interval.
    """

    part: str
    before_ml: float
    measured: float
    measured_sd: float
    norm: float
    norm_sd: float
    rate: float
    rate_sd: float
    weight: float
    after_ml: float
    low_ml: float
    high_ml: float


@dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast: the second visit changed as prescribed by the blended rates, and the rates.

    Attributes:
        translation: of the second visit.
        rows: by part.
        days, years: between the visits, and of the forecast.
        noise_mm: mean motion that the estimate shows where nothing moved.
    """

    translation: Translation
    rows: tuple[ForecastRow, ...]
    days: float
    years: float
    noise_mm: float

    def row(self, part: str) -> ForecastRow:
        """The row of a part; KeyError if there is none."""
        for row in self.rows:
            if row.part == part:
                return row
        raise KeyError(part)

    def to_csv(self) -> str:
        """The rows as CSV text."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [field.name for field in fields(ForecastRow)]
        writer.writerow(names)
        for row in self.rows:
            values = [getattr(row, name) for name in names]
            writer.writerow([value if isinstance(value, str) else f"{value:.4g}" for value in values])
        return text.getvalue()

    def to_text(self) -> str:
        """The table for a terminal."""
        lines = [f"  {'per cent a year (sd)':24} {'measured':>14} {'norm':>13} {'blended':>13}  measured counts"]
        for row in self.rows:
            rates = ((row.measured, row.measured_sd), (row.norm, row.norm_sd), (row.rate, row.rate_sd))
            words = "".join(f" {rate:+6.1f} ({sd:4.1f})" for rate, sd in rates)
            interval = f"{row.after_ml:.1f} mL ({row.low_ml:.1f} to {row.high_ml:.1f})"
            lines.append(f"  {row.part:24}{words}  {100 * row.weight:3.0f} %  {row.before_ml:.1f} to {interval}")
        return "\n".join(lines)


def forecast(
    first: Volume | str | os.PathLike[str],
    second: Volume | str | os.PathLike[str],
    *,
    days: float,
    years: float,
    preset: str = "healthy-ageing",
    age: float | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Forecast:
    """What the second visit becomes if this person's change goes on, blended with that of a group.

    The motion between the visits is estimated; the change of each structure's volume, over the days between, is the
    measured rate. Its standard deviation follows from the noise floor of the estimate and the surface of the structure.
    The rate of the preset, with the spread between persons, is blended with it by inverse variance, and prescribed on
    the second visit.

    Args:
        first, second: two scans of one person in the same contrast; they are aligned rigidly.
        days: between them, at least 14.
        years: of the forecast, from the second visit on.
        preset: the norm.
        age: at the second visit, for presets that depend on it.
        progress: called with a stage and the fraction done.

    Raises:
        InputError: scans that cannot be traced to each other, no brain, or numbers out of range.
    """
    started = time.perf_counter()
    check_progress(progress)
    report = progress or (lambda stage, fraction: None)
    days = number_of(days, "The number of days between the visits", 14.0, 36525.0)
    years = number_of(years, "The number of years", 0.1, 30.0)
    if age is not None:
        age = number_of(age, "The age", 0.0, 120.0)
    preset_changes(preset, age, years)
    norm = {region: _yearly(change, 1.0) for region, change in preset_changes(preset, age, 1.0).items()}
    visits = [Volume.of(first), Volume.of(second)]
    report("aligning the visits", 0.02)
    pair = translation_of_pair(aligned(visits[0], visits[1]), visits[1])
    pair = estimated_translation(pair, progress=lambda stage, fraction: report(stage, 0.1 + 0.5 * fraction))
    report("finding the structures", 0.62)
    measured, spread = _measured(pair, days)
    shares = find_structures(visits[1])
    rows = tuple(
        _row(part, volume, measured[part], spread[part], norm.get(_region(part), 0.0), spread_of(_region(part)), years)
        for part, volume in shares.volumes_ml.items()
        if part in measured and _region(part) in norm
    )
    if not rows:
        raise InputError("No structure is shown by both visits.")
    report("finding the motion", 0.7)
    asked = {row.part: row.after_ml / row.before_ml for row in rows}
    motion = prescribed_motion(shares, asked, stripped=not locate_head(visits[1]).skull)
    translation = translation_of(visits[1], motion, None, Prescription(asked, None, years, age), 0, started)
    made = replace(translation.provenance, attributes=translation.provenance.attributes | {"years": years})
    table = translation.structures
    intervals = f"{_intervals(rows)} Norm: {preset}, {days:g} days between the visits, {years:g} years."
    translation = replace(
        translation, provenance=made, given_structures=replace(table, note=f"{intervals} {table.note}")
    )
    report("done", 1.0)
    floor = pair.provenance.noise_floor
    return Forecast(translation, rows, days, years, 0.0 if floor is None else floor.mean_mm)


def _intervals(rows: Sequence[ForecastRow]) -> str:
    """The structures that a reader asks for first, with their intervals."""
    return "Forecast with its 95 % interval: " + "; ".join(
        f"{row.part} {row.before_ml:.1f} to {row.after_ml:.1f} mL ({row.low_ml:.1f} to {row.high_ml:.1f}; "
        f"what was measured counts {100.0 * row.weight:.0f} %)"
        for row in rows
        if _region(row.part) in ("lateral ventricle", "hippocampus", "cortex")
    ) + "."  # fmt: skip


def aligned(moving: Volume, fixed: Volume) -> Volume:
    """A scan moved rigidly onto another of the same head, on that one's grid (mutual information, SimpleITK)."""
    images = [place_image(sitk.GetImageFromArray(scan.array), scan.affine) for scan in (fixed, moving)]
    start = sitk.CenteredTransformInitializer(
        *images, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    # Scans that were aligned before share a frame already; the better start of the two is taken.
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.05)
    method.SetInterpolator(sitk.sitkLinear)
    starts = [sitk.Euler3DTransform(), sitk.Euler3DTransform(start)]
    starts[0].SetCenter(starts[1].GetCenter())
    values = []
    for one in starts:
        method.SetInitialTransform(one)
        try:
            values.append(method.MetricEvaluate(*images))
        except RuntimeError:
            # Where the two frames do not overlap.
            values.append(math.inf)
    best = starts[int(np.argmin(values))]
    method.SetInitialTransform(best, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    finest = min(fixed.spacing)
    method.SetShrinkFactorsPerLevel([max(1, round(mm / finest)) for mm in ALIGNED_AT_MM])
    method.SetSmoothingSigmasPerLevel([mm / 2.0 for mm in ALIGNED_AT_MM])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    try:
        method.Execute(*images)
    except RuntimeError as error:
        raise InputError("The two visits could not be aligned; give scans of one head in one contrast.") from error
    background = float(np.percentile(moving.array, 0.5))
    moved = sitk.Resample(images[1], images[0], best, sitk.sitkLinear, background, sitk.sitkFloat32)
    return Volume(sitk.GetArrayFromImage(moved), fixed.affine, moving.name)


def _measured(pair: Translation, days: float) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Per cent a year of each part between the visits, and its standard deviation by the noise floor."""
    geometry = Geometry.of(pair)
    floor = pair.provenance.noise_floor
    if geometry is None or floor is None:
        raise InputError("The motion between the two visits could not be estimated.")
    shares = find_structures(pair.source)
    jacobian = on_grid(geometry.jacobian, shares.grid, outside=1.0).array
    span = days / DAYS_A_YEAR
    rates, spread = {}, {}
    for part, share in shares.parts.items():
        before = float(share.sum(dtype=np.float64))
        rates[part] = _yearly(100.0 * (float(np.vdot(share, jacobian)) / before - 1.0), span)
        spread[part] = 100.0 * _noise(share, shares, floor.mean_mm) / span
    return rates, spread


def _noise(share: np.ndarray, shares: Shares, floor_mm: float) -> float:
    """Standard deviation of the logarithm of a volume whose surface is off by the floor.

    Patch by patch independently, and by a share of it over the whole structure alike.
    """
    spacing = shares.grid.spacing[0]
    slope = np.sqrt(sum(np.square(part, dtype=np.float64) for part in np.gradient(share, spacing)))
    surface = float(slope.sum()) * spacing**3
    volume = float(share.sum(dtype=np.float64)) * spacing**3
    patches = max(1.0, surface / CORRELATION_MM**2)
    return floor_mm * surface / volume * math.sqrt(1.0 / patches + SYSTEMATIC**2)


def _row(
    part: str, volume: float, measured: float, measured_sd: float, norm: float, norm_sd: float, years: float
) -> ForecastRow:
    weights = 1.0 / measured_sd**2, 1.0 / norm_sd**2
    total = sum(weights)
    rate, sd = (weights[0] * measured + weights[1] * norm) / total, math.sqrt(1.0 / total)
    after, low, high = (
        volume * min(max(math.exp(years * r / 100.0), SMALLEST_RATIO), LARGEST_RATIO)
        for r in (rate, rate - WITHIN_95 * sd, rate + WITHIN_95 * sd)
    )
    return ForecastRow(
        part, volume, measured, measured_sd, norm, norm_sd, rate, sd, weights[0] / total, after, low, high
    )


def _yearly(percent: float, years: float) -> float:
    """Per cent a year, of the logarithm, so that rates add up over time."""
    return 100.0 * math.log1p(percent / 100.0) / years


def _region(part: str) -> str:
    return part.removeprefix("left ").removeprefix("right ")
