"""A file is written whole, read back and right in any locale, or there is one sentence and nothing is left."""

from __future__ import annotations

import locale
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import one_sentence, turned

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_field, read_volume, write_field, write_volume, writing
from SITTranslateLib.files.notes import note_of, says_synthetic
from SITTranslateLib.files.sequences import write_sequence
from SITTranslateLib.volume import VectorField, Volume

RNG = np.random.default_rng(1)
AFFINE = np.eye(4)
AFFINE[:3, :3] = turned((12.0, -7.0, 20.0)) * np.array([2.5, -2.5, 3.75])
AFFINE[:3, 3] = (-12.5, -30.25, 4.5)
SCAN = Volume(RNG.normal(100, 20, (12, 13, 14)), AFFINE, "scan")
FIELD = VectorField(RNG.normal(0, 2, (12, 13, 14, 3)), AFFINE)
ENDINGS = [".nii", ".nii.gz", ".nrrd", ".mha"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_ITK_and_nibabel_read_what_is_written(ending: str, tmp_path: Path) -> None:
    for array in (SCAN.array, np.rint(SCAN.array)):
        path = write_volume(SCAN.with_array(array), tmp_path / f"scan{ending}")
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
        for index in ((0, 0, 0), (13, 12, 11)):
            lps = np.array(image.TransformIndexToPhysicalPoint(index))
            np.testing.assert_allclose(SCAN.grid.to_world(np.array(index, float)), lps * (-1, -1, 1), atol=1e-4)
        if ending.startswith(".nii"):
            loaded = nib.load(path)
            np.testing.assert_array_equal(np.asarray(loaded.dataobj).T, array)
            np.testing.assert_allclose(loaded.get_qform(), loaded.get_sform(), atol=1e-4)
    vectors = sitk.ReadImage(str(write_field(FIELD, tmp_path / f"field{ending}")))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(vectors) * (-1, -1, 1), FIELD.array)


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    for ending in ENDINGS:
        first = write_volume(SCAN, tmp_path / f"a{ending}").read_bytes()
        assert write_volume(SCAN, tmp_path / f"b{ending}").read_bytes() == first


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 4 kB, as with a full disk.

    Not a fixture: pytest would report the test under the limit, and where its output goes to a file, fail to write.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_write_that_fails_is_one_sentence_and_leaves_nothing(ending: str, tmp_path: Path) -> None:
    for write in (lambda p: write_volume(SCAN, p), lambda p: write_field(FIELD, p)):
        with small_files(), pytest.raises(InputError, match="larger than this system allows") as caught:
            write(tmp_path / f"out{ending}")
        assert one_sentence(str(caught.value)) and "part" not in str(caught.value)
    with small_files(), pytest.raises(InputError, match="cannot be written"):
        write_sequence([SCAN, SCAN], tmp_path / "out.seq.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_does_not_give_back_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that says that it wrote, and did not."""
    (tmp_path / "scan.nii.gz").write_bytes(b"what was there")

    def lose(number: int) -> None:
        os.ftruncate(number, os.fstat(number).st_size - 1)

    monkeypatch.setattr(writing.os, "fsync", lose)
    with pytest.raises(InputError, match="does not give back what was written"):
        write_volume(SCAN, tmp_path / "scan.nii.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]
    assert (tmp_path / "scan.nii.gz").read_bytes() == b"what was there"


@pytest.mark.parametrize("name", ["x" * 260 + ".nii.gz", "nowhere/scan.nrrd"])
def test_places_that_cannot_be_written_are_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_volume(SCAN, tmp_path / name)
    assert one_sentence(str(caught.value)) or len(name) > 250
    assert list(tmp_path.iterdir()) == []


def test_a_decimal_comma_does_not_matter(tmp_path: Path) -> None:
    """Qt and GTK set the user's locale in the process that they live in."""
    if shutil.which("localedef") is None:
        pytest.skip("no locale can be made here")
    command = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")]
    if subprocess.run(command, capture_output=True, check=False).returncode > 1 or not any(tmp_path.iterdir()):
        pytest.skip("no locale with a decimal comma can be made here")
    code = (
        "import locale, sys, numpy as np, pathlib\n"
        "locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')\n"
        "assert locale.localeconv()['decimal_point'] == ','\n"
        "from SITTranslateLib.files import *\n"
        "from SITTranslateLib.files.sequences import write_sequence\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "for ending in ('.nii', '.nii.gz', '.nrrd', '.mha'):\n"
        "    scan = read_volume(folder / f'before{ending}')\n"
        "    write_volume(scan, folder / f'after{ending}')\n"
        "    write_field(read_field(folder / f'field{ending}'), folder / f'field_after{ending}')\n"
        "write_sequence([scan, scan], folder / 'after.seq.nrrd')\n"
    )
    for ending in ENDINGS:
        write_volume(SCAN, tmp_path / f"before{ending}")
        write_field(FIELD, tmp_path / f"field{ending}")
    search = os.pathsep.join(filter(None, [str(Path(writing.__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "LOCPATH": str(tmp_path), "PYTHONPATH": search}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)
    assert locale.localeconv()["decimal_point"] == "."
    for ending in ENDINGS:
        np.testing.assert_allclose(read_volume(tmp_path / f"after{ending}").affine, AFFINE, atol=2e-5)
        np.testing.assert_array_equal(read_volume(tmp_path / f"after{ending}").array, SCAN.array)
        np.testing.assert_allclose(read_field(tmp_path / f"field_after{ending}").affine, AFFINE, atol=2e-5)
    np.testing.assert_allclose(read_volume(tmp_path / "after.seq.nrrd", frame=1).affine, AFFINE, atol=1e-9)


@pytest.mark.parametrize("ending", writing.SCAN_ENDINGS)
def test_a_file_carries_its_note_and_the_image_is_the_same(tmp_path: Path, ending: str) -> None:
    note = "SYNTHETIC, research use only: brain-ageing-t1w age +20"
    path = write_volume(SCAN, tmp_path / f"marked{ending}", note)
    assert note_of(path) == note and says_synthetic(note_of(path))
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, SCAN.array)
    np.testing.assert_allclose(again.affine, SCAN.affine, atol=1e-5)
    assert not says_synthetic(note_of(write_volume(SCAN, tmp_path / f"plain{ending}")))
    assert note_of(write_field(FIELD, tmp_path / f"field{ending}", f"{note}\nline \u00e4")).startswith(note)


def test_other_programs_read_the_note(tmp_path: Path) -> None:
    assert nib.load(write_volume(SCAN, tmp_path / "a.nii.gz", "synthetic")).header["descrip"] == b"synthetic"
    assert sitk.ReadImage(str(write_volume(SCAN, tmp_path / "a.nrrd", "synthetic"))).GetMetaData(writing.NRRD_KEY) == (
        "synthetic"
    )
