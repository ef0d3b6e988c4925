"""What is learned from stroke masks."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import find
from SITTranslateLib.systems.prescribed.stroke_sites import LANDMARKS_MM
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes import table_of
from SITTranslateLib.training.recipes.prescribed import stroke


def patients() -> list[stroke.Patient]:
    """Balls about 24 places, larger with the severity; two of three on the left."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(48):
        severity = float(number % 12)
        radius = 3.0 + severity
        side = -1.0 if number % 3 else 1.0
        middle = np.array([30.0 * side, -60.0 + 4.0 * (number % 24), 10.0])
        ball = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        points = (middle + ball[np.linalg.norm(ball, axis=1) <= radius]).astype(np.float32)
        found.append(stroke.Patient(severity, float(rng.uniform(40, 90)), points, len(points) / 1000.0))
    return found


def volume_fit(cases: list[stroke.Patient]) -> stroke.Association:
    volumes = np.log([case.millilitres for case in cases])
    return stroke.associated("mL", volumes, [case.severity for case in cases], [case.age for case in cases])


def test_a_fit_finds_the_coefficients() -> None:
    rng = np.random.default_rng(1)
    severity, age = rng.uniform(0, 20, 400), rng.uniform(30, 90, 400)
    values = 0.5 + 0.9 * np.log1p(severity) - 0.1 * (age - 65.0) / 10.0 + rng.normal(0.0, 0.3, 400)
    fit = stroke.associated("toy", values, severity, age)
    assert fit.coefficients == pytest.approx((0.5, 0.9, -0.1), abs=0.06) and fit.sd == pytest.approx(0.3, abs=0.03)
    low, high = fit.intervals[1]
    assert 0.5 * (high - low) == pytest.approx(1.97 * fit.sd / (20.0 * np.log1p(severity).std()), rel=0.02)
    assert 0.5 * (high + low) == pytest.approx(fit.coefficients[1])
    assert 0.7 < fit.r_squared < 0.9


def test_maps_are_densities_on_the_left_and_survive_the_package() -> None:
    pytest.importorskip("sklearn")
    cases = patients()
    sites = stroke.learned_sites(cases)
    assert sites.maps.sum(axis=(1, 2, 3)) == pytest.approx(np.ones(stroke.MAPS), abs=1e-4)
    assert sites.frequency.sum(axis=-1) == pytest.approx(np.ones((5, 5)), abs=1e-4)
    x = stroke.GRID.to_world(np.stack([np.arange(27), np.zeros(27), np.zeros(27)], -1))[:, 0]
    assert sites.maps.sum(axis=(0, 1, 2))[x > 12.0].sum() < 0.01 * stroke.MAPS
    assert sites.left.mean() == pytest.approx(2 / 3, abs=0.15)
    fit = stroke.associated(
        "mL", np.log([p.millilitres for p in cases]), [p.severity for p in cases], [p.age for p in cases]
    )
    again = stroke.network_of(sites, fit).sites
    assert again.maps == pytest.approx(sites.maps, abs=1e-6) and np.array_equal(again.frequency, sites.frequency)


def test_masks_are_read_with_their_patients(tmp_path: Path) -> None:
    rows = ["file\tage\tnihss"]
    for number in range(41):
        array = np.zeros((8, 8, 8), np.uint8)
        array[1:3, 1:3, 1 : 2 + number % 3] = 1
        nib.save(nib.Nifti1Image(array, np.diag([-2.0, 2.0, 2.0, 1.0])), tmp_path / f"{number}.nii.gz")  # type: ignore[attr-defined, no-untyped-call]
        rows.append(f"{number}.nii.gz\t{50 + number}\t{'n/a' if number == 40 else number}")
    (tmp_path / "participants.tsv").write_text("\n".join(rows), encoding="utf-8")
    found = stroke.read_patients(tmp_path)
    assert len(found) == 40 and found[1].millilitres == pytest.approx(8 * 8 / 1000.0) and found[1].left
    assert found[2].severity == 2.0 and found[2].age == 52.0
    (tmp_path / "participants.tsv").write_text("\n".join(rows[:5]), encoding="utf-8")
    with pytest.raises(InputError, match="holds 4 masks"):
        stroke.read_patients(tmp_path)


def test_without_masks_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        table_of("stroke")(EvaluationRequest("stroke", tmp_path))
    with pytest.raises(InputError, match=r"no participants\.tsv"):
        table_of("stroke")(EvaluationRequest("stroke", tmp_path, scans=tmp_path))


def test_the_shipped_fit_is_that_of_the_masks(real_data: Path) -> None:
    cases = stroke.read_patients(real_data / "stroke_soop")
    fit = stroke.associated(
        "mL", np.log([p.millilitres for p in cases]), [p.severity for p in cases], [p.age for p in cases]
    )
    shipped = find("stroke-severity").card.system.parameters
    assert fit.coefficients == pytest.approx(list(shipped["volume"].values()), abs=1e-4)
    assert fit.spread == pytest.approx(shipped["spread"], abs=1e-4)
    assert fit.intervals[1] == pytest.approx((0.690, 1.152), abs=0.001) and fit.count == 240


def test_the_landmarks_are_those_of_the_shipped_parcellation() -> None:
    """New weights of the parcellation move them: they are measured again then."""
    pytest.importorskip("nilearn")
    template = stroke.Template.load()
    for part, middle in stroke.landmarks(template.shares).items():
        assert middle == pytest.approx(LANDMARKS_MM[part], abs=0.15), part
    # The average lies in MNI space already.
    assert np.abs(template.to_mni[:3, :3] - np.eye(3)).max() < 0.03
