"""A result's folder appears whole or not at all, and comes back as it was."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import head, one_sentence, turned, write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_field, write_field, write_volume
from SITTranslateLib.translate import saving
from SITTranslateLib.translate.verification import verify
from SITTranslateLib.translation import PARTS, Translation


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Translation:
    package = write_tiny_package(tmp_path_factory.mktemp("models") / "tiny")
    scan = head(spacing=(3.0, 2.5, 3.5), rotation=turned((10, 5, -8)))
    translated: Translation = sit.translate(scan, package, age=15)
    return translated


def test_round_trip(result: Translation, tmp_path: Path) -> None:
    folder = sit.save_translation(result, tmp_path / "out", strength=0.5)
    assert {p.name for p in folder.iterdir()} == {
        *(part.file for part in PARTS), "provenance.json", "translated_at_+0.5.nii.gz"
    }  # fmt: skip
    back = sit.read_translation(folder)
    for part in (part.name for part in PARTS):
        mine, theirs = getattr(result, part), getattr(back, part)
        np.testing.assert_allclose(theirs.array, mine.array, atol=1e-4)
        np.testing.assert_allclose(theirs.affine, mine.affine, atol=1e-4)
    assert back.provenance == result.provenance
    assert (back.field_origin, back.recomposition_error) == (result.field_origin, result.recomposition_error)
    assert verify(back).passed, verify(back).verdict
    np.testing.assert_allclose(back.at(0.5).array, result.at(0.5).array, atol=0.05)


def test_saved_sampling_field_gives_the_translated_scan_in_SimpleITK(result: Translation, tmp_path: Path) -> None:
    folder = sit.save_translation(result, tmp_path / "out")
    source = sitk.ReadImage(str(folder / "source.nii.gz"), sitk.sitkFloat32)
    change = sitk.ReadImage(str(folder / "intensity_change.nii.gz"), sitk.sitkFloat32)
    vectors = sitk.ReadImage(str(folder / "sampling.nrrd"), sitk.sitkVectorFloat64)
    changed = sitk.GetImageFromArray(sitk.GetArrayFromImage(source) + sitk.GetArrayFromImage(change))
    changed.CopyInformation(source)
    moved = sitk.Resample(changed, source, sitk.DisplacementFieldTransform(vectors), sitk.sitkLinear, 0.0)
    inside = (slice(3, -3),) * 3
    difference = np.abs(sitk.GetArrayFromImage(moved) - result.translated.array)[inside]
    assert difference.max() < 0.002 * np.ptp(result.translated.array)


def test_sidecar_says_synthetic_and_names_no_path(result: Translation, tmp_path: Path) -> None:
    folder = sit.save_translation(result, tmp_path / "out")
    text = (folder / "provenance.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    assert "Synthetic" in raw["Description"]
    assert [g["Name"] for g in raw["GeneratedBy"]] == ["SITTranslate", "tiny"]
    assert raw["SITTranslate"]["provenance"]["sha256"] == result.provenance.sha256
    assert str(tmp_path) not in text


@pytest.mark.parametrize("writer", ["write_volume", "write_field"])
def test_full_disk_leaves_nothing(
    writer: str, result: Translation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        {"write_volume": write_volume, "write_field": write_field}[writer](*arguments)  # type: ignore[operator]

    monkeypatch.setattr(saving, writer, full)
    with pytest.raises(InputError, match="disk is full") as caught:
        sit.save_translation(result, tmp_path / "a" / "b" / "out")
    assert one_sentence(str(caught.value))
    assert len(calls) == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_not_touched_and_an_earlier_result_is_replaced_on_request(
    result: Translation, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not empty"):
            sit.save_translation(result, tmp_path / "notes", overwrite=overwrite)
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["mine.txt"]
    folder = sit.save_translation(result, tmp_path / "out")
    with pytest.raises(InputError, match="--overwrite"):
        sit.save_translation(result, folder)
    sit.save_translation(result, folder, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes", "out"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        sit.save_translation(result, tmp_path / "file")


def test_verification_sees_what_was_tampered_with(result: Translation, tmp_path: Path) -> None:
    folder = sit.save_translation(result, tmp_path / "out")
    moved = result.translated.with_array(np.roll(result.translated.array, 1, axis=2))
    write_volume(moved, folder / "translated.nii.gz")
    assert "do not give the translated scan" in verify(sit.read_translation(folder)).verdict
    write_volume(result.translated, folder / "translated.nii.gz")
    motion = read_field(folder / "motion.nrrd")
    write_field(type(motion)(-motion.array, motion.affine), folder / "motion.nrrd")
    assert "not each other's inverse" in verify(sit.read_translation(folder)).verdict


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"SITTranslate": {}}', "[" * 100000])
def test_damaged_sidecar_is_one_sentence(content: str, result: Translation, tmp_path: Path) -> None:
    folder = sit.save_translation(result, tmp_path / "out")
    (folder / "provenance.json").write_text(content)
    with pytest.raises(InputError) as caught:
        sit.read_translation(folder)
    assert one_sentence(str(caught.value))


def test_further_maps_are_files_by_their_names() -> None:
    names = ["uncertainty", "After step 1 of 2", "../../etc", "motion", "über", "CON", "uncertainty!", "..."]
    found = saving.extra_files(names)
    assert list(found) == names and len(set(found.values())) == len(names)
    assert found["uncertainty"] == "uncertainty.nii.gz"
    assert found["After step 1 of 2"] == "after_step_1_of_2.nii.gz" and found["../../etc"] == "etc.nii.gz"
    assert found["CON"] == "extra_5.nii.gz" and found["..."] == "extra_7.nii.gz"
    assert found["uncertainty!"] == "extra_6.nii.gz", "no file is written twice"
    assert all(re.fullmatch(r"[a-z0-9_]+\.nii\.gz", file) for file in found.values())


def test_the_numbered_maps_of_an_earlier_version_still_open(result: Translation, tmp_path: Path) -> None:
    with_map = replace(result, extras={"uncertainty": result.source.with_array(np.rint(result.source.array))})
    folder = sit.save_translation(with_map, tmp_path / "result")
    sidecar_file = folder / "provenance.json"
    about = json.loads(sidecar_file.read_text(encoding="utf-8"))
    assert about["SITTranslate"].pop("extra_files") == {"uncertainty": "uncertainty.nii.gz"}
    sidecar_file.write_text(json.dumps(about), encoding="utf-8")
    (folder / "uncertainty.nii.gz").rename(folder / "extra_0.nii.gz")
    back = sit.read_translation(folder)
    np.testing.assert_array_equal(back.extras["uncertainty"].array, with_map.extras["uncertainty"].array)


def test_replacing_a_result_takes_its_further_maps_away_and_nothing_else(result: Translation, tmp_path: Path) -> None:
    with_map = replace(result, extras={"uncertainty": result.source})
    folder = sit.save_translation(with_map, tmp_path / "result")
    (folder / "notes.nii.gz").write_bytes(b"mine")
    sit.save_translation(result, folder, overwrite=True)
    assert not (folder / "uncertainty.nii.gz").exists()
    assert (folder / "notes.nii.gz").read_bytes() == b"mine"
