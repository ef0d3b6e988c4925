"""A translation as DICOM, read back exactly by pydicom, SimpleITK and dcm2niix."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dicom_series
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_results import NAMES, assert_segments, assert_valid, labels_of, translation_of

from SITTranslateLib import fields
from SITTranslateLib.app.main import run
from SITTranslateLib.dicom import SourceSeries, read_registration, write_dicom
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.translation import Translation


def test_the_translated_scan_comes_back_exactly(written: tuple[Path, Path, Translation, list[object]]) -> None:
    _, out, result, _ = written
    back = read_volume(out / "translated")
    np.testing.assert_array_equal(back.array, np.rint(result.translated.array))
    np.testing.assert_array_equal(back.affine, result.source.affine)


def test_what_the_instances_say(written: tuple[Path, Path, Translation, list[object]]) -> None:
    series, out, _, _ = written
    source = {float(d.ImagePositionPatient[2]): d for d in map(pydicom.dcmread, series.iterdir())}
    made = [pydicom.dcmread(file) for file in sorted((out / "translated").iterdir())]
    assert len({one.SOPInstanceUID for one in made}) == len(made) == dicom_series.SHAPE[0]
    for one in made:
        origin = source[float(one.ImagePositionPatient[2])]
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert one[keyword].value == origin[keyword].value
        assert list(one.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
        assert one.SyntheticData == "YES" and one.SeriesDescription.startswith("SYNTHETIC toy-model")
        assert one.SeriesInstanceUID != origin.SeriesInstanceUID and one.SeriesInstanceUID == made[0].SeriesInstanceUID
        assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == origin.SOPInstanceUID
        assert {c.CodeValue for c in one.DerivationCodeSequence} == {"123110", "113085", "113042"}
        assert len(one.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(made)
        purposes = [e.PurposeOfReferenceCodeSequence[0].CodeMeaning for e in one.ContributingEquipmentSequence]
        assert purposes == ["Acquisition Equipment", "Synthesizing Equipment"]
        assert one.ContributingEquipmentSequence[0].ManufacturerModelName == "Scanner 3000"
        assert float(one.EchoTime) == 2.98, "the same contrast: how it was acquired still holds"


def test_the_motion_comes_back_exactly_and_reproduces_the_translation(
    written: tuple[Path, Path, Translation, list[object]],
) -> None:
    _, out, result, _ = written
    back = read_registration(out / "motion.dcm")
    np.testing.assert_array_equal(back.array, result.sampling.array)
    np.testing.assert_allclose(back.affine, result.sampling.affine, atol=1e-9)
    changed = result.source.with_array(result.source.array + result.intensity_change.array)
    np.testing.assert_allclose(fields.warp(changed, back).array, result.translated.array, atol=1e-3)
    read = pydicom.dcmread(out / "motion.dcm")
    assert read.SOPClassUID.name == "Deformable Spatial Registration Storage" and read.Modality == "REG"
    assert len(read.ReferencedSeriesSequence) == 2, "the source's series and the translated one"


def test_the_standards_equation_gives_the_source_point(written: tuple[Path, Path, Translation, list[object]]) -> None:
    """x_source = x + vector, read from the file's own numbers in LPS (PS3.3 C.20.3.1.3)."""
    _, out, result, _ = written
    grid = pydicom.dcmread(out / "motion.dcm").DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    i, j, k = 12, 9, 6
    n = list(grid.GridDimensions)
    vectors = np.frombuffer(grid.VectorGridData, "<f4").reshape(n[2], n[1], n[0], 3)
    rows, columns = np.reshape(np.array(grid.ImageOrientationPatient, float), (2, 3))
    steps = np.stack([rows, columns, np.cross(rows, columns)]) * np.array(grid.GridResolution)[:, None]
    point = np.array(grid.ImagePositionPatient, float) + np.array([i, j, k]) @ steps
    wanted = result.source.grid.to_world(np.array([i, j, k])) + result.sampling.array[k, j, i]
    np.testing.assert_allclose((point + vectors[k, j, i]) * [-1, -1, 1], wanted, atol=1e-6)


def test_simpleitk_and_dcm2niix_read_the_series(
    written: tuple[Path, Path, Translation, list[object]], tmp_path: Path
) -> None:
    _, out, result, _ = written
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(out / "translated"))
    image = sitk.ReadImage(names)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.rint(result.translated.array))
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not installed")
    done = subprocess.run([program, "-o", tmp_path, "-f", "made", out / "translated"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    back = read_volume(tmp_path / "made.nii")
    # dcm2niix turns the rows, so the same point in space is compared.
    k, j, i = np.meshgrid(*[np.arange(n) for n in result.source.shape], indexing="ij")
    points = result.source.grid.to_world(np.stack([i, j, k], axis=-1))
    places = np.rint(back.grid.to_indices(points)).astype(int)
    values = back.array[places[..., 2], places[..., 1], places[..., 0]]
    np.testing.assert_array_equal(values, np.rint(result.translated.array))


def test_a_validator_of_the_standard_finds_no_error(written: tuple[Path, Path, Translation, list[object]]) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dicom3tools is not installed")
    assert_valid(written[1])


def test_a_multi_frame_source_gives_the_same_parts(tmp_path: Path) -> None:
    """Frames in another order than the slices: every reference, segment and value stands at its own place."""
    series = dicom_series.write(tmp_path / "series")
    file = dicom_series.as_multi_frame(series, tmp_path / "enhanced.dcm")
    scan = read_volume(file)
    classic = read_volume(series)
    np.testing.assert_array_equal(scan.array, classic.array)
    np.testing.assert_allclose(scan.affine, classic.affine, atol=1e-6)
    source = SourceSeries.of(file, scan.grid)
    assert source.multi_frame and sorted(source.frames) == list(range(scan.shape[0])) != list(source.frames)
    result, labels = translation_of(scan), labels_of(scan)
    rows = list(segment_table(result, labels, NAMES).rows)
    write_dicom(result, source, tmp_path / "out", labels, NAMES, rows)
    back = read_volume(tmp_path / "out" / "translated")
    np.testing.assert_array_equal(back.array, np.rint(result.translated.array))
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-5)
    whole = pydicom.dcmread(file)
    for one in (pydicom.dcmread(name) for name in sorted((tmp_path / "out" / "translated").iterdir())):
        (origin,) = one.SourceImageSequence
        assert origin.ReferencedSOPInstanceUID == whole.SOPInstanceUID
        frame = whole.PerFrameFunctionalGroupsSequence[origin.ReferencedFrameNumber - 1]
        np.testing.assert_allclose(
            np.array(one.ImagePositionPatient, float),
            np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float),
            atol=1e-4,
        )
    assert_segments(tmp_path / "out" / "segments.dcm", scan)


