"""NRRD files (``.nrrd``, ``.nhdr``), parsed strictly by the definition of the format.

What is read here decides everything: no other program looks at the header, and the voxels are fetched by what it
says. Fields that the format does not know, or that stand twice, refuse the file. Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import stream
from SITTranslateLib.files.beside import data_beside
from SITTranslateLib.files.image import StoredImage

#: Largest header that is read.
_LONGEST_HEADER = 1 << 20
_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_KINDS = {word: kind for kind, words in _TYPES.items() for word in words.split("|")}
#: Signs that bring a space to RAS; no space at all is taken for LPS, as ITK does.
_SPACES = {
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1), "": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
}  # fmt: skip
_MM = {
    "": 1.0, "mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "millimetre": 1.0, "millimetres": 1.0,
    "cm": 10.0, "centimeter": 10.0, "centimeters": 10.0, "m": 1000.0, "meter": 1000.0, "meters": 1000.0,
    "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "micrometers": 1e-3,
}  # fmt: skip
#: Fields without meaning for what is read here.
_PASSED_OVER = {
    "content", "number", "block size", "min", "max", "old min", "old max", "sample units", "thicknesses",
    "axis mins", "axis maxs", "centers", "centerings", "labels", "measurement frame",
}  # fmt: skip
_READ = {
    "type", "dimension", "space", "space dimension", "sizes", "spacings", "space directions", "kinds", "units",
    "space units", "endian", "encoding", "data file", "line skip", "byte skip", "space origin",
}  # fmt: skip
_SYNONYMS = {
    "datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins",
    "axismaxs": "axis maxs", "oldmin": "old min", "oldmax": "old max", "blocksize": "block size",
    "sampleunits": "sample units",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?")
_VECTOR = re.compile(r"\(([^()]*)\)|none")
#: Kinds of an axis that is not one of space.
_OTHER_AXES = {"list", "vector", "3-vector", "covariant-vector", "point", "3-color", "rgb-color", "rgba-color",
               "4-color", "time", "3d-vector", "2-vector", "4-vector", "complex", "none", "???"}  # fmt: skip


def read(path: Path) -> StoredImage:
    """The image of an NRRD file.

    Raises:
        InputError: not NRRD, damaged, or data anywhere but in it or beside it.
    """
    name = f"'{path.name}'"
    fields, keys, length = _parse(path, name)
    sizes, other = _sizes(fields, name)
    components = sizes[other] if other is not None else 1
    space = tuple(n for axis, n in enumerate(sizes) if axis != other)
    kind = _voxel_type(fields, name)
    affine = _affine(fields, other, name)
    promise = stream.Promise(space, components, kind.itemsize)
    flat = _fetch(path, fields, promise, kind, length, name)
    values = flat.reshape(sizes[::-1])
    axis_kind = fields.get("kinds", "").lower().split()[other] if other is not None and fields.get("kinds") else ""
    if other is None:
        return StoredImage(values[np.newaxis, ..., np.newaxis], affine)
    if path.name.lower().endswith(".seg.nrrd") and components > 1:
        raise InputError(
            f"{name} holds overlapping segments in {components} layers; in Slicer, export the segments that you need "
            "to a label map and give that."
        )
    # In the array axes stand in reverse order.
    if axis_kind in ("list", "time") or (other == 3 and axis_kind in ("", "none", "???")):
        frames = np.moveaxis(values, 3 - other, 0)[..., np.newaxis]
        is_sequence = axis_kind == "list" or any(key.startswith("axis ") for key in keys)
        return StoredImage(frames, affine, is_sequence=is_sequence)
    return StoredImage(np.moveaxis(values, 3 - other, -1)[np.newaxis], affine)


def frame_count(path: Path) -> int:
    """Frames by the header alone.

    Raises:
        InputError: not an NRRD header.
    """
    name = f"'{path.name}'"
    fields, _, _ = _parse(path, name)
    sizes, other = _sizes(fields, name)
    kinds = fields.get("kinds", "").lower().split()
    return sizes[other] if other is not None and kinds and kinds[other] in ("list", "time") else 1


def _parse(path: Path, name: str) -> tuple[dict[str, str], dict[str, str], int]:
    """Fields, key/value pairs, and how many bytes the header has."""
    try:
        with path.open("rb") as file:
            head = file.read(_LONGEST_HEADER)
    except OSError as error:
        raise InputError(f"{name} cannot be read: the disk reports an error, or it may not be read.") from error
    if not re.match(rb"NRRD000[1-5]\r?\n", head):
        raise InputError(f"{name} is not an NRRD file.")
    end = re.search(rb"\r?\n\r?\n", head)
    text = (head if end is None else head[: end.start()]).decode("utf-8", "replace")
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for number, line in enumerate(re.split(r"\r?\n", text)[1:], 2):
        if not line or line.startswith("#"):
            continue
        field, colon, value = line.partition(":")
        if colon and value.startswith("="):
            keys[field] = value[1:]
            continue
        field = _SYNONYMS.get(field.lower(), field.lower())
        if not colon or field not in _READ | _PASSED_OVER:
            raise InputError(f"{name} is damaged: its header has a line that is not NRRD (line {number}).")
        if field in fields:
            raise InputError(f"{name} is damaged: its header gives '{field}' twice.")
        fields[field] = value.strip()
    if end is None and "data file" not in fields:
        raise InputError(f"{name} is truncated: its header does not end.")
    for field in ("type", "dimension", "sizes", "encoding"):
        if field not in fields:
            raise InputError(f"{name} is truncated or damaged: its header gives no '{field}'.")
    return fields, keys, len(head) if end is None else end.end()


def _sizes(fields: dict[str, str], name: str) -> tuple[tuple[int, ...], int | None]:
    """Size of each axis, fastest first, and which axis is none of space."""
    texts = fields["sizes"].split()
    if fields["dimension"] == "2":
        raise InputError(f"{name} is a 2D image; a 3D scan is needed.")
    if fields["dimension"] not in ("3", "4") or not all(re.fullmatch(r"\d{1,12}", text) for text in texts):
        raise InputError(f"{name} has {fields['dimension'][:8]} dimensions; a 3D scan is needed.")
    if len(texts) != int(fields["dimension"]):
        raise InputError(f"{name} is damaged: its header gives {len(texts)} sizes for {fields['dimension']} axes.")
    sizes = tuple(int(text) for text in texts)
    kinds = fields.get("kinds", "").lower().split() or ["domain"] * len(sizes)
    if len(kinds) != len(sizes):
        raise InputError(f"{name} is damaged: its header gives {len(kinds)} kinds for {len(sizes)} axes.")
    vectors = _vectors(fields["space directions"], name) if "space directions" in fields else []
    if vectors:
        if len(vectors) != len(sizes):
            raise InputError(f"{name} is damaged: its header gives {len(vectors)} directions for {len(sizes)} axes.")
        others = [axis for axis, vector in enumerate(vectors) if vector is None]
    elif len(sizes) == 4:
        others = [axis for axis, kind in enumerate(kinds) if kind in _OTHER_AXES] or [3]
    else:
        others = [axis for axis, kind in enumerate(kinds) if kind in _OTHER_AXES and len(sizes) > 3]
    if len(sizes) - len(others) == 2:
        raise InputError(f"{name} is a 2D image; a 3D scan is needed.")
    if len(sizes) - len(others) != 3 or len(others) > 1:
        raise InputError(f"{name} has {len(sizes)} dimensions; a 3D scan is needed.")
    return sizes, others[0] if others else None


def _voxel_type(fields: dict[str, str], name: str) -> np.dtype[Any]:
    kind = _KINDS.get(" ".join(fields["type"].lower().split()))
    if kind is None:
        raise InputError(f"{name} has voxels of a type that is not read ('{fields['type'][:30]}').")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "little" if kind[1] == "1" else "").lower())
    if order is None:
        raise InputError(f"{name} does not say in which order the bytes of a voxel stand (little or big endian).")
    return np.dtype(order + kind)


def _affine(fields: dict[str, str], other: int | None, name: str) -> NDArray[np.float64]:
    signs = _SPACES.get(fields.get("space", "").lower())
    if signs is None or fields.get("space dimension", "3") != "3":
        place = fields.get("space", fields.get("space dimension", ""))
        raise InputError(f"{name} lies in the space '{place[:40]}', which is none of a patient; save it in RAS or LPS.")
    affine = np.eye(4)
    if "space directions" in fields:
        columns = [vector for vector in _vectors(fields["space directions"], name) if vector is not None]
        affine[:3, :3] = np.array(columns).T
    elif "spacings" in fields:
        texts = fields["spacings"].split()
        kept = [text for axis, text in enumerate(texts) if axis != other]
        if len(kept) != 3:
            raise InputError(f"{name} is damaged: its header gives {len(texts)} spacings.")
        affine[:3, :3] = np.diag([_number(text, name) for text in kept])
    if "space origin" in fields:
        origin = _vectors(fields["space origin"], name)
        if len(origin) != 1 or origin[0] is None:
            raise InputError(f"{name} is damaged: its header gives no point as origin.")
        affine[:3, 3] = origin[0]
    affine[:3] *= _unit(fields, other, name)
    return np.diag([*signs, 1.0]) @ affine


def _vectors(text: str, name: str) -> list[list[float] | None]:
    if re.sub(_VECTOR, "", text).strip():
        raise InputError(f"{name} is damaged: its header gives no vectors where it should ('{text[:40]}').")
    vectors: list[list[float] | None] = []
    for match in _VECTOR.finditer(text):
        numbers = None if match[1] is None else [_number(part.strip(), name) for part in match[1].split(",")]
        if numbers is not None and len(numbers) != 3:
            raise InputError(f"{name} has directions in {len(numbers)} dimensions; a 3D scan is needed.")
        vectors.append(numbers)
    return vectors


def _number(text: str, name: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise InputError(f"{name} is damaged: its header gives a position or size that is no number ('{text[:20]}').")
    return float(text)


def _unit(fields: dict[str, str], other: int | None, name: str) -> float:
    """Millimetres of the unit that the axes of space have."""
    if "space units" in fields:
        words = re.findall(r'"([^"]*)"', fields["space units"]) or fields["space units"].split()
    else:
        words = re.findall(r'"([^"]*)"', fields.get("units", ""))
        words = [word for axis, word in enumerate(words) if axis != other]
    units = {_MM.get(word.strip().lower()) for word in words} or {1.0}
    if len(units) > 1 or None in units:
        raise InputError(f"{name} gives its positions in units that are not read ({' '.join(words)[:40]}); use mm.")
    return float(units.pop() or 1.0)


def _fetch(
    path: Path, fields: dict[str, str], promise: stream.Promise, kind: np.dtype[Any], length: int, name: str
) -> NDArray[Any]:
    """The voxels, in the file or beside it."""
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(f"{name} is stored in the encoding '{encoding[:20]}'; save it as raw or gzip.")
    detached = fields.get("data file")
    if detached is not None and (detached.split()[:1] == ["LIST"] or "%" in detached or len(detached.split()) > 3):
        raise InputError(f"{name} keeps its image in several files; save it in one, for example with Slicer.")
    data = path if detached is None else data_beside(path, detached)
    stream.check_promise(promise, name, data.stat().st_size)
    with stream.opened_raw(data, name) as file:
        stream.skip(file, length if detached is None else 0, name)
        _skip(file, fields, promise, name)
        opened: IO[bytes] = file if encoding == "raw" else stream.inflated(file, name)
        flat = stream.read_array(opened, promise, kind, name)
        stream.check_end(opened, name)
    return flat


def _skip(file: IO[bytes], fields: dict[str, str], promise: stream.Promise, name: str) -> None:
    """Lines and bytes before the voxels, by the header."""
    lines, count = (fields.get(field, "0") for field in ("line skip", "byte skip"))
    if not re.fullmatch(r"\d{1,6}", lines) or not re.fullmatch(r"-1|\d{1,9}", count):
        raise InputError(f"{name} is damaged: its header gives no number of lines or bytes to skip.")
    for _ in range(int(lines)):
        if not file.readline(_LONGEST_HEADER):
            raise InputError(f"{name} is truncated: it ends before its image begins.")
    if count == "-1":
        here, end = file.tell(), file.seek(0, 2)
        if fields["encoding"].lower() != "raw" or end - promise.total_bytes < here:
            raise InputError(f"{name} is truncated: its file is shorter than the image that its header describes.")
        file.seek(end - promise.total_bytes)
    else:
        stream.skip(file, int(count), name)
