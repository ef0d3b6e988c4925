"""What is done to an honest DICOM series: slices missing, doubled, moved, tilted, damaged, strangers among them."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from hostile import damage, seeds

Random = np.random.Generator
_ODD_POSITIONS = ("0\\0\\0", "nan\\0\\0", "1e300\\0\\0", "a\\b\\c", "1\\2", "", "-84\\-100\\500", "-84\\-60\\20")
_ODD_ANGLES = (
    "1\\0\\0\\0\\0\\1",
    "0\\0\\0\\0\\0\\0",
    "1\\0\\0\\1\\0\\0",
    "nan\\0\\0\\0\\1\\0",
    "1\\0\\0",
    "2\\0\\0\\0\\2\\0",
)


def missing(folder: Path, rng: Random) -> None:
    files = sorted(folder.iterdir())
    for file in rng.choice(np.array(files), int(rng.integers(1, len(files))), replace=False):
        file.unlink()


def doubled(folder: Path, rng: Random) -> None:
    files = sorted(folder.iterdir())
    shutil.copy(files[int(rng.integers(len(files)))], folder / "again.dcm")


def retagged(folder: Path, rng: Random) -> None:
    """Another position, angle, number, series or size in one slice."""
    files = sorted(folder.iterdir())
    file = files[int(rng.integers(len(files)))]
    image = sitk.ReadImage(str(file))
    change = int(rng.integers(5))
    if change == 0:
        image.SetMetaData("0020|0032", _ODD_POSITIONS[int(rng.integers(len(_ODD_POSITIONS)))])
    elif change == 1:
        image.SetMetaData("0020|0037", _ODD_ANGLES[int(rng.integers(len(_ODD_ANGLES)))])
    elif change == 2:
        image.SetMetaData("0020|000e", "1.2.3.4.5")
    elif change == 3:
        image = image[: max(2, image.GetWidth() // 2)]
    else:
        image.SetMetaData("0028|1052", ("0", "nan", "1e30")[int(rng.integers(3))])
        image.SetMetaData("0028|1053", ("0", "nan", "-1", "1e30")[int(rng.integers(4))])
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(file))
    # What the writer itself refuses is left as it was: an honest slice among honest ones.
    with contextlib.suppress(RuntimeError):
        writer.Execute(image)


def damaged(folder: Path, rng: Random) -> None:
    files = sorted(folder.iterdir())
    change = (damage.cut, damage.flip, damage.insert)[int(rng.integers(3))]
    change(files[int(rng.integers(len(files)))], rng)


def strangers(folder: Path, rng: Random) -> None:
    """Files of other kinds in the folder, as on every CD: the series must still be read."""
    (folder / "DICOMDIR").write_bytes(rng.bytes(500))
    (folder / "readme.txt").write_text("viewer")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "viewer").mkdir()


def two_series(folder: Path, rng: Random) -> None:
    other = folder.parent / "other"
    other.mkdir()
    second = seeds.write_series(other, "1.2.826.0.1.3680043.2.1125.9")
    for file in second.iterdir():
        file.rename(folder / f"b{file.name}")
    shutil.rmtree(other)


def flat(folder: Path, rng: Random) -> None:
    """One slice is left."""
    for file in sorted(folder.iterdir())[1:]:
        file.unlink()


CHANGES = (missing, missing, doubled, retagged, retagged, retagged, damaged, damaged, strangers, two_series, flat)


def _of_frames(path: Path, change: Callable[[Any], None]) -> None:
    from pydicom import dcmread

    one = dcmread(path)
    change(one)
    one.save_as(path)


def frames_missing(path: Path, rng: Random) -> None:
    """Frames are described that are not there, or are there and not described."""

    def change(one: Any) -> None:
        count = int(rng.choice([1, 7, 13, 15, 1_000_000]))
        one.NumberOfFrames = count
        if rng.random() < 0.3:
            del one.PerFrameFunctionalGroupsSequence[count % 14 :]

    _of_frames(path, change)


def frames_moved(path: Path, rng: Random) -> None:
    """A frame lies or is scaled otherwise, or says nothing of it."""

    def change(one: Any) -> None:
        frame = one.PerFrameFunctionalGroupsSequence[int(rng.integers(14))]
        choice = int(rng.integers(5))
        if choice == 0:
            frame.PlanePositionSequence[0].ImagePositionPatient = [-84, -100, float(rng.choice([0, 9.7, 300, 1e6]))]
        elif choice == 1:
            frame.PlaneOrientationSequence = one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[:]
            turned = copy.deepcopy(one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0])
            turned.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
            frame.PlaneOrientationSequence = [turned]
        elif choice == 2:
            frame.PixelValueTransformationSequence[0].RescaleSlope = str(rng.choice(["0", "1e30", "-1"]))
        elif choice == 3:
            del frame.PlanePositionSequence
        else:
            measures = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
            measures.PixelSpacing = [0, 9.5] if rng.random() < 0.5 else None

    _of_frames(path, change)


def frames_damaged(path: Path, rng: Random) -> None:
    (damage.cut, damage.flip, damage.insert)[int(rng.integers(3))](path, rng)


FRAME_CHANGES = (frames_missing, frames_moved, frames_moved, frames_damaged)
