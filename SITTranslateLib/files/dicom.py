"""One volume from a DICOM series: which files belong to it, and whether they stack without gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import isolated
from SITTranslateLib.files.image import StoredImage
from SITTranslateLib.files.stream import LARGEST_SCAN

_POSITION, _ORIENTATION, _SERIES = "0020|0032", "0020|0037", "0020|000e"
#: Share of the slice distance by which one gap may differ from the others.
GAP_TOLERANCE = 0.1


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its magic word."""
    with path.open("rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"


def read_series(path: Path) -> StoredImage:
    """The image of the only series in a folder, or of the series that a file belongs to.

    Raises:
        InputError: no series, several series, slices missing, doubled or sheared (gantry tilt).
    """
    found = isolated.read_elsewhere(path)
    return StoredImage(*(read_here(path) if found is None else found))


def read_here(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """As :func:`read_series`, in this process: voxels ``(T, K, J, I, C)`` and the affine to RAS mm."""
    image = _read(path)
    affine = np.eye(4)
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 3:
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
    else:
        array = array[np.newaxis]
    array = array[np.newaxis] if image.GetNumberOfComponentsPerPixel() > 1 else array[np.newaxis, ..., np.newaxis]
    return array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _read(path: Path) -> sitk.Image:
    """The image of the only series in a folder, or of the series that a file belongs to.

    Raises:
        InputError: no series, several series, slices missing, doubled or sheared (gantry tilt).
    """
    name, files = f"folder '{path.name}'" if path.is_dir() else f"series of '{path.name}'", series_files(path)
    if len(files) == 1:
        # A multi-frame file holds the whole volume; a single slice is refused as 2D by the caller.
        return _execute(lambda: sitk.ReadImage(files[0]), name)
    _check_stack(files, name)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    return _execute(reader.Execute, name)


def series_files(path: Path) -> list[str]:
    """Files of the only series in a folder, or of the series that a file belongs to, in order of their positions.

    Raises:
        InputError: no series, or several.
    """
    return _only_series(path) if path.is_dir() else _series_of(path)


def _only_series(folder: Path) -> list[str]:
    found = [s for s in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)) if s]
    if not found:
        raise InputError(f"The folder '{folder.name}' holds no DICOM series; give a scan file or a DICOM folder.")
    if len(found) > 1:
        raise InputError(
            f"The folder '{folder.name}' holds {len(found)} DICOM series; give one file of the series you want instead."
        )
    return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), found[0]))


def _series_of(path: Path) -> list[str]:
    header = _header(str(path), f"file '{path.name}'")
    if header.GetSize()[2:] > (1,):
        return [str(path)]
    series = header.GetMetaData(_SERIES).strip("\0 ") if header.HasMetaDataKey(_SERIES) else ""
    for candidate in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path.parent)):
        files = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path.parent), candidate))
        if candidate.startswith(series) and series and str(path) in files:
            return files
    return [str(path)]


def _check_stack(files: list[str], name: str) -> None:
    positions, normals = [], []
    first = _header(files[0], name)
    if first.GetSize()[0] * first.GetSize()[1] * len(files) > LARGEST_SCAN:
        raise InputError(f"The {name} has more voxels than any scan (at most 5e+08).")
    for file in files:
        header = _header(file, name)
        if header.GetSize()[:2] != first.GetSize()[:2]:
            raise InputError(f"The {name} mixes slices of different sizes; give one series only.")
        if not (header.HasMetaDataKey(_POSITION) and header.HasMetaDataKey(_ORIENTATION)):
            raise InputError(f"The {name} has slices without a position in space; it cannot be stacked.")
        positions.append(_numbers(header.GetMetaData(_POSITION), 3, name))
        rows = _numbers(header.GetMetaData(_ORIENTATION), 6, name)
        normals.append(np.cross(rows[:3], rows[3:]))
    normal = np.mean(normals, axis=0)
    if np.abs(np.array(normals) - normal).max() > 1e-2:
        raise InputError(f"The {name} has slices at different angles; give one stack only.")
    heights = np.sort(np.array(positions) @ normal)
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    if usual <= 1e-3 or gaps.min() < (1 - GAP_TOLERANCE) * usual:
        raise InputError(f"The {name} has two slices at one place; it may hold several scans in one series.")
    if gaps.max() > (1 + GAP_TOLERANCE) * usual:
        missing = round(float((gaps / usual - 1).clip(min=0).sum()))
        raise InputError(f"The {name} has gaps: about {max(1, missing)} slices are missing; copy the whole series.")
    drift = np.ptp(np.array(positions) - np.outer(np.array(positions) @ normal, normal), axis=0).max()
    if drift > 1e-3 * np.ptp(heights) + 1e-2:
        raise InputError(f"The {name} is sheared (tilted gantry); correct the tilt first, for example in Slicer.")


def _header(file: str, name: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.SetImageIO("GDCMImageIO")
    _execute(reader.ReadImageInformation, name)
    return reader


def _numbers(text: str, count: int, name: str) -> np.ndarray:
    try:
        values = np.array([float(v) for v in text.strip("\0 ").split("\\")])
    except ValueError:
        values = np.empty(0)
    if values.size != count or not np.isfinite(values).all():
        raise InputError(f"The {name} has a slice whose position or angle is not made of numbers.")
    return values


def _execute(read: object, name: str) -> sitk.Image:
    try:
        return read()  # type: ignore[operator]
    except RuntimeError as error:
        raise InputError(f"The {name} cannot be read as DICOM: a file is damaged or of an unknown kind.") from error
