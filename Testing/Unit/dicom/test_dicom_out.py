"""A translation as DICOM, read back exactly by pydicom, highdicom, SimpleITK and dcm2niix."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dicom_series
import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from SITTranslateLib import fields
from SITTranslateLib.app.main import run
from SITTranslateLib.app.translating import _found_segments
from SITTranslateLib.dicom import SourceSeries, read_registration, write_dicom
from SITTranslateLib.dicom.segmentation import structure_code
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.structure_table import StructureVolume, StructureVolumes
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.translate import structures
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

NAMES = {3: "Lateral ventricles", 7: "White matter", 300: "Shell"}


def provenance(target: str = "") -> Provenance:
    return Provenance(
        package="toy-model", version="0.1.0", sha256="ab" * 32, system="sit", attributes={"age": 10.0}, seed=0,
        device="cpu", source_sha256="0" * 64, created="2026-01-01T00:00:00+00:00", seconds=1.0, target=target,
    )  # fmt: skip


def translation_of(scan: Volume, target: str = "") -> Translation:
    """Moved by a bump of 2 mm and brightened, on the scan's own grid."""
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in scan.shape], indexing="ij")
    bump = np.exp(-4 * (i**2 + j**2 + k**2))[..., None].astype(np.float32)
    sampling = VectorField(bump * np.array([2.0, -1.0, 0.5], dtype=np.float32), scan.affine)
    motion = fields.invert(sampling)
    change = scan.with_array(40.0 * bump[..., 0])
    translated = fields.warp(scan.with_array(scan.array + change.array), sampling)
    return Translation(
        source=scan, translated=translated, velocity=None, motion=motion, sampling=sampling,
        jacobian=fields.jacobian(motion), intensity_change=change, field_origin=FieldOrigin.MODEL,
        recomposition_error=0.0, provenance=provenance(target),
    )  # fmt: skip


def labels_of(scan: Volume) -> Volume:
    labels = np.where(scan.array > 700, 300.0, np.where(scan.array > 400, 7.0, np.where(scan.array > 100, 3.0, 0.0)))
    return scan.with_array(labels)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Translation, list[object]]:
    folder = tmp_path_factory.mktemp("dicom")
    series = dicom_series.write(folder / "series")
    scan = read_volume(series)
    result = translation_of(scan)
    labels = labels_of(scan)
    rows = segment_table(result, labels, NAMES).rows
    write_dicom(result, SourceSeries.of(series, scan.grid), folder / "out", labels, NAMES, list(rows))
    return series, folder / "out", result, list(rows)


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


def test_segments_come_back_by_highdicom(written: tuple[Path, Path, Translation, list[object]]) -> None:
    _, out, result, _ = written
    read = highdicom.seg.segread(out / "segments.dcm")
    assert [item.SegmentLabel for item in read.SegmentSequence] == list(NAMES.values())
    assert read.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "66720007"
    assert_segments(out / "segments.dcm", result.source)


def assert_segments(file: Path, scan: Volume) -> None:
    """The segments of a file lie where the scan's labels do."""
    volume = highdicom.seg.segread(file).get_volume(combine_segments=True, skip_overlap_checks=True)
    labels = labels_of(scan).array
    wanted = np.select([labels == 3, labels == 7, labels == 300], [1, 2, 3])
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    indices = np.argwhere(np.asarray(volume.array) > 0)
    assert len(indices) == int((wanted > 0).sum())
    places = np.rint(scan.grid.to_indices(indices @ lps[:3, :3].T + lps[:3, 3])).astype(int)
    found = np.asarray(volume.array)[tuple(indices.T)]
    np.testing.assert_array_equal(found, wanted[places[:, 2], places[:, 1], places[:, 0]])


