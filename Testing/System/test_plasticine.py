"""Plasticine from a package to a result: contrast and anatomy changed at once, and both still add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import head, write_tiny_plasticine

from SITTranslateLib import fields
from SITTranslateLib.fields.rounding import intensity_step
from SITTranslateLib.files import place_image
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.saving import read_translation, save_translation
from SITTranslateLib.translate.verification import verify
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Volume

TURNED = np.array([[0.98, -0.17, 0.1], [0.17, 0.985, 0.0], [-0.1, 0.02, 0.995]])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Untrained, but it moves the anatomy by some mm and paints something."""
    return load_model(write_tiny_plasticine(tmp_path_factory.mktemp("models") / "tiny"), "cpu")


@pytest.fixture(scope="module")
def scan() -> Volume:
    rotation, _ = np.linalg.qr(TURNED)
    return head(spacing=(3.0, 3.0, 4.0), rotation=rotation * np.sign(np.diag(rotation)))


@pytest.fixture(scope="module")
def result(model: LoadedModel, scan: Volume) -> Translation:
    return translate(scan, model, age=30)


def test_contrast_and_anatomy_change_at_once_and_still_add_up(result: Translation, scan: Volume) -> None:
    assert result.field_origin is FieldOrigin.MODEL and result.provenance.target == "T2w"
    assert result.translated.grid.matches(scan.grid) and set(result.extras) == {
        "structure", "uncertainty", "within the scan",
    }  # fmt: skip
    assert result.motion is not None and result.jacobian is not None and result.intensity_change is not None
    assert 1.0 < float(result.motion.magnitude().max()) < 30.0
    found = verify(result)
    assert found.passed, found.verdict
    span = float(np.ptp(result.translated.array))
    assert found.recomposition is not None and found.recomposition <= 1e-5 * span
    assert result.recomposition_error <= 1e-4 * span, "the network's own output, by another path of squarings"
    assert float(result.jacobian.array.min()) > 0


def test_the_inverse_holds(result: Translation) -> None:
    assert result.motion is not None and result.sampling is not None
    there_and_back = fields.compose(result.motion, result.sampling).magnitude()
    assert float(there_and_back[4:-4, 4:-4, 4:-4].mean()) < 0.05


def test_another_program_warps_as_we_do(result: Translation, scan: Volume) -> None:
    """SimpleITK's resampling of ``source + d`` through the field, LPS as in files, which is what Slicer uses."""
    assert result.sampling is not None and result.intensity_change is not None
    lps = result.sampling.array * np.array([-1.0, -1.0, 1.0], np.float32)
    field = place_image(sitk.GetImageFromArray(lps.astype(np.float64), isVector=True), scan.affine)
    changed = place_image(sitk.GetImageFromArray(scan.array + result.intensity_change.array), scan.affine)
    grid = changed.GetSize(), changed.GetOrigin(), changed.GetSpacing(), changed.GetDirection()
    moved = sitk.GetArrayFromImage(sitk.Warp(changed, field, sitk.sitkLinear, *grid))
    inner = (slice(6, -6),) * 3
    span = float(np.ptp(result.translated.array))
    assert float(np.abs(moved - result.translated.array)[inner].max()) < 1e-3 * span


def test_strength_moves_the_anatomy_and_leaves_the_contrast_whole(result: Translation, scan: Volume) -> None:
    assert result.intensity_change is not None
    still = result.at(0.0)
    np.testing.assert_allclose(still.array, scan.array + result.intensity_change.array, atol=1e-3)
    np.testing.assert_allclose(result.at(1.0, spatial=False).array, still.array)
    np.testing.assert_allclose(result.at(1.0).array, result.translated.array, atol=1e-2)
    moved = fields.warp(scan, result.sampling)  # type: ignore[arg-type]
    # Off by half of the step that intensities are rounded to.
    step = intensity_step(scan)
    np.testing.assert_allclose(result.at(1.0, intensity=False).array, moved.array, atol=0.51 * step)
    half, whole = (result.motion_at(strength) for strength in (0.5, 1.0))
    assert half is not None and whole is not None
    assert 0.4 < float(half.magnitude().max() / whole.magnitude().max()) < 0.6


def test_no_ageing_moves_nothing(model: LoadedModel, scan: Volume) -> None:
    result = translate(scan, model, age=0)
    assert result.sampling is not None and not result.sampling.array.any()
    assert result.motion is not None and not result.motion.array.any()
    assert result.jacobian is not None and np.allclose(result.jacobian.array, 1.0)


def test_the_same_seed_gives_the_same_bytes(model: LoadedModel, scan: Volume, result: Translation) -> None:
    again = translate(scan, model, age=30)
    assert again.translated.array.tobytes() == result.translated.array.tobytes()
    other = translate(scan, model, age=30, seed=1)
    assert other.translated.array.tobytes() != result.translated.array.tobytes()


def test_steps_are_kept_in_the_units_and_the_place_of_the_result(
    model: LoadedModel, scan: Volume, result: Translation, tmp_path: Path
) -> None:
    shown = translate(scan, model, age=30, intermediate="yes")
    assert shown.steps == ("after step 1 of 2", "after step 2 of 2") and result.steps == ()
    np.testing.assert_array_equal(shown.translated.array, result.translated.array)
    last = shown.extras[shown.steps[-1]]
    assert last.grid.matches(scan.grid) and float(last.array.min()) >= 0.0
    # One sample of the two that are averaged, without the scan's own detail; in network units it would be 1000 less.
    inside = scan.array > 0
    ratio = float(last.array[inside].mean() / shown.translated.array[inside].mean())
    assert 0.8 < ratio < 1.25
    back = read_translation(save_translation(shown, tmp_path / "steps"))
    assert back.steps == shown.steps
    np.testing.assert_allclose(back.extras[back.steps[0]].array, shown.extras[shown.steps[0]].array, atol=0.5)


def test_it_is_kept_like_any_translation(result: Translation, tmp_path: Path) -> None:
    back = read_translation(save_translation(result, tmp_path / "result"))
    assert back.provenance == replace(result.provenance) and back.field_origin is FieldOrigin.MODEL
    np.testing.assert_allclose(back.at(0.5).array, result.at(0.5).array, atol=0.5)
