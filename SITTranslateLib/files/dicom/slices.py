"""Positions and scaling of the frames of a DICOM file, from its header."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.stream import LARGEST_SCAN

#: What tells volumes at one place apart: element, and the functional group that holds it in multi-frame files.
MARKS = (
    ("EchoTime", ""),
    ("EffectiveEchoTime", "MREchoSequence"),
    ("TemporalPositionIdentifier", ""),
    ("TemporalPositionIndex", "FrameContentSequence"),
    ("TriggerTime", ""),
    ("DiffusionBValue", ""),
    ("DiffusionBValue", "MRDiffusionSequence"),
    ("StackID", "FrameContentSequence"),
    ("FrameAcquisitionNumber", "FrameContentSequence"),
    ("ImageType", ""),
    ("AcquisitionNumber", ""),
    ("AcquisitionTime", ""),
)
#: Transfer syntax whose whole header is packed: it could unpack to anything.
_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class Pixels:
    """Storage format of a file's pixels."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    is_inverted: bool


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame: in which file, where (LPS mm), and its scaling.

    Attributes:
        directions: unit vectors along a row and along a column, ``(2, 3)``.
        spacing: mm from column to column and from row to row.
        marks: what tells it from another frame at the same place.
    """

    file: Path
    frame: int
    pixels: Pixels
    position: NDArray[np.float64]
    directions: NDArray[np.float64]
    spacing: tuple[float, float]
    slope: float
    intercept: float
    marks: dict[str, str] = field(default_factory=dict)


def open_header(path: Path, *, with_pixels: bool = False) -> Any | None:
    """A file's data set by pydicom; None for a DICOM object that is no image.

    Raises:
        InputError: damaged.
    """
    import warnings

    from pydicom import config, dcmread
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import UID

    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            if str(read_file_meta_info(path).get("TransferSyntaxUID", "")) == _DEFLATED:
                raise InputError(f"'{path.name}' is a deflated DICOM file, which is not read; convert it.")
            header = dcmread(path, stop_before_pixels=not with_pixels)
            if "Rows" not in header or "Columns" not in header:
                if "Image Storage" in header.file_meta.get("MediaStorageSOPClassUID", UID("")).name:
                    raise InputError(f"'{path.name}' is truncated: it ends before its image begins.")
                return None
            # Every element is read once, so that damage is detected here.
            for element in header:
                element.value  # noqa: B018 - lazy
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # pydicom raises whatever its parsing meets.
        raise InputError(f"'{path.name}' cannot be read as DICOM: it is truncated or damaged.") from error
    return header


def slices_of(header: Any, path: Path, name: str) -> list[Slice]:
    """The frames of a file, one of a classic file.

    Raises:
        InputError: elements missing or without sense.
    """
    pixels = _pixels(header, name)
    shared = _items(header, "SharedFunctionalGroupsSequence")
    per_frame = _items(header, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        if pixels.frames == 1 and not shared:
            return [_slice(header, path, 0, pixels, [header], name)]
        return _evenly_spaced(header, path, pixels, name)
    if len(per_frame) != pixels.frames:
        raise InputError(f"The {name} says that it has {pixels.frames} frames and describes {len(per_frame)}.")
    common = shared[0] if shared else None
    return [
        _slice(header, path, frame, pixels, [group, *([] if common is None else [common]), header], name)
        for frame, group in enumerate(per_frame)
    ]


def _pixels(header: Any, name: str) -> Pixels:
    rows, columns = (_whole(header, tag, name) for tag in ("Rows", "Columns"))
    frames = _whole(header, "NumberOfFrames", name, 1)
    allocated = _whole(header, "BitsAllocated", name)
    stored = _whole(header, "BitsStored", name, allocated)
    if min(rows, columns, frames) < 1:
        raise InputError(f"The {name} is empty: its header gives the size {columns} x {rows} x {frames}.")
    if rows * columns * frames > LARGEST_SCAN:
        raise InputError(f"The {name} has more voxels than any scan (at most 5e+08).")
    samples = _whole(header, "SamplesPerPixel", name, 1)
    if samples != 1:
        raise InputError(f"The {name} has {samples} values a voxel (colour or vectors); give a scan with one.")
    if allocated not in (8, 16, 32, 64) or not 1 <= stored <= allocated:
        raise InputError(f"The {name} has voxels of {stored} of {allocated} bits, which are not read.")
    if _whole(header, "HighBit", name, stored - 1) != stored - 1:
        raise InputError(f"The {name} stores its voxels in shifted bits, which is not read.")
    if _items(header, "ModalityLUTSequence"):
        raise InputError(f"The {name} gives its values by a table (Modality LUT), which is not read.")
    photometric = str(header.get("PhotometricInterpretation", "MONOCHROME2")).strip()
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"The {name} is a colour image ({photometric[:20]}); give a scan in grey.")
    # Values with a unit stay what they are; without one, MONOCHROME1 stores the negative of the picture.
    has_unit = str(header.get("Modality", "")) in ("CT", "PT") or str(header.get("RescaleType", "US")) not in ("US", "")
    return Pixels(
        rows, columns, frames, allocated, stored,
        bool(_whole(header, "PixelRepresentation", name, 0)),
        photometric == "MONOCHROME1" and not has_unit,
    )  # fmt: skip


def _slice(header: Any, path: Path, frame: int, pixels: Pixels, groups: list[Any], name: str) -> Slice:
    """One frame by its own functional group, then the shared one, then the file's own elements."""
    position = _numbers(_found(groups, "PlanePositionSequence", "ImagePositionPatient"), 3)
    directions = _numbers(_found(groups, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    if position is None or directions is None:
        raise InputError(f"The {name} has slices without a position in space; it cannot be stacked.")
    between = _numbers(_found(groups, "PixelMeasuresSequence", "PixelSpacing"), 2)
    if between is None or min(between) <= 0:
        raise InputError(f"The {name} does not say how large its pixels are (PixelSpacing); it cannot be measured.")
    axes = np.array(directions).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-2:
        raise InputError(f"The {name} has a slice whose rows and columns are not at right angles.")
    scaling = [
        _numbers(_found(groups, "PixelValueTransformationSequence", tag), 1, [default])
        for tag, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    ]
    if scaling[0] is None or scaling[1] is None or scaling[0][0] == 0 or max(map(abs, scaling[0] + scaling[1])) > 1e9:
        raise InputError(f"The {name} has a slice whose slope or intercept is none.")
    marks: dict[str, str] = {}
    for tag, sequence in MARKS:
        value = _found(groups, sequence, tag)
        if value is not None:
            marks.setdefault(f"{sequence}.{tag}", str(value).strip())
    return Slice(
        path, frame, pixels, np.array(position), axes / np.linalg.norm(axes, axis=1, keepdims=True),
        (between[1], between[0]), scaling[0][0], scaling[1][0], marks,
    )  # fmt: skip


def _evenly_spaced(header: Any, path: Path, pixels: Pixels, name: str) -> list[Slice]:
    """Frames of a file without functional groups that has their distance."""
    first = _slice(header, path, 0, pixels, [header], name)
    offsets = _numbers(header.get("GridFrameOffsetVector"), pixels.frames)
    step = _numbers(header.get("SpacingBetweenSlices"), 1)
    if offsets is None and step is not None and step[0] > 0:
        offsets = [step[0] * frame for frame in range(pixels.frames)]
    if offsets is None:
        raise InputError(f"The {name} does not say where its {pixels.frames} frames lie; it cannot be stacked.")
    normal = np.cross(*first.directions)
    return [
        Slice(path, frame, pixels, first.position + offset * normal, first.directions, first.spacing,
              first.slope, first.intercept, first.marks)
        for frame, offset in enumerate(offsets)
    ]  # fmt: skip


def _found(groups: list[Any], sequence: str, tag: str) -> Any:
    """An element of the first group that has it, in its functional group or (classic) by itself."""
    for group in groups:
        items = _items(group, sequence) if sequence else [group]
        if items and items[0].get(tag) is not None:
            return items[0].get(tag)
    return groups[-1].get(tag)


def _items(header: Any, sequence: str) -> list[Any]:
    value = header.get(sequence)
    try:
        return list(value) if value is not None and not isinstance(value, (str, bytes)) else []
    except TypeError:
        return []


def _numbers(value: Any, count: int, default: list[float] | None = None) -> list[float] | None:
    """So many finite numbers, or None."""
    if value is None or value == "":
        return default
    try:
        numbers = [float(v) for v in (value if np.iterable(value) and not isinstance(value, (str, bytes)) else [value])]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(math.isfinite(n) and abs(n) < 1e7 for n in numbers) else None


def _whole(header: Any, tag: str, name: str, default: int | None = None) -> int:
    value = header.get(tag)
    if value in (None, "") and default is not None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} has a slice whose header gives no number for {tag}.") from error