def test_volumes_come_back_from_the_report(written: tuple[Path, Path, Translation, list[object]]) -> None:
    _, out, _, rows = written
    report = highdicom.sr.srread(out / "volumes.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    values = {}
    for group in groups:
        items = group[0].ContentSequence
        moment = next(i.TextValue for i in items if i.name.meaning == "Time Point")
        (measured,) = group.get_measurements()
        assert measured.unit.value == "mm3"
        values[group.tracking_identifier, moment] = measured.value
    for row in rows:
        assert values[row.name, "source"] == pytest.approx(row.volume_before_mm3, abs=1e-3)
        if row.volume_after_mm3 is not None:
            assert values[row.name, "translated (synthetic)"] == pytest.approx(row.volume_after_mm3, abs=1e-3)


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


def assert_valid(out: Path) -> None:
    """No error by ``dciodvfy``, where it is installed."""
    program = shutil.which("dciodvfy")
    for file in () if program is None else (out / "translated" / "0001.dcm", *out.glob("*.dcm")):
        done = subprocess.run([program, file], capture_output=True, text=True, check=False)
        # Synthetic Data (0008,001C) is younger than Debian's release of the validator.
        errors = [
            line for line in (done.stdout + done.stderr).splitlines()
            if line.startswith("Error") and not ("not a recognized" in line and "(0x0008,0x001c)" in line)
        ]  # fmt: skip
        assert not errors, (file.name, errors)


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


def test_structures_that_were_found_go_out_with_codes_sides_and_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without labels of the user: the parcellation's parts as SEG, and the soft volumes as TID 1500."""
    series = dicom_series.write(tmp_path / "series")
    scan = read_volume(series)
    names = ("left hippocampus", "right hippocampus", "brain stem")
    parts = {name: np.zeros(scan.shape, np.float32) for name in names}
    for index, share in enumerate(parts.values()):
        share[2:8, 3:-3, 2 + 4 * index : 6 + 4 * index] = 0.9
    voxel = scan.grid.voxel_volume / 1000.0
    millilitres = {name: float(share.sum()) * voxel for name, share in parts.items()}
    # One of which the network is sure nowhere: its soft volume is far from that of its voxels.
    parts["left putamen"], millilitres["left putamen"] = parts["left hippocampus"] / 3.0, 9.0
    parts["left putamen"][0, 0, 0] = 0.9
    shares = Shares(parts, np.zeros(scan.shape, np.float32), scan.grid, millilitres)
    monkeypatch.setattr(structures, "find_structures", lambda _: shares)
    volumes = StructureVolumes(
        (StructureVolume("hippocampus", "both", 6.0, 5.5), StructureVolume("hippocampus", "left", 3.25, 3.0),
         StructureVolume("hippocampus", "right", 2.75, 2.5), StructureVolume("brain stem", "", 20.0, 20.5))
    )  # fmt: skip
    result = replace(translation_of(scan), given_structures=volumes)
    labels, found, rows = structures.structure_segments(result)
    write_dicom(result, SourceSeries.of(series, scan.grid), tmp_path / "out", labels, found, rows)

    read = highdicom.seg.segread(tmp_path / "out" / "segments.dcm")
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in read.SegmentSequence]
    said = {item.SegmentLabel: kind.CodeValue for item, kind in zip(read.SegmentSequence, kinds, strict=True)}
    assert said == {"brain stem": "119238007", "left hippocampus": "5366008", "right hippocampus": "5366008"}
    sides = [kind.get("SegmentedPropertyTypeModifierCodeSequence") for kind in kinds]
    assert [side and side[0].CodeMeaning for side in sides] == [None, "Left", "Right"]
    volume = read.get_volume(combine_segments=True, skip_overlap_checks=True)
    for number, name in enumerate(said, start=1):
        assert np.count_nonzero(volume.array == number) == np.count_nonzero(parts[name] > 0.5), name

    report = highdicom.sr.srread(tmp_path / "out" / "volumes.dcm")
    values = {}
    for group in report.content.get_volumetric_roi_measurement_groups():
        moment = next(i.TextValue for i in group[0].ContentSequence if i.name.meaning == "Time Point")
        (measured,) = group.get_measurements()
        (site,) = group.finding_sites
        assert (site.laterality is None) == (group.tracking_identifier == "brain stem")
        values[group.tracking_identifier, moment] = measured.value
    assert values == {
        ("left hippocampus", "source"): 3250.0, ("left hippocampus", "translated (synthetic)"): 3000.0,
        ("right hippocampus", "source"): 2750.0, ("right hippocampus", "translated (synthetic)"): 2500.0,
        ("brain stem", "source"): 20000.0, ("brain stem", "translated (synthetic)"): 20500.0,
    }  # fmt: skip
    assert_valid(tmp_path / "out")


def test_a_series_without_a_frame_of_reference_gets_no_segments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old series have none: segments that were given are refused, found ones are left out and said."""
    series = dicom_series.write(tmp_path / "series")
    for file in series.iterdir():
        one = pydicom.dcmread(file)
        del one.FrameOfReferenceUID
        one.save_as(file)
    scan = read_volume(series)
    source = SourceSeries.of(series, scan.grid)
    with pytest.raises(InputError, match="no Frame of Reference UID"):
        write_dicom(translation_of(scan), source, tmp_path / "out", labels_of(scan), NAMES)
    assert _found_segments(translation_of(scan), source) == (None, {}, [])
    assert "without DICOM segments. The DICOM series has no Frame" in capsys.readouterr().err
    write_dicom(translation_of(scan), source, tmp_path / "out")
    assert len(list((tmp_path / "out" / "translated").iterdir())) == scan.shape[0]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Left-Inf-Lat-Vent", "53118009"), ("Right-Cerebellum-Cortex", "25991003"), ("3rd-Ventricle", "49841001"),
        ("left cortex", "40146001"), ("Left-Pallidum", "14738005"), ("Accumbens-area", "427667007"),
        ("White matter", "389080008"), ("white-matter lesion", "91723000"), ("hypothalamus", "91723000"),
        ("left ventral diencephalon", "91723000"),
    ],
)  # fmt: skip
def test_codes_of_names(name: str, code: str) -> None:
    assert structure_code(name).value == code


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
