"""A forecast: the change between two visits becomes a rate, blended with that of a group by its noise."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

import SITTranslateLib as sit
from SITTranslateLib import fields
from SITTranslateLib.app.main import run
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.scan import simulate_contrasts
from SITTranslateLib.systems.prescribed.presets import MULTIPLE_SCLEROSIS, spread_of
from SITTranslateLib.systems.prescribed.regions import Shares, shares_of_labels
from SITTranslateLib.translate import forecasting
from SITTranslateLib.translate.forecasting import _row, aligned
from SITTranslateLib.volume import Grid, Volume

GROWN = 25.0


@pytest.fixture(scope="module")
def visits() -> tuple[Volume, Volume, Volume]:
    """A head, the same head a year later with larger ventricles, and its labels at the first visit."""
    labels = procedural_head(1, spacing=2.5)
    scan = simulate_contrasts(labels, ["T1w"], 0, grid=labels.grid).scans["T1w"]
    later = sit.prescribe(scan, labels.as_volume(), changes={"lateral ventricle": GROWN}).translated
    return scan, later, labels.as_volume()


@pytest.fixture(scope="module")
def found(visits: tuple[Volume, Volume, Volume]) -> forecasting.Forecast:
    first, second, labels = visits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecasting, "find_structures", lambda scan: shares_of_labels(labels))
        return forecasting.forecast(first, second, days=365.25, years=2.0, preset="ms")


def test_the_change_between_the_visits_is_found(found: forecasting.Forecast) -> None:
    """The registration sees most of it; its own price on bending takes the rest."""
    rates = [found.row(f"{side} lateral ventricle").measured for side in ("left", "right")]
    assert all(0.4 * GROWN < rate < 1.2 * GROWN for rate in rates), rates
    assert abs(found.row("left white matter").measured) < 3.0


def test_it_is_prescribed_on_the_second_visit(
    found: forecasting.Forecast, visits: tuple[Volume, Volume, Volume]
) -> None:
    assert found.translation.source is visits[1]
    row = found.row("left lateral ventricle")
    assert row.after_ml == pytest.approx(row.before_ml * math.exp(2.0 * row.rate / 100.0))
    reached = found.translation.structures.row("lateral ventricle", "left")
    assert reached.after_ml / reached.before_ml == pytest.approx(row.after_ml / row.before_ml, abs=0.01)
    assert row.low_ml < row.after_ml < row.high_ml
    interval = f"{row.after_ml:.1f} mL ({row.low_ml:.1f} to {row.high_ml:.1f}"
    assert interval in found.translation.structures.note and "Norm: ms" in found.translation.structures.note
    assert min(row.measured, row.norm) <= row.rate <= max(row.measured, row.norm)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert {r["part"] for r in rows} == {r.part for r in found.rows}
    assert found.noise_mm > 0.0 and "left hippocampus" in found.to_text()


def test_the_noisier_counts_less() -> None:
    """Inverse variance: 4 times the standard deviation is a 16th of the weight."""
    row = _row("left hippocampus", 4.0, -8.0, 4.0, -1.0, 1.0, 10.0)
    assert row.weight == pytest.approx(1.0 / 17.0)
    assert row.rate == pytest.approx((-8.0 - 16.0) / 17.0)
    assert row.rate_sd == pytest.approx(math.sqrt(16.0 / 17.0))
    assert row.low_ml == pytest.approx(4.0 * math.exp(0.1 * (row.rate - 1.96 * row.rate_sd)))
    equal = _row("x", 1.0, -3.0, 1.0, -1.0, 1.0, 1.0)
    assert equal.rate == pytest.approx(-2.0)


def test_a_shorter_time_between_the_visits_is_noisier(visits: tuple[Volume, Volume, Volume]) -> None:
    shares: Shares = shares_of_labels(visits[2])
    hippocampus = forecasting._noise(shares.parts["left hippocampus"], shares, 0.2)
    white = forecasting._noise(shares.parts["left white matter"], shares, 0.2)
    assert 0.0 < white < hippocampus < 0.2
    assert forecasting._noise(shares.parts["left hippocampus"], shares, 0.4) == pytest.approx(2.0 * hippocampus)
    assert all(spread_of(region) > 0.0 for region in MULTIPLE_SCLEROSIS)


def test_visits_in_other_frames_are_aligned(visits: tuple[Volume, Volume, Volume]) -> None:
    """The second is turned by 6 degrees about the vertical axis and moved by 12 mm."""
    scan = visits[0]
    turn = math.radians(6.0)
    rigid = np.eye(4)
    rigid[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    rigid[:3, 3] = (12.0, -5.0, 3.0)
    elsewhere = Volume(scan.array, rigid @ scan.affine, "elsewhere")
    back = aligned(elsewhere, scan)
    assert back.grid.matches(scan.grid)
    inner = fields.resample_volume(
        back, Grid.centred(scan.grid.to_world(np.array(scan.shape[::-1]) / 2), (30,) * 3, 2.5)
    )
    expected = fields.resample_volume(scan, inner.grid)
    assert np.corrcoef(inner.array.ravel(), expected.array.ravel())[0, 1] > 0.98


def test_numbers_out_of_range_are_refused(visits: tuple[Volume, Volume, Volume], tmp_path: Path) -> None:
    first, second, _ = visits
    for wrong in ({"days": 3, "years": 1}, {"days": 300, "years": 0}, {"days": 300, "years": 99}):
        with pytest.raises(InputError):
            forecasting.forecast(first, second, preset="ms", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="age"):
        forecasting.forecast(first, second, days=300, years=2)
    first.save(tmp_path / "a.nii.gz")
    asked = ["forecast", str(tmp_path / "a.nii.gz"), str(tmp_path / "no.nii.gz"), "--days", "300", "--years", "2"]
    assert run([*asked, "-o", str(tmp_path / "out")]) == 2 and not (tmp_path / "out").exists()
