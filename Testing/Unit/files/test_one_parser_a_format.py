"""Exactly the file named is read, by one parser a format; what a header cannot mean is refused in one sentence."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import one_sentence, turned

import SITTranslateLib
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import place_image, read_field, read_labels, read_volume
from SITTranslateLib.volume import Volume

RNG = np.random.default_rng(7)
ARRAY = np.rint(RNG.normal(300, 60, (9, 10, 11))).astype(np.int16)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = turned((12.0, -7.0, 20.0)) * np.array([1.5, 2.0, 2.5])
OBLIQUE[:3, 3] = (-12.0, 30.0, 7.0)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{extra}"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 2 2 3\nDimSize = 11 10 9\n"
    "ElementType = MET_SHORT\n{last}"
)
NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 11 10 9\n"
    "space directions: (2,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    "space origin: (0,0,0)\n{extra}\n"
)


def metaimage(folder: Path, *, extra: str = "", last: str = "ElementDataFile = LOCAL\n", packed: bool = False) -> Path:
    data = zlib.compress(ARRAY.tobytes()) if packed else ARRAY.tobytes()
    extra += "CompressedData = True\n" if packed else ""
    path = folder / "scan.mha"
    path.write_bytes(META.format(extra=extra, last=last).encode() + data)
    return path


def nrrd(folder: Path, extra: str = "", *, name: str = "scan.nrrd", header: str = NRRD) -> Path:
    (folder / name).write_bytes(header.format(extra=extra).encode() + ARRAY.tobytes())
    return folder / name


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_volume(path)
    assert one_sentence(str(caught.value)), str(caught.value)


def test_a_flipped_byte_of_compressed_voxels_never_passes(tmp_path: Path) -> None:
    """One bit, anywhere in the stream: the checksum, the length or the parser sees it; nothing else is handed on."""
    for path in (metaimage(tmp_path, packed=True), tmp_path / "scan.nrrd", tmp_path / "scan.nii.gz"):
        if path.suffix == ".nrrd":
            packed = NRRD.replace("raw", "gzip").format(extra="").encode() + gzip.compress(ARRAY.tobytes())
            path.write_bytes(packed)
        elif path.suffix == ".gz":
            nib.save(nib.Nifti1Image(ARRAY.T, OBLIQUE), path)
        honest = path.read_bytes()
        start = 0 if path.suffix == ".gz" else honest.index(b"LOCAL\n" if path.suffix == ".mha" else b"\n\n") + 10
        np.testing.assert_array_equal(read_volume(path).array, ARRAY)
        for where in RNG.integers(start, len(honest), 40):
            damaged = bytearray(honest)
            damaged[where] ^= 1 << int(RNG.integers(8))
            path.write_bytes(damaged)
            try:
                # What carries no meaning may change: a date or flag of the container.
                np.testing.assert_array_equal(read_volume(path).array, ARRAY)
            except InputError as error:
                assert one_sentence(str(error))


def test_a_stream_that_ends_early_gives_no_voxels_of_another_scan(tmp_path: Path) -> None:
    """In a long-lived process, memory that was freed holds the scan that was read before."""
    path = metaimage(tmp_path, packed=True)
    before = read_volume(path)
    del before
    path.write_bytes(path.read_bytes()[:-300])
    refused(path, "truncated")
    whole = META.format(extra="CompressedData = True\n", last="ElementDataFile = LOCAL\n").encode()
    path.write_bytes(whole + zlib.compress(ARRAY.tobytes()[:-40]))
    refused(path, "40 bytes of the image are missing")
    path.write_bytes(whole + zlib.compress(ARRAY.tobytes() + bytes(6)))
    refused(path, "6 bytes more")


def test_the_file_named_is_read_and_not_its_neighbour(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ARRAY.T, OBLIQUE), tmp_path / "s.nii.gz")
    nib.save(nib.Nifti1Image(ARRAY.T + 5, OBLIQUE), tmp_path / "s.nii")
    nib.save(nib.Nifti1Pair(ARRAY.T + 9, OBLIQUE), tmp_path / "s.img")
    np.testing.assert_array_equal(read_volume(tmp_path / "s.nii.gz").array, ARRAY)
    np.testing.assert_array_equal(read_volume(tmp_path / "s.nii").array, ARRAY + 5)
    for half in ("s.hdr", "s.img"):
        np.testing.assert_array_equal(read_volume(tmp_path / half).array, ARRAY + 9)
    with gzip.open(tmp_path / "s.img.gz", "wb") as file:
        file.write(ARRAY.tobytes())
    np.testing.assert_array_equal(read_volume(tmp_path / "s.hdr").array, ARRAY + 9)
    np.testing.assert_array_equal(read_volume(tmp_path / "s.img.gz").array, ARRAY)
    (tmp_path / "s.img").unlink()
    np.testing.assert_array_equal(read_volume(tmp_path / "s.hdr").array, ARRAY)
    (tmp_path / "s.img.gz").unlink()
    refused(tmp_path / "s.hdr", "are not beside it")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.MGHImage, nib.Nifti1Pair, nib.AnalyzeImage])
def test_voxels_and_place_are_nibabel_s(kind: type, tmp_path: Path) -> None:
    endings = {nib.MGHImage: ["mgz", "mgh"], nib.Nifti1Pair: ["img", "img.gz"], nib.AnalyzeImage: ["img"]}
    image = kind(ARRAY.T, None if kind is nib.AnalyzeImage else OBLIQUE)
    if kind is nib.AnalyzeImage:
        image.header.set_zooms((2.0, 2.0, 3.0))
    for ending in endings.get(kind, ["nii", "nii.gz"]):
        path = tmp_path / f"scan.{ending}"
        nib.save(image, path)
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, ARRAY)
        np.testing.assert_allclose(volume.affine, nib.load(path).affine, atol=1e-5)


def test_slope_intercept_frames_and_byte_order_are_nibabel_s(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.stack([ARRAY.T, ARRAY.T[::-1]], -1).astype(">i2"), OBLIQUE)
    image.header.set_slope_inter(0.25, -100.0)
    content = nib.Nifti1Image(image.dataobj, OBLIQUE, image.header.as_byteswapped(">"))
    content.header.set_slope_inter(0.25, -100.0)
    nib.save(content, tmp_path / "scan.nii")
    expected = nib.load(tmp_path / "scan.nii").get_fdata()
    for frame in (0, 1):
        np.testing.assert_allclose(read_volume(tmp_path / "scan.nii", frame=frame).array, expected[..., frame].T)


@pytest.mark.parametrize("codes", [(4, 1), (1, 1), (1, 2)])
def test_sform_and_qform_that_disagree_are_named(codes: tuple[int, int], tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY.T, None)
    image.set_sform(OBLIQUE, codes[0])
    moved = OBLIQUE.copy()
    moved[:3, 3] += (0.0, 6.0, 0.0)
    image.set_qform(moved, codes[1])
    nib.save(image, tmp_path / "scan.nii.gz")
    refused(tmp_path / "scan.nii.gz", r"its sform and its qform lie up to 6 mm apart")
    image.set_qform(OBLIQUE, codes[1])
    nib.save(image, tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii.gz").affine, OBLIQUE, atol=1e-5)


def test_pixdim_does_not_win_over_the_sform(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY.T, OBLIQUE)
    nib.save(image, tmp_path / "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    content[80:92] = np.array([1, 1, 1], "<f4").tobytes()
    (tmp_path / "scan.nii").write_bytes(content)
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").spacing, (1.5, 2.0, 2.5), atol=1e-5)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
def test_NIfTI_units_are_heeded(unit: str, factor: float, tmp_path: Path) -> None:
    affine = OBLIQUE / factor
    affine[3, 3] = 1
    image = nib.Nifti1Image(ARRAY.T, affine)
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").affine, OBLIQUE, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("offset", "field", "match"),
    [(108, np.float32(100), "inside its header"), (108, np.float32(np.nan), "begins at byte nan"),
     (108, np.float32(352.5), "begins at byte 352.5"), (72, np.int16(8), "8 bits a voxel"),
     (254, np.int16(9), "the codes 9 and 0"), (123, np.uint8(5), "a unit that is not known"),
     (0, np.int32(100), "instead of 348"), (112, np.float32(np.inf), "slope or intercept"),
     (70, np.int16(77), "type that is not known"), (70, np.int16(1536), "not read|bits a voxel")],
)  # fmt: skip
def test_NIfTI_headers_that_lie_are_refused(offset: int, field: np.generic, match: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(ARRAY.T, OBLIQUE), path)
    content = bytearray(path.read_bytes())
    content[offset : offset + field.nbytes] = field.tobytes()
    path.write_bytes(content)
    refused(path, match)


@pytest.mark.parametrize("ending", ["img", "img.gz", "mgz"])
def test_truncated_pairs_and_MGH_are_not_filled_with_zeros(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{ending}"
    nib.save((nib.MGHImage if ending == "mgz" else nib.Nifti1Pair)(ARRAY.T, OBLIQUE), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    refused(path, "truncated")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda d: metaimage(d, last="ElementDataFile = LIST\nother.raw\n"), "in several files"),
        (lambda d: metaimage(d, last="\tElementDataFile = ../x.raw\n"), "another folder"),
        (lambda d: metaimage(d, last=" ElementDataFile = slice%03d.raw 1 9 1\n"), "in several files"),
        (lambda d: metaimage(d, extra="DimSize = 2 2 2\n"), "gives 'DimSize' twice"),
        (lambda d: metaimage(d, extra="Origin = 1 2 3\n"), "gives 'Offset' twice"),
        (lambda d: metaimage(d, extra="CompressedData = perhaps\n"), "neither True nor False"),
        (lambda d: metaimage(d, extra="DistanceUnits = inch\n"), "unit 'inch'"),
        (lambda d: metaimage(d, extra="BinaryData = True\n"), "gives 'BinaryData' twice"),
        (lambda d: metaimage(d, extra="Comment\n"), "not MetaImage"),
        (lambda d: nrrd(d, "data file: LIST\nother.raw\n"), "in several files|not NRRD"),
        (lambda d: nrrd(d, "data file: s%03d.raw 1 9 1\n"), "in several files"),
        (lambda d: nrrd(d, " data file: ../x.raw\n"), "not NRRD"),
        (lambda d: nrrd(d, "datafile: a/x.raw\n"), "another folder"),
        (lambda d: nrrd(d, "sizes: 2 2 2\n"), "gives 'sizes' twice"),
        (lambda d: nrrd(d, "space units: \"inch\" \"inch\" \"inch\"\n"), "units that are not read"),
        (lambda d: nrrd(d, "space units: \"mm\" \"cm\" \"mm\"\n"), "units that are not read"),
        (lambda d: nrrd(d, header=NRRD.replace("raw", "bzip2")), "encoding 'bzip2'"),
        (lambda d: nrrd(d, header=NRRD.replace("(2,0,0)", "(nan,0,0)")), "no number"),
        (lambda d: nrrd(d, header=NRRD.replace("(2,0,0)", "(2,5,0,0)")), "4 dimensions"),
        (lambda d: nrrd(d, header=NRRD.replace("left-posterior-superior", "scanner-xyz")), "none of a patient"),
        (lambda d: nrrd(d, header=NRRD.replace("endian: little\n", "")), "in which order"),
    ],
)  # fmt: skip
def test_text_headers_with_decoys_are_refused(make: Callable[[Path], Path], match: str, tmp_path: Path) -> None:
    (tmp_path / "other.raw").write_bytes(ARRAY.tobytes())
    (tmp_path.parent / "x.raw").write_bytes(ARRAY.tobytes())
    refused(make(tmp_path), match)


@pytest.mark.parametrize("ending", ["mhd", "nhdr", "hdr"])
def test_data_behind_a_link_out_of_the_folder_are_not_read(ending: str, tmp_path: Path) -> None:
    secret, folder = tmp_path / "other.raw", tmp_path / "cd"
    secret.write_bytes((ARRAY + 1).tobytes())
    folder.mkdir()
    header = folder / f"scan.{ending}"
    data = folder / ("scan.img" if ending == "hdr" else "scan.raw")
    if ending == "hdr":
        nib.save(nib.Nifti1Pair(ARRAY.T, OBLIQUE), data)
        data.unlink()
    elif ending == "nhdr":
        header.write_text(NRRD.format(extra="data file: scan.raw\n"))
    else:
        header.write_text(META.format(extra="", last="ElementDataFile = scan.raw\n"))
    data.symlink_to(secret)
    refused(header, "behind a link")
    data.unlink()
    data.write_bytes(ARRAY.tobytes())
    np.testing.assert_array_equal(read_volume(header).array, ARRAY)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_what_ITK_writes_is_read_as_ITK_reads_it(ending: str, kind: type, tmp_path: Path) -> None:
    affine = OBLIQUE @ np.diag([1.0, -1.0, 1.0, 1.0])
    image = place_image(sitk.GetImageFromArray((ARRAY / 3).astype(kind)), affine)
    for packed in (True, False):
        sitk.WriteImage(image, str(tmp_path / f"scan{ending}"), useCompression=packed)
        volume = read_volume(tmp_path / f"scan{ending}")
        np.testing.assert_array_equal(volume.array, (ARRAY / 3).astype(kind).astype(np.float32))
        np.testing.assert_allclose(volume.affine, affine, atol=1e-9)


@pytest.mark.parametrize(("unit", "factor"), [("cm", 10.0), ("um", 1e-3), ("mm", 1.0)])
def test_units_of_text_headers_are_converted(unit: str, factor: float, tmp_path: Path) -> None:
    number = 2 / factor
    header = NRRD.replace("(2,0,0) (0,2,0) (0,0,3)", f"({number:g},0,0) (0,{number:g},0) (0,0,{number:g})")
    path = nrrd(tmp_path, f'space units: "{unit}" "{unit}" "{unit}"\n', header=header)
    np.testing.assert_allclose(read_volume(path).spacing, (2.0, 2.0, 2.0), atol=1e-9)
    path = metaimage(tmp_path, extra=f"DistanceUnits = {unit}\n")
    path.write_bytes(path.read_bytes().replace(b"= 2 2 3", f"= {number:g} {number:g} {number:g}".encode()))
    np.testing.assert_allclose(read_volume(path).spacing, (2.0, 2.0, 2.0), atol=1e-9)


def test_overlapping_segments_are_named(tmp_path: Path) -> None:
    """As Slicer writes them: two layers, the list of layers first."""
    layers = np.zeros((9, 10, 11, 2), np.uint8)
    layers[2:6, 2:6, 2:6, 0] = layers[4:8, 4:8, 4:8, 1] = 1
    header = (
        "NRRD0004\ntype: uchar\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 11 10 9\n"
        "space directions: none (3,0,0) (0,3,0) (0,0,3)\nkinds: list domain domain domain\nencoding: raw\n"
        "space origin: (0,0,0)\nSegment0_Layer:=0\nSegment1_Layer:=1\n\n"
    )
    path = tmp_path / "two.seg.nrrd"
    path.write_bytes(header.encode() + layers.tobytes())
    with pytest.raises(InputError, match="overlapping segments in 2 layers; in Slicer, export"):
        read_labels(path)
    path.write_bytes(header.replace(": 2 11", ": 1 11").encode() + layers[..., 0].tobytes())
    np.testing.assert_array_equal(read_labels(path)[0], layers[..., 0])


@pytest.mark.parametrize(("intent", "expected"), [(1007, (-1.0, -2.0, 3.0)), (1006, (1.0, 2.0, 3.0))])
def test_NIfTI_fields_are_read_as_ITK_reads_them(intent: int, expected: tuple[float, ...], tmp_path: Path) -> None:
    vectors = np.broadcast_to(np.array([1, 2, 3], np.float32), (5, 6, 7, 1, 3))
    image = nib.Nifti1Image(vectors, OBLIQUE)
    image.header["intent_code"] = intent
    nib.save(image, tmp_path / "field.nii")
    field = read_field(tmp_path / "field.nii")
    np.testing.assert_array_equal(field.array[3, 2, 1], expected)
    lps = np.array(sitk.ReadImage(str(tmp_path / "field.nii"))[1, 2, 3])
    np.testing.assert_array_equal(field.array[3, 2, 1], lps * (-1, -1, 1))


@pytest.mark.parametrize("name", ["scan.gipl", "scan.mrc", "scan.vtk", "scan.tif", "scan.h5"])
def test_other_formats_are_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(2000))
    refused(tmp_path / name, "not a scan in a known format .*; save it in one of them")


def test_files_of_the_working_folder_are_never_imported(tmp_path: Path) -> None:
    """A CD with a numpy.py on it, and the shell in its folder."""
    nrrd(tmp_path, "data file: scan.raw\n", name="scan.nhdr")
    (tmp_path / "scan.raw").write_bytes(ARRAY.tobytes())
    for name in ("numpy.py", "random.py", "nibabel.py", "SimpleITK.py"):
        (tmp_path / name).write_text("open('RAN', 'w').close()\n")
    code = "import SITTranslateLib as s; print(s.read_volume('scan.nhdr').shape)"
    library = Path(SITTranslateLib.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(library)},
    )  # fmt: skip
    assert "(9, 10, 11)" in done.stdout
    assert not (tmp_path / "RAN").exists()


def test_a_NIfTI_volume_keeps_NaN_for_the_check(tmp_path: Path) -> None:
    """ITK reads NaN as 0."""
    array = ARRAY.astype(np.float32)
    array[3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(array.T, OBLIQUE), tmp_path / "scan.nii")
    refused(tmp_path / "scan.nii", "1 voxels that are not numbers")
    assert isinstance(Volume(array, OBLIQUE), Volume)
