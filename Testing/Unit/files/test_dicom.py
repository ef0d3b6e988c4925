"""DICOM: exact rescaled values by slice and frame, places by slice, and what cannot be one volume is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hostile import seeds
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from tiny_model import one_sentence, turned

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume
from SITTranslateLib.files.dicom import codec

SHAPE = K, J, COLUMNS = 6, 8, 10
STORED = np.random.default_rng(5).integers(0, 4000, SHAPE).astype(np.uint16)


def write(folder: Path, change: Callable[[int, Any], None] = lambda k, one: None, count: int = K) -> Path:
    """Axial slices, 2 x 3 x 4 mm, of 12 bits unsigned; ``change`` alters each before it is written."""
    folder.mkdir(exist_ok=True)
    for k in range(count):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = f"1.2.3.{k + 1}"
        one.PatientName, one.PatientID, one.Modality = "Doe^Jane", "4711", "MR"
        one.SeriesInstanceUID, one.StudyInstanceUID = "1.2.3.4", "1.2.3.5"
        one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = J, COLUMNS, 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        one.PixelSpacing, one.SliceThickness = [3, 2], 4
        one.ImagePositionPatient, one.ImageOrientationPatient = [-10, -12, 4 * k], [1, 0, 0, 0, 1, 0]
        one.PixelData = STORED[k % K].tobytes()
        change(k, one)
        one.save_as(folder / f"{k:02d}.dcm", enforce_file_format=True)
    return folder


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_volume(path)
    assert one_sentence(str(caught.value)), str(caught.value)
    assert "Doe" not in str(caught.value) and "4711" not in str(caught.value)


def test_place_and_values_of_a_classic_series(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "mr"))
    np.testing.assert_array_equal(volume.array, STORED)
    np.testing.assert_allclose(volume.affine, [[-2, 0, 0, 10], [0, -3, 0, 12], [0, 0, 4, 0], [0, 0, 0, 1]])


def test_an_oblique_series_lies_where_ITK_puts_it(tmp_path: Path) -> None:
    axes = turned((10.0, 20.0, -15.0))

    def oblique(k: int, one: Any) -> None:
        one.ImageOrientationPatient = [f"{v:.10g}" for v in (*axes[:, 0], *axes[:, 1])]
        one.ImagePositionPatient = [f"{v:.10g}" for v in np.array([-10, -12, 7]) + 4 * k * axes[:, 2]]

    volume = read_volume(write(tmp_path / "mr", oblique))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "mr")))
    image = reader.Execute()
    for index in ((0, 0, 0), (9, 7, 5), (3, 0, 2)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(volume.grid.to_world(np.array(index, float)), lps * (-1, -1, 1), atol=1e-6)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize(
    ("slopes", "intercepts"),
    [([1.0] + [0.005 + 1e-4 * s for s in range(1, K)], [0.0] * K), ([1.0] * K, [0.0] * 3 + [-1000.0] * 3),
     ([2.0] * K, [-1024.0] * K)],
)  # fmt: skip
def test_every_slice_has_its_own_slope_and_intercept(
    slopes: list[float], intercepts: list[float], tmp_path: Path
) -> None:
    def scaled(k: int, one: Any) -> None:
        one.RescaleSlope, one.RescaleIntercept = f"{slopes[k]:.8g}", f"{intercepts[k]:.8g}"

    volume = read_volume(write(tmp_path / "pet", scaled))
    expected = STORED * np.array(slopes)[:, None, None] + np.array(intercepts)[:, None, None]
    np.testing.assert_allclose(volume.array, expected, rtol=1e-6)


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_MONOCHROME1_without_a_unit_is_turned_to_bright_and_HU_stay(modality: str, tmp_path: Path) -> None:
    def inverted(k: int, one: Any) -> None:
        one.PhotometricInterpretation, one.Modality = "MONOCHROME1", modality

    volume = read_volume(write(tmp_path / "x", inverted))
    np.testing.assert_array_equal(volume.array, STORED if modality == "CT" else 4095 - STORED.astype(int))


def test_bits_above_those_stored_do_not_count_and_signs_do(tmp_path: Path) -> None:
    def overlay(k: int, one: Any) -> None:
        one.PixelData = (STORED[k] | 0x8000).tobytes()

    np.testing.assert_array_equal(read_volume(write(tmp_path / "u", overlay)).array, STORED)

    def signed(k: int, one: Any) -> None:
        one.PixelRepresentation = 1
        one.PixelData = ((STORED[k].astype(int) - 2000) & 0x0FFF).astype("<u2").tobytes()

    np.testing.assert_array_equal(read_volume(write(tmp_path / "s", signed)).array, STORED.astype(int) - 2000)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders(syntax: str, tmp_path: Path) -> None:
    def stored(k: int, one: Any) -> None:
        one.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            one.PixelData = STORED[k].astype(">u2").tobytes()
            one["PixelData"].VR = "OW"

    np.testing.assert_array_equal(read_volume(write(tmp_path / "mr", stored)).array, STORED)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEGLS", "JPEG2000"])
def test_compressed_values_are_decoded_exactly(compressor: str, tmp_path: Path) -> None:
    folder = tmp_path / compressor
    folder.mkdir()
    for k in range(2):
        image = sitk.GetImageFromArray(STORED[k])
        image.SetSpacing((2.0, 3.0))
        for tag, value in {
            "0020|000e": "1.2.3.4", "0020|000d": "1.2.3.5", "0008|0018": f"1.2.3.{k + 1}", "0008|0060": "MR",
            "0020|0032": f"0\\0\\{4 * k}", "0020|0037": "1\\0\\0\\0\\1\\0",
        }.items():  # fmt: skip
            image.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(image)
    assert dcmread(folder / "0.dcm").file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(read_volume(folder).array, STORED[:2])


def test_run_lengths_are_decoded_exactly(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "rle", lambda k, one: one.compress(RLELossless)))
    np.testing.assert_array_equal(volume.array, STORED)


def test_a_decoder_that_fails_or_hangs_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(k: int, one: Any) -> None:
        one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
        one.PixelData = encapsulate([bytes(range(200))])
        one["PixelData"].VR = "OB"
        one["PixelData"].is_undefined_length = True

    folder = write(tmp_path / "jpeg", damaged)
    refused(folder, "its compressed values cannot be decoded")
    monkeypatch.setattr(codec, "LONGEST_SECONDS", 0.05)
    refused(folder, "takes longer to decode")


def set_to(tag: str, value: object, at: int | None = 3) -> Callable[[int, Any], None]:
    def change(k: int, one: Any) -> None:
        if at is None or k == at:
            setattr(one, tag, value) if value is not None else delattr(one, tag)

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (set_to("PixelSpacing", None), "does not say how large its pixels are"),
        (set_to("PixelSpacing", [0, 2], None), "does not say how large its pixels are"),
        (set_to("PixelSpacing", [float("nan"), 2], None), "does not say how large its pixels are"),
        (set_to("PixelSpacing", [3, 2.5]), "pixels of different sizes"),
        (set_to("ImageOrientationPatient", [0, 1, 0, -1, 0, 0]), "at different angles"),
        (set_to("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "not at right angles"),
        (set_to("ImagePositionPatient", None), "without a position"),
        (set_to("ImagePositionPatient", [-10, -12, 8]), "two slices at one place"),
        (set_to("ImagePositionPatient", [-10, -12, 100]), "slices are missing"),
        (set_to("PatientID", "4712"), "several patients"),
        (set_to("StudyInstanceUID", "1.2.9"), "several studies"),
        (set_to("SeriesInstanceUID", "1.2.9"), "2 DICOM series"),
        (set_to("Rows", J - 1), "mixes slices of different sizes"),
        (set_to("RescaleSlope", 0), "slope or intercept is none"),
        (set_to("PixelData", STORED[0].tobytes()[:-20]), "20 bytes of the values of a file are missing"),
        (set_to("PixelData", STORED[:2].tobytes()), "more frames than its header says"),
        (set_to("PixelData", None), "without values"),
        (set_to("SamplesPerPixel", 3, None), "3 values a voxel"),
        (set_to("PhotometricInterpretation", "PALETTE COLOR", None), "colour image"),
        (set_to("HighBit", 15, None), "shifted bits"),
        (lambda k, one: setattr(one, "ImagePositionPatient", [-10, -12 + k, 4 * k]), "tilted gantry"),
    ],
)  # fmt: skip
def test_what_is_no_one_volume_is_named(change: Callable[[int, Any], None], match: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "mr", change), match)


@pytest.mark.parametrize(("tag", "values"), [("EchoTime", (20, 3)), ("TemporalPositionIdentifier", (2, 1))])
def test_two_volumes_at_one_place_are_frames(tag: str, values: tuple[int, int], tmp_path: Path) -> None:
    """Echoes and times: the lowest first; without a frame number they are refused."""

    def echoes(k: int, one: Any) -> None:
        one.ImagePositionPatient = [-10, -12, 4 * (k % 3)]
        setattr(one, tag, values[k // 3])

    folder = write(tmp_path / "mr", echoes)
    refused(folder, "4D .2 images in one file")
    np.testing.assert_array_equal(read_volume(folder, frame=0).array, STORED[3:])
    np.testing.assert_array_equal(read_volume(folder, frame=1).array, STORED[:3])


def test_a_multi_frame_file_is_read_by_frame(tmp_path: Path) -> None:
    path = seeds.write_multi_frame(tmp_path)
    volume, classic = read_volume(path), read_volume(seeds.write_series(tmp_path))
    np.testing.assert_allclose(volume.affine, classic.affine, atol=1e-9)
    # One is cut to whole numbers, the other stored in steps of the frame's slope, 0.25 to 0.38.
    np.testing.assert_allclose(volume.array, classic.array, atol=1.2)
    one = dcmread(path)
    order = [5, 0, 13, 7, *(n for n in range(14) if n not in (5, 0, 13, 7))]
    one.PerFrameFunctionalGroupsSequence = [one.PerFrameFunctionalGroupsSequence[n] for n in order]
    one.PixelData = np.frombuffer(one.PixelData, "<u2").reshape(14, -1)[order].tobytes()
    one.save_as(path)
    np.testing.assert_array_equal(read_volume(path).array, volume.array)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda one: setattr(one, "NumberOfFrames", 1_000_000), "1000000 frames and describes 14|more voxels"),
        (lambda one: setattr(one, "NumberOfFrames", 13), "13 frames and describes 14"),
        (lambda one: one.PerFrameFunctionalGroupsSequence.pop(6) and setattr(one, "NumberOfFrames", 13),
         "about 1 slices are missing"),
        (lambda one: setattr(one, "PixelData", one.PixelData[:-1000]), "1000 bytes"),
        (lambda one: one.PerFrameFunctionalGroupsSequence[4].pop("PlanePositionSequence"), "without a position"),
        (lambda one: one.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence"), "how large its pixels are"),
        (lambda one: one.pop("PerFrameFunctionalGroupsSequence"), "does not say where its 14 frames lie|position"),
    ],
)  # fmt: skip
def test_multi_frame_files_are_checked_as_series_are(change: Callable[[Any], None], match: str, tmp_path: Path) -> None:
    path = seeds.write_multi_frame(tmp_path)
    one = dcmread(path)
    change(one)
    one.save_as(path)
    refused(path, match)


def test_two_echoes_in_one_multi_frame_file_are_two_frames(tmp_path: Path) -> None:
    path = seeds.write_multi_frame(tmp_path)
    one, single = dcmread(path), read_volume(path)
    groups = one.PerFrameFunctionalGroupsSequence
    again = copy.deepcopy(groups)
    for echo, half in ((5.0, groups), (90.0, again)):
        for group in half:
            item = Dataset()
            item.EffectiveEchoTime = echo
            group.MREchoSequence = [item]
    one.PerFrameFunctionalGroupsSequence = [*groups, *again]
    one.NumberOfFrames = 28
    one.PixelData = one.PixelData + bytes(len(one.PixelData))
    one.save_as(path)
    refused(path, "4D .2 images in one file")
    np.testing.assert_array_equal(read_volume(path, frame=0).array, single.array)


def test_one_file_of_a_multi_frame_stack_reads_that_file_alone(tmp_path: Path) -> None:
    seeds.write_series(tmp_path)
    path = seeds.write_multi_frame(tmp_path)
    assert read_volume(path).shape == (14, 17, 15)


def test_files_without_an_ending_and_objects_without_an_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "mr")
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(""))
    report = dcmread(folder / "00")
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(report, tag)
    report.SeriesInstanceUID = "1.2.99"
    report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.save_as(folder / "report")
    np.testing.assert_array_equal(read_volume(folder).array, STORED)
    np.testing.assert_array_equal(read_volume(folder / "02").array, STORED)
    refused(folder / "report", "without an image")
    (folder / "04").write_bytes((folder / "04").read_bytes()[:200])
    refused(folder, "is truncated: it ends before its image begins")
