"""MetaImage files (``.mha``, ``.mhd``), read strictly.

What is read here decides everything: no other program looks at the header. A field that decides what is read may
stand once, the last line is ``ElementDataFile``, and compressed voxels are verified against their length and
checksum. Format: https://itk.org/Wiki/MetaIO/Documentation
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

_LONGEST_HEADER = 1 << 16
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_MM = {"mm": 1.0, "um": 1e-3, "cm": 10.0, "?": 1.0}
#: Names that MetaIO has for one thing.
_SYNONYMS = {
    "Orientation": "TransformMatrix", "Rotation": "TransformMatrix", "Origin": "Offset", "Position": "Offset",
    "BinaryDataByteOrderMSB": "ElementByteOrderMSB",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?")


def read(path: Path) -> StoredImage:
    """The image of a MetaImage file.

    Raises:
        InputError: not MetaImage, damaged, or data anywhere but in it or beside it.
    """
    name = f"'{path.name}'"
    fields, length = _parse(path, name)
    dims = _whole(fields, "NDims", name)[0]
    sizes = _whole(fields, "DimSize", name)
    if dims == 2:
        raise InputError(f"{name} is a 2D image; a 3D scan is needed.")
    if dims not in (3, 4) or len(sizes) != dims:
        raise InputError(f"{name} has {dims} dimensions and {len(sizes)} sizes; a 3D scan is needed.")
    channels = _whole(fields, "ElementNumberOfChannels", name, "1")[0]
    kind_name = fields.get("ElementType", "").removesuffix("_ARRAY")
    if kind_name not in _TYPES:
        raise InputError(f"{name} has voxels of a type that is not read ('{kind_name[:30]}').")
    is_big = _flag(fields, "ElementByteOrderMSB", name)
    kind = np.dtype((">" if is_big else "<") + _TYPES[kind_name])
    affine = _affine(fields, dims, name)
    slope, intercept = (
        _numbers(fields, f"ElementToIntensityFunction{word}", 1, name, default)[0]
        for word, default in (("Slope", "1"), ("Offset", "0"))
    )
    promise = stream.Promise(tuple(sizes), channels, kind.itemsize)
    flat = _fetch(path, fields, promise, kind, length, name)
    frames = sizes[3] if dims == 4 else 1
    values = flat.reshape((frames, *sizes[2::-1], channels))
    return StoredImage(values, affine, slope, intercept)


def _parse(path: Path, name: str) -> tuple[dict[str, str], int]:
    """Fields up to ``ElementDataFile``, and how many bytes they take."""
    try:
        with path.open("rb") as file:
            head = file.read(_LONGEST_HEADER)
    except OSError as error:
        raise InputError(f"{name} cannot be read: the disk reports an error, or it may not be read.") from error
    fields: dict[str, str] = {}
    length = 0
    for raw in head.splitlines(keepends=True):
        length += len(raw)
        line = raw.decode("utf-8", "replace")
        field, equals, value = (part.strip() for part in line.partition("="))
        field = _SYNONYMS.get(field, field)
        if not equals or not re.fullmatch(r"[A-Za-z0-9_|.:()\[\] /-]{1,200}", field):
            if not line.strip():
                continue
            raise InputError(f"{name} is truncated or damaged: its header has a line that is not MetaImage.")
        if field in fields:
            raise InputError(f"{name} is damaged: its header gives '{field[:40]}' twice.")
        fields[field] = value
        if field == "ElementDataFile":
            break
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        raise InputError(f"{name} is truncated: its header is not complete.")
    if fields.get("ObjectType", "Image") != "Image":
        raise InputError(f"{name} is no image but a '{fields['ObjectType'][:30]}'.")
    if "ElementSize" in fields and "ElementSpacing" not in fields:
        fields["ElementSpacing"] = fields["ElementSize"]
    return fields, length


def _affine(fields: dict[str, str], dims: int, name: str) -> NDArray[np.float64]:
    """IJK to RAS mm; a fourth axis is of time."""
    unit = _MM.get(fields.get("DistanceUnits", "mm") or "?")
    if unit is None:
        raise InputError(f"{name} gives its positions in the unit '{fields['DistanceUnits'][:20]}'; use mm.")
    identity = " ".join(str(int(n)) for n in np.eye(dims).ravel())
    # Row by row the directions of the axes.
    directions = np.array(_numbers(fields, "TransformMatrix", dims**2, name, identity)).reshape(dims, dims).T
    spacing = np.array(_numbers(fields, "ElementSpacing", dims, name, "1 " * dims))
    affine = np.eye(4)
    affine[:3, :3] = (directions * spacing)[:3, :3] * unit
    affine[:3, 3] = np.array(_numbers(fields, "Offset", dims, name, "0 " * dims))[:3] * unit
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _numbers(fields: dict[str, str], field: str, count: int, name: str, default: str) -> list[float]:
    texts = fields.get(field, default).split()
    if len(texts) != count or not all(_NUMBER.fullmatch(text) for text in texts):
        raise InputError(f"{name} is damaged: the '{field}' in its header is not {count} numbers.")
    return [float(text) for text in texts]


def _whole(fields: dict[str, str], field: str, name: str, default: str = "") -> list[int]:
    texts = fields.get(field, default).split()
    if not texts or len(texts) > 9 or not all(re.fullmatch(r"\d{1,12}", text) for text in texts):
        raise InputError(f"{name} is empty or damaged: the '{field}' in its header is not made of whole numbers.")
    return [int(text) for text in texts]


def _flag(fields: dict[str, str], field: str, name: str, default: str = "False") -> bool:
    value = fields.get(field, default).lower()
    if value not in ("true", "false", "t", "f", "1", "0", "y", "n", "yes", "no"):
        raise InputError(f"{name} is damaged: the '{field}' in its header is neither True nor False.")
    return value[0] in "t1y"


def _fetch(
    path: Path, fields: dict[str, str], promise: stream.Promise, kind: np.dtype[Any], length: int, name: str
) -> NDArray[Any]:
    """The voxels, in the file or beside it."""
    if not _flag(fields, "BinaryData", name, "True"):
        raise InputError(f"{name} keeps its voxels as text; save it as binary.")
    value = fields["ElementDataFile"]
    words = value.split()
    if words[:1] == ["LIST"] or "%" in value:
        raise InputError(f"{name} keeps its image in several files; save it in one, for example with Slicer.")
    local = value.upper() == "LOCAL"
    data = path if local else data_beside(path, value)
    held = data.stat().st_size
    stream.check_promise(promise, name, held)
    packed = _flag(fields, "CompressedData", name)
    header_size = fields.get("HeaderSize", "0")
    if not re.fullmatch(r"-1|\d{1,9}", header_size) or (packed and header_size != "0"):
        raise InputError(f"{name} is damaged: the 'HeaderSize' in its header is not one that can be read.")
    with stream.opened_raw(data, name) as file:
        stream.skip(file, length if local else 0, name)
        if header_size == "-1":
            if held - promise.total_bytes < file.tell():
                raise InputError(f"{name} is truncated: its file is shorter than the image its header describes.")
            file.seek(held - promise.total_bytes)
        else:
            stream.skip(file, int(header_size), name)
        opened: IO[bytes] = stream.inflated(file, name) if packed else file
        flat = stream.read_array(opened, promise, kind, name)
        stream.check_end(opened, name)
    return flat
