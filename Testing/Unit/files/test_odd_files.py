"""Odd names, long paths, bombs and crossed headers are sentences; strangers beside a series do no harm."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hostile import seeds, series
from tiny_model import one_sentence

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume
from SITTranslateLib.files.checks import is_ct


def crashing(folder: Path) -> Path:
    """A header that ends the reading process: MetaIO takes -1 dimensions for a size."""
    path = seeds.write_single(folder, ".mha")
    path.write_bytes(path.read_bytes().replace(b"NDims = 3", b"NDims = -1").replace(b"ObjectType = Image\n", b""))
    return path


def test_a_header_that_crashes_MetaIO_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not made of whole numbers") as caught:
        read_volume(crashing(tmp_path))
    assert one_sentence(str(caught.value))


def test_DICOM_with_missing_slices_says_how_many(tmp_path: Path) -> None:
    folder = seeds.write_series(tmp_path)
    whole = read_volume(folder)
    assert whole.shape == (14, 17, 15)
    (folder / "005.dcm").unlink()
    (folder / "006.dcm").unlink()
    with pytest.raises(InputError, match="about 2 slices are missing") as caught:
        read_volume(folder)
    assert one_sentence(str(caught.value))
    assert "Doe" not in str(caught.value) and "4711" not in str(caught.value)


def test_strangers_beside_a_series_do_no_harm(tmp_path: Path) -> None:
    folder = seeds.write_series(tmp_path)
    series.strangers(folder, np.random.default_rng(0))
    assert read_volume(folder).shape == (14, 17, 15)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Four terabytes promised by a few kilobytes; and half a gigabyte promised honestly, of nothing."""
    path = seeds.write_single(tmp_path, ".nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<4h", content, 40, 3, 32000, 32000, 1000)
    packed = tmp_path / "promises.nii.gz"
    packed.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(InputError, match="more than any scan"):
        read_volume(packed)
    bomb = seeds.write_bomb(tmp_path, 64)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(InputError, match=r"empty|constant"):
        read_volume(bomb)


@pytest.mark.parametrize("name", ["Größe 脳", "x" * 240, "two\nlines", "\x1b[31mred", "a\u202eb"])
def test_odd_names_are_read_and_shown_printable(name: str, tmp_path: Path) -> None:
    path = seeds.write_single(tmp_path, ".nii").rename(tmp_path / f"{name}.nii")
    assert read_volume(path).name == name
    path.write_bytes(b"not a scan" * 100)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert str(caught.value).isprintable()


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.mha")
    try:
        seeds.write_single(tmp_path, ".mha").rename(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(InputError, match="rename") as caught:
        read_volume(path)
    assert one_sentence(str(caught.value))


def test_very_long_paths_work_up_to_the_system_s_limit(tmp_path: Path) -> None:
    folder = tmp_path
    while len(str(folder)) < 3500:
        folder = folder / ("d" * 200)
    folder.mkdir(parents=True)
    assert read_volume(seeds.write_single(folder, ".nii")).shape == seeds.scan().shape


def test_an_unreadable_folder_is_a_sentence(tmp_path: Path) -> None:
    folder = seeds.write_series(tmp_path)
    folder.chmod(0)
    try:
        if os.access(folder, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(InputError, match="may not be read"):
            read_volume(folder)
    finally:
        folder.chmod(0o700)


def test_sheared_is_refused_clearly_in_every_format(tmp_path: Path) -> None:
    """As Slicer keeps it, sheared grids have no place in its volume nodes either: the sentence says what to do."""
    path = seeds.write_single(tmp_path, ".nrrd")
    text, _, data = path.read_bytes().partition(b"\n\n")
    lines = [b"space directions: (2,0.8,0) (0,2,0) (0,0,2)" if line.startswith(b"space directions") else line
             for line in text.split(b"\n")]  # fmt: skip
    path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
    with pytest.raises(InputError, match=r"is sheared .*; resample it to a straight grid\.$"):
        read_volume(path)


@pytest.mark.parametrize("path", [None, 3, b"scan.nii", 2.5, ["a"]])
def test_a_path_of_another_type_is_a_sentence(path: object) -> None:
    with pytest.raises(InputError, match="given by its path") as caught:
        read_volume(path)  # type: ignore[arg-type]
    assert one_sentence(str(caught.value))


@pytest.mark.parametrize("frame", ["1", 0.5, True, float("nan"), 10**30, -1])
def test_a_frame_that_is_none_is_a_sentence(frame: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frame"):
        read_volume(seeds.write_single(tmp_path, ".nii"), frame=frame)  # type: ignore[arg-type]


@pytest.mark.parametrize(("air", "value", "expected"), [(400, -1000.0, True), (5, -700.0, False), (0, 0.0, False)])
def test_a_ct_is_known_by_its_air_and_not_by_a_few_voxels(air: int, value: float, expected: bool) -> None:
    array = np.full((20, 20, 20), 40.0, np.float32)
    array.reshape(-1)[:air] = value
    assert is_ct(array) is expected
