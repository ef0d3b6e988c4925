"""What is not one scalar 3D scan is refused in one sentence, whatever the file."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import head, one_sentence

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume, write_volume

NOISE = np.random.default_rng(0).normal(100, 20, (12, 14, 16)).astype(np.float32)


def image(array: np.ndarray, vector: bool = False) -> sitk.Image:
    return sitk.GetImageFromArray(array, isVector=vector)


def written(picture: sitk.Image, folder: Path, name: str = "scan.nii.gz") -> Path:
    sitk.WriteImage(picture, str(folder / name))
    return folder / name


def with_values(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    return written(image(change(NOISE.copy())), folder)


def cut(folder: Path, name: str, share: float = 0.6) -> Path:
    path = written(image(NOISE), folder, name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def with_sform(folder: Path, rows: list[list[float]], qform: int) -> Path:
    path = written(image(NOISE), folder, "scan.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<hh", content, 252, qform, 2)
    struct.pack_into("<12f", content, 280, *np.array(rows, float).ravel())
    path.write_bytes(content)
    return path


def with_nifti_size(folder: Path, *size: int) -> Path:
    path = written(image(NOISE), folder, "scan.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<8h", content, 40, len(size), *size, *[1] * (7 - len(size)))
    packed = folder / "bomb.nii.gz"
    packed.write_bytes(gzip.compress(bytes(content)))
    return packed


def nrrd(folder: Path, directions: str, name: str = "scan.nrrd", data: str = "") -> Path:
    header = (
        "NRRD0005\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 16 14 12\n"
        f"space directions: {directions}\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        f"space origin: (0,0,0)\n{data}\n"
    )
    (folder / name).write_bytes(header.encode() + NOISE.tobytes())
    return folder / name


def metaimage(folder: Path, size: str = "16 14 12", data: str = "LOCAL", matrix: str = "1 0 0 0 1 0 0 0 1") -> Path:
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = {matrix}\nOffset = 0 0 0\n"
        f"ElementSpacing = 1 1 1\nDimSize = {size}\nElementType = MET_FLOAT\nElementDataFile = {data}\n"
    )
    (folder / "scan.mha").write_bytes(header.encode() + NOISE.tobytes())
    return folder / "scan.mha"


def text_file(folder: Path, name: str, content: bytes = b"this is no scan\n" * 40) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def empty_folder(folder: Path) -> Path:
    (folder / "dicom").mkdir()
    return folder / "dicom"


def segmentation(folder: Path) -> Path:
    return written(image((NOISE > 100).astype(np.uint8)), folder, "brain.seg.nrrd")


SHEAR = [[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
SINGULAR = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "nothing.nii.gz", "There is no file"),
    "path too long": (lambda d: d / ("x" * 5000), "not one that this system can open"),
    "null in path": (lambda d: Path("a\0b.nii"), "not one that this system can open"),
    "zero bytes": (lambda d: text_file(d, "scan.nii.gz", b""), "0 bytes"),
    "text": (lambda d: text_file(d, "scan.txt"), "not a scan in a known format"),
    "text named nifti": (lambda d: text_file(d, "scan.nii.gz"), "damaged|known format|cannot be read"),
    "text named nrrd": (lambda d: text_file(d, "scan.nrrd"), "not an NRRD"),
    "text named mha": (lambda d: text_file(d, "scan.mha"), "truncated"),
    "truncated nii": (lambda d: cut(d, "scan.nii"), "truncated"),
    "truncated nii.gz": (lambda d: cut(d, "scan.nii.gz"), "truncated"),
    "truncated in the header": (lambda d: cut(d, "scan.nii", 0.02), "truncated"),
    "truncated nrrd": (lambda d: cut(d, "scan.nrrd"), "truncated"),
    "truncated mha": (lambda d: cut(d, "scan.mha"), "truncated"),
    "2D": (lambda d: written(image(NOISE[0]), d, "slice.nrrd"), "2D"),
    "2D nifti": (lambda d: written(image(NOISE[0]), d), "2D"),
    "one slice": (lambda d: with_values(d, lambda a: a[:1]), "2D"),
    "one column": (lambda d: with_values(d, lambda a: a[:, :, :1]), "one voxel thin"),
    "4D": (lambda d: written(sitk.JoinSeries([image(NOISE), image(NOISE)]), d), "4D"),
    "RGB": (lambda d: written(image(np.stack([NOISE] * 3, -1), True), d, "rgb.nrrd"), "3 values a voxel"),
    "field": (lambda d: written(image(np.stack([NOISE] * 3, -1), True), d), "3 values a voxel"),
    "complex": (lambda d: written(image(NOISE.astype(np.complex64)), d, "scan.nrrd"), "complex|2 values"),
    "label map": (lambda d: with_values(d, lambda a: (np.indices(a.shape).sum(0) // 9).astype(np.int16)), "label map"),
    "mask in floats": (
        lambda d: with_values(d, lambda a: (np.indices(a.shape)[0] > 5).astype(np.float32)),
        "label map",
    ),
    "segmentation": (segmentation, "segmentation"),
    "empty": (lambda d: with_values(d, np.zeros_like), "is empty"),
    "constant": (lambda d: with_values(d, lambda a: np.full_like(a, 7)), "constant"),
    "NaN": (lambda d: with_values(d, lambda a: np.where(a > 130, np.nan, a)), "not numbers"),
    "infinite": (lambda d: with_values(d, lambda a: np.where(a > 130, np.inf, a)), "not numbers"),
    "absurd values": (lambda d: with_values(d, lambda a: a * 1e30), "beyond those of any scan"),
    "sheared": (lambda d: with_sform(d, SHEAR, 0), "sheared"),
    "sheared beside a qform": (lambda d: with_sform(d, SHEAR, 1), "sheared"),
    "singular": (lambda d: with_sform(d, SINGULAR, 0), "singular"),
    "singular beside a qform": (lambda d: with_sform(d, SINGULAR, 1), "singular"),
    "NaN affine": (lambda d: with_sform(d, [[np.nan] * 4] * 3, 0), "beyond any scan"),
    "sheared nrrd": (lambda d: nrrd(d, "(1,0,0) (0.3,1,0) (0,0,1)"), "sheared"),
    "singular nrrd": (lambda d: nrrd(d, "(1,0,0) (1,0,0) (0,0,1)"), "singular"),
    "flat nrrd": (lambda d: nrrd(d, "(1,0,0) (0,1,0) (0,0,0)"), "singular"),
    "tiny voxels": (lambda d: nrrd(d, "(1e-6,0,0) (0,1e-6,0) (0,0,1e-6)"), "not the size of a scan"),
    "huge voxels": (lambda d: nrrd(d, "(900,0,0) (0,900,0) (0,0,900)"), "not the size of a scan"),
    "data elsewhere": (
        lambda d: nrrd(d, "(1,0,0) (0,1,0) (0,0,1)", "s.nhdr", "data file: ../x.raw\n"),
        "another folder",
    ),
    "data missing": (lambda d: nrrd(d, "(1,0,0) (0,1,0) (0,0,1)", "s.nhdr", "data file: x.raw\n"), "not beside it"),
    "mha elsewhere": (lambda d: metaimage(d, data="/etc/hostname"), "another folder"),
    "sheared mha": (lambda d: metaimage(d, matrix="1 0 0 0.3 1 0 0 0 1"), "sheared"),
    "mha bomb": (lambda d: metaimage(d, size="100000 100000 100000"), "more than any scan|cannot be read"),
    "nii.gz bomb": (lambda d: with_nifti_size(d, 30000, 30000, 30000), "more than any scan"),
    "nii.gz that lies": (lambda d: with_nifti_size(d, 900, 900, 600), "truncated"),
    "no voxels": (lambda d: with_nifti_size(d, 16, 0, 12), "empty|cannot be read"),
    "negative size": (lambda d: with_nifti_size(d, 16, -14, 12), "empty|cannot be read|known format"),
    "empty folder": (empty_folder, "no DICOM series"),
    "device": (lambda d: Path("/dev/null"), "neither a file nor a folder"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_gives_one_sentence(case: str, tmp_path: Path) -> None:
    make, expected = HOSTILE[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=expected) as caught:
        read_volume(path)
    assert one_sentence(str(caught.value)), str(caught.value)
    assert tmp_path.name not in str(caught.value)


def test_4D_is_read_with_a_frame(tmp_path: Path) -> None:
    path = written(sitk.JoinSeries([image(NOISE), image(NOISE + 5)]), tmp_path)
    np.testing.assert_array_equal(read_volume(path, frame=1).array, NOISE + 5)
    with pytest.raises(InputError, match="no frame 2"):
        read_volume(path, frame=2)


def test_gzip_payload_beyond_the_image_is_not_unpacked(tmp_path: Path) -> None:
    """A small honest header before a gigabyte of zeros: read in the time of the small image."""
    path = written(image(NOISE), tmp_path, "scan.nii")
    packed = tmp_path / "long.nii.gz"
    with gzip.open(packed, "wb", compresslevel=1) as stream:
        stream.write(path.read_bytes())
        for _ in range(200):
            stream.write(bytes(1 << 20))
    np.testing.assert_array_equal(read_volume(packed).array, NOISE)


def test_8_bit_scan_is_no_label_map(tmp_path: Path) -> None:
    scan = head(spacing=(3.0, 3.0, 3.0), gain=200.0)
    path = write_volume(scan.with_array(np.rint(scan.array).clip(0, 255)), tmp_path / "t1.nii.gz")
    assert read_volume(path).array.max() > 100


def test_name_is_the_file_name_and_nothing_else(tmp_path: Path) -> None:
    picture = image(NOISE)
    picture.SetMetaData("descrip", "Doe^Jane")
    assert read_volume(written(picture, tmp_path, "Ümlaut scan.v2.nii.gz")).name == "Ümlaut scan.v2"
