"""Scans, labels and fields keep their place in space through every format; LPS never leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import head, one_sentence, turned

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_field, read_labels, read_volume, write_field, write_volume
from SITTranslateLib.volume import VectorField, Volume

RNG = np.random.default_rng(3)
ARRAY = RNG.normal(50, 10, (9, 11, 13)).astype(np.float32)


def affine(rotation: np.ndarray, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(spacing)
    matrix[:3, 3] = origin
    return matrix


GRIDS = {
    "straight": affine(np.eye(3), (1, 1, 1), (0, 0, 0)),
    "anisotropic": affine(np.eye(3), (0.72, 0.72, 3.0), (-80, 12, 7)),
    "oblique": affine(turned((20, -15, 40)), (0.7, 0.9, 1.3), (-80, 100, 30)),
    "LPS axes": affine(np.diag([-1.0, -1, 1]), (1, 2, 3), (90, 126, -72)),
    "left-handed": affine(turned((5, 8, -3)) @ np.diag([1.0, -1, 1]), (1.1, 0.9, 2), (3, 4, 5)),
    "permuted": affine(np.eye(3)[:, [2, 0, 1]], (1, 1.5, 2), (10, 20, 30)),
}


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha"])
@pytest.mark.parametrize("grid", GRIDS)
def test_volume_round_trip(grid: str, ending: str, tmp_path: Path) -> None:
    volume = Volume(ARRAY, GRIDS[grid], "scan")
    back = read_volume(write_volume(volume, tmp_path / f"scan.{ending}"))
    np.testing.assert_array_equal(back.array, ARRAY)
    # NIfTI keeps its matrix in single precision.
    np.testing.assert_allclose(back.affine, GRIDS[grid], atol=2e-5)
    assert [p.name for p in tmp_path.iterdir()] == [f"scan.{ending}"]


@pytest.mark.parametrize("grid", GRIDS)
def test_affine_agrees_with_SimpleITK(grid: str, tmp_path: Path) -> None:
    path = write_volume(Volume(ARRAY, GRIDS[grid]), tmp_path / "scan.nrrd")
    image, volume = sitk.ReadImage(str(path)), read_volume(path)
    for index in ((0, 0, 0), (12, 0, 3), (4, 10, 8)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(volume.grid.to_world(np.array(index, float)), lps * [-1, -1, 1], atol=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ending", ["nrrd", "nii.gz", "mha"])
def test_field_round_trip(grid: str, ending: str, tmp_path: Path) -> None:
    field = VectorField(RNG.normal(0, 3, (*ARRAY.shape, 3)), GRIDS[grid])
    back = read_field(write_field(field, tmp_path / f"field.{ending}"))
    np.testing.assert_array_equal(back.array, field.array)
    np.testing.assert_allclose(back.affine, field.affine, atol=2e-5)


@pytest.mark.parametrize("grid", ["anisotropic", "oblique", "left-handed", "LPS axes"])
def test_native_warp_agrees_with_SimpleITK_by_the_saved_field(grid: str, tmp_path: Path) -> None:
    matrix = GRIDS[grid]
    smooth = fields.band_limit(VectorField(RNG.normal(0, 8, (24, 26, 28, 3)), matrix), 3.0)
    smooth = fields.soft_bound(smooth, 1.5)
    scan = fields.band_limit(VectorField(RNG.normal(0, 300, (24, 26, 28, 3)), matrix), 2.0).array[..., 0]
    volume = Volume(scan, matrix)
    ours = fields.warp(volume, smooth).array
    write_field(smooth, tmp_path / "u.nrrd")
    write_volume(volume, tmp_path / "scan.nrrd")
    image = sitk.ReadImage(str(tmp_path / "scan.nrrd"))
    vectors = sitk.ReadImage(str(tmp_path / "u.nrrd"), sitk.sitkVectorFloat64)
    theirs = sitk.Resample(image, image, sitk.DisplacementFieldTransform(vectors), sitk.sitkLinear, 0.0)
    inside = (slice(4, -4),) * 3
    assert smooth.magnitude().max() > 0.5
    moved = np.abs(ours - scan)[inside].max()
    difference = np.abs(ours - sitk.GetArrayFromImage(theirs))[inside].max()
    assert moved > 20 * difference
    assert difference < 1e-3 * np.ptp(scan)


def test_labels_are_read_as_whole_numbers(tmp_path: Path) -> None:
    labels = np.zeros((6, 7, 8), np.int16)
    labels[2:4, 2:5, 3:6] = 17
    write_volume(Volume(labels.astype(np.float32), GRIDS["oblique"]), tmp_path / "labels.nii.gz")
    array, matrix = read_labels(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(array, labels)
    np.testing.assert_allclose(matrix, GRIDS["oblique"], atol=2e-5)
    with pytest.raises(InputError, match="not whole numbers"):
        read_labels(write_volume(Volume(ARRAY, np.eye(4)), tmp_path / "scan.nii.gz"))


def test_whole_numbers_are_written_as_16_bit_and_fractions_are_kept(tmp_path: Path) -> None:
    write_volume(Volume(np.rint(ARRAY), np.eye(4)), tmp_path / "whole.nrrd")
    write_volume(Volume(ARRAY, np.eye(4)), tmp_path / "parts.nrrd")
    assert sitk.ReadImage(str(tmp_path / "whole.nrrd")).GetPixelID() == sitk.sitkInt16
    assert sitk.ReadImage(str(tmp_path / "parts.nrrd")).GetPixelID() == sitk.sitkFloat32


@pytest.mark.parametrize("place", ["nowhere/scan.nii.gz", "scan.jpg"])
def test_unwritable_place_is_one_sentence_and_leaves_nothing(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_volume(Volume(ARRAY, np.eye(4)), tmp_path / place)
    assert one_sentence(str(caught.value))
    assert not list(tmp_path.rglob("*"))


def dicom_series(folder: Path, slices: int = 8, series: str = "1.2.3.4", offset: float = 0.0) -> list[Path]:
    """A head of a person with a name, stored with an intercept of -1024."""
    folder.mkdir(exist_ok=True)
    array = head(spacing=(8.0, 8.0, 8.0)).array[:slices]
    paths = []
    for index in range(slices):
        picture = sitk.GetImageFromArray(array[index].astype(np.int16))
        picture.SetSpacing((8.0, 8.0))
        tags = {
            "0010|0010": "Doe^Jane", "0008|0060": "MR", "0020|000e": series, "0020|000d": "1.2.3",
            "0020|0032": f"-80\\-90\\{offset + 8.0 * index}", "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(index + 1), "0028|1052": "-1024", "0028|1053": "1", "0028|0030": "8\\8",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"{series}.{index}",
        }  # fmt: skip
        for key, value in tags.items():
            picture.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        paths.append(folder / f"slice{index:02d}{series[-1]}.dcm")
        writer.SetFileName(str(paths[-1]))
        writer.Execute(picture)
    return paths


def test_DICOM_folder_and_one_of_its_files_are_the_same_scan(tmp_path: Path) -> None:
    paths = dicom_series(tmp_path / "mr", slices=20)
    whole, by_file = read_volume(tmp_path / "mr"), read_volume(paths[3])
    np.testing.assert_array_equal(whole.array, by_file.array)
    np.testing.assert_allclose(np.diag(whole.affine), [-8, -8, 8, 1], atol=1e-6)
    assert whole.array.min() == 0 and whole.array.max() > 900
    assert (whole.name, by_file.name) == ("mr", "slice034")
    assert "Doe" not in repr(whole)


def test_DICOM_faults_are_named(tmp_path: Path) -> None:
    dicom_series(tmp_path / "gap", slices=20)[9].unlink()
    with pytest.raises(InputError, match="about 1 slices are missing"):
        read_volume(tmp_path / "gap")
    dicom_series(tmp_path / "two", slices=12, series="1.2.3.4")
    files = dicom_series(tmp_path / "two", slices=12, series="1.2.3.5", offset=200.0)
    with pytest.raises(InputError, match="2 DICOM series"):
        read_volume(tmp_path / "two")
    assert read_volume(files[0]).shape[0] == 12
    with pytest.raises(InputError, match="2D"):
        read_volume(dicom_series(tmp_path / "one", slices=1)[0])


def test_CT_series_keeps_its_stored_values(real_data: Path) -> None:
    scan = read_volume(real_data / "ct_dicom")
    assert scan.shape == (93, 64, 64)
    assert scan.array.min() == 0 and scan.array.max() > 3000
    assert "ustrialian" not in repr(scan.name)