def test_another_contrast_is_not_said_to_be_acquired_as_the_source(tmp_path: Path) -> None:
    series = dicom_series.write(tmp_path / "series")
    scan = read_volume(series)
    result = replace(translation_of(scan, "CT"), sampling=None, motion=None, jacobian=None)
    write_dicom(result, SourceSeries.of(series, scan.grid), tmp_path / "out")
    one = pydicom.dcmread(tmp_path / "out" / "translated" / "0001.dcm")
    assert one.Modality == "CT" and one.SOPClassUID.name == "CT Image Storage" and one.RescaleType == "HU"
    assert list(one.ImageType)[2] == "AXIAL" and one.KVP is None and "EchoTime" not in one
    assert not (tmp_path / "out" / "motion.dcm").exists()
    np.testing.assert_array_equal(read_volume(tmp_path / "out" / "translated").array, np.rint(result.translated.array))


def test_small_numbers_are_kept_by_a_slope(tmp_path: Path) -> None:
    series = dicom_series.write(tmp_path / "series")
    scan = read_volume(series)
    result = translation_of(scan)
    small = result.translated.with_array(result.translated.array / 1000.0)
    result = replace(result, translated=small)
    write_dicom(result, SourceSeries.of(series, scan.grid), tmp_path / "out")
    back = read_volume(tmp_path / "out" / "translated")
    step = float(pydicom.dcmread(tmp_path / "out" / "translated" / "0001.dcm").RescaleSlope)
    assert np.abs(back.array - small.array).max() <= 0.5001 * step < 3e-5


def test_what_is_no_dicom_and_what_is_another_series_is_refused(tmp_path: Path) -> None:
    series = dicom_series.write(tmp_path / "series")
    scan = read_volume(series)
    (tmp_path / "scan.nii").write_bytes(b"\0" * 400)
    with pytest.raises(InputError, match="no DICOM scan"):
        SourceSeries.of(tmp_path / "scan.nii", scan.grid)
    next(series.iterdir()).unlink()
    with pytest.raises(InputError, match=r"does not have the slices|slices are missing"):
        SourceSeries.of(series, scan.grid)


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = dicom_series.write(tmp_path / "series")
    scan = read_volume(series)
    calls = []

    def full(self: object, *_: object, **__: object) -> None:
        calls.append(self)
        if len(calls) > 3:
            raise OSError(28, "full")

    monkeypatch.setattr(pydicom.dataset.Dataset, "save_as", full)
    with pytest.raises(InputError, match="cannot be written"):
        write_dicom(translation_of(scan), SourceSeries.of(series, scan.grid), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"series"}


def test_the_command_writes_it_beside_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
    import tiny_package

    package = tiny_package.write(tmp_path)
    series = dicom_series.write(tmp_path / "series")
    labels = labels_of(read_volume(series))
    write_volume(labels, tmp_path / "labels.nii.gz")
    (tmp_path / "names.csv").write_text("label,name\n3,Ventricles\n7,White matter\n300,Shell\n", encoding="utf-8")
    code = run([
        "translate", str(series), "--model", str(package), "--force", "--out", str(tmp_path / "result"), "--dicom",
        "--segmentation", str(tmp_path / "labels.nii.gz"), "--names", str(tmp_path / "names.csv"),
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    made = {path.relative_to(tmp_path / "result").as_posix() for path in (tmp_path / "result").rglob("*.dcm")}
    others = {"motion.dcm", "segments.dcm", "segments_translated.dcm", "volumes.dcm"}
    assert made == {f"dicom/translated/{k + 1:04d}.dcm" for k in range(10)} | {f"dicom/{name}" for name in others}
    assert "Ventricles" in (tmp_path / "result" / "segments.csv").read_text(encoding="utf-8")


def test_the_command_refuses_dicom_of_another_file_before_it_computes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
    import tiny_package

    package = tiny_package.write(tmp_path)
    write_volume(tiny_package.head(), tmp_path / "scan.nii.gz")
    arguments = ["translate", str(tmp_path / "scan.nii.gz"), "--model", str(package), "--out", str(tmp_path / "result")]
    assert run([*arguments, "--dicom"]) == 2
    assert "is no DICOM scan" in capsys.readouterr().err
    assert not (tmp_path / "result").exists()
