"""One volume from a DICOM folder or one of its files: selection of the files that belong to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.dicom.pixels import read_pixels
from SITTranslateLib.files.dicom.slices import Slice, open_header, slices_of
from SITTranslateLib.files.dicom.stack import Stack, stacked
from SITTranslateLib.files.image import StoredImage


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its magic word."""
    try:
        with path.open("rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def read_series(path: Path) -> StoredImage:
    """The only series in a folder, the series that a file belongs to, or a multi-frame file.

    Values are rescaled by each frame's own slope and intercept. Several volumes at one place (echoes, times) become
    frames.

    Raises:
        InputError: no series, several series or patients, slices missing, doubled, turned or sheared (gantry tilt),
            lengths that do not fit, or a file that cannot be decoded.
    """
    stack, name = _stack(path)
    return StoredImage(read_pixels(stack, name), stack.affine)


def series_files(path: Path) -> list[str]:
    """Files of that series in the order of its slices.

    Raises:
        InputError: as :func:`read_series`.
    """
    stack, _ = _stack(path)
    return list(dict.fromkeys(str(one.file) for volume in stack.frames for one in volume))


def _stack(path: Path) -> tuple[Stack, str]:
    """The slices in order, and what the series is called in sentences."""
    if path.is_dir():
        name, headers = f"folder '{path.name}'", _only_series(path)
    else:
        name, headers = f"series of '{path.name}'", _series_of(path)
    slices: list[Slice] = []
    for file, header in headers:
        slices += slices_of(header, file, name)
    return stacked(slices, name), name


def _images(folder: Path, name: str) -> Iterator[tuple[Path, Any]]:
    """Headers of the DICOM images directly in a folder, in order of name; other objects are passed over."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise InputError(f"The {name} cannot be read: the disk reports an error.") from error
    for file in files:
        if is_dicom(file) and (header := open_header(file)) is not None:
            yield file, header


def _only_series(folder: Path) -> list[tuple[Path, Any]]:
    found: dict[str, list[tuple[Path, Any]]] = {}
    for file, header in _images(folder, f"folder '{folder.name}'"):
        found.setdefault(_series(header), []).append((file, header))
    if not found:
        raise InputError(f"The folder '{folder.name}' holds no DICOM series; give a scan file or a DICOM folder.")
    if len(found) > 1:
        raise InputError(
            f"The folder '{folder.name}' holds {len(found)} DICOM series; give one file of the series you want instead."
        )
    return _of_one_person(next(iter(found.values())), f"folder '{folder.name}'")


def _series_of(path: Path) -> list[tuple[Path, Any]]:
    header = open_header(path)
    if header is None:
        raise InputError(f"'{path.name}' is a DICOM file without an image (a report, or an index); give a scan.")
    series = _series(header)
    if not series or ("NumberOfFrames" in header and _count(header) > 1):
        return [(path, header)]
    name = f"series of '{path.name}'"
    same = [entry for entry in _images(path.parent, name) if _series(entry[1]) == series]
    return _of_one_person(same, name)


def _of_one_person(found: list[tuple[Path, Any]], name: str) -> list[tuple[Path, Any]]:
    for tag, what in (("PatientID", "patients"), ("PatientName", "patients"), ("StudyInstanceUID", "studies")):
        if len({str(header.get(tag, "")).strip() for _, header in found}) > 1:
            raise InputError(f"The {name} mixes slices of several {what} under one series; sort the files first.")
    return found


def _series(header: Any) -> str:
    return str(header.get("SeriesInstanceUID", "")).strip()


def _count(header: Any) -> int:
    try:
        return int(header.NumberOfFrames)
    except (TypeError, ValueError):
        # The error is raised when the frames are read.
        return 2
