"""Sizes and truncation, looked up before any image data is decompressed.

ITK reads a truncated NIfTI file without complaint and fills the rest with zeros, and allocates whatever a header
promises. So the header is read first, its promise is bounded, and the file must be long enough to keep it.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from SITTranslateLib.errors import InputError

#: Largest scan that is read, in voxels: 1024 x 1024 x 512, a whole-body CT.
LARGEST_SCAN = 1024 * 1024 * 512
#: zlib cannot compress further than about this; a header that promises more lies.
LARGEST_COMPRESSION = 1100
_CHUNK = 1 << 20
#: mm; no number of a scan's position or voxel size comes near.
_FARTHEST = 1e7
#: NIfTI codes of floating-point voxels.
_FLOATS = {16: "f4", 64: "f8"}


class Promise(NamedTuple):
    """What a header says: the image's size, components a voxel, bytes a voxel component."""

    size: tuple[int, ...]
    components: int
    bytes_each: int

    @property
    def voxels(self) -> int:
        return math.prod(self.size)

    @property
    def total_bytes(self) -> int:
        return self.voxels * self.components * self.bytes_each


def check_promise(promise: Promise, path: Path) -> None:
    """Refuse a size beyond that of a scan, or beyond what the file's length could hold at any compression.

    Raises:
        InputError: the header promises too much.
    """
    name = f"'{path.name}'"
    if min(promise.size, default=0) < 1:
        raise InputError(f"{name} is empty: its header gives the size {promise.size}.")
    if promise.voxels > LARGEST_SCAN or promise.components > 1024:
        raise InputError(f"{name} says it has {promise.voxels:.3g} voxels, more than any scan (at most 5e+08).")
    detached = path.suffix.lower() in (".mhd", ".nhdr", ".hdr")
    if not detached and promise.total_bytes > path.stat().st_size * LARGEST_COMPRESSION:
        raise InputError(f"{name} is truncated: {path.stat().st_size} bytes cannot hold the image its header promises.")


def check_nifti(path: Path) -> None:
    """Refuse a NIfTI file that ends early or whose sform is sheared or singular (ITK would pass over both).

    Raises:
        InputError: not NIfTI, truncated, sheared, singular.
    """
    name = f"'{path.name}'"
    opener = gzip.open if _is_gzip(path) else open
    try:
        with opener(path, "rb") as opened:
            file = cast(BinaryIO, opened)
            head = file.read(348)
            if len(head) < 348:
                raise InputError(f"{name} is truncated: it ends inside its header.")
            order = "<" if struct.unpack("<i", head[:4])[0] in (348, 540) else ">"
            size = struct.unpack(order + "i", head[:4])[0]
            if size == 540 and head[4:7] in (b"n+2", b"ni2"):
                place = (head + file.read(148))[400:496]
                if len(place) < 96:
                    raise InputError(f"{name} is truncated: it ends inside its header.")
                _check_numbers(struct.unpack(order + "12d", place), name)
                return  # NIfTI-2: ITK decides about the rest.
            if head[344:347] not in (b"n+1", b"ni1"):
                return  # Analyze: ITK decides.
            if size != 348:
                raise InputError(f"{name} is damaged: its header says that it has {size} bytes instead of 348.")
            dims = struct.unpack(order + "8h", head[40:56])
            bits = struct.unpack(order + "h", head[72:74])[0]
            offset = struct.unpack(order + "f", head[108:112])[0]
            _check_place(head, order, name)
            _check_sform(head, order, name)
            if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
                # ITK would take a size of 0 or less for 1.
                raise InputError(f"{name} is empty or damaged: its header gives the size {dims[1:4]}.")
            if head[344:347] == b"ni1":
                return
            voxels = math.prod(dims[1 : dims[0] + 1])
            check_promise(Promise(dims[1 : dims[0] + 1], 1, max(1, bits // 8)), path)
            if not 0 <= offset < _CHUNK * 64:
                raise InputError(f"{name} is damaged: its header says that the image begins at byte {offset:g}.")
            file.read(max(0, int(offset) - 348))
            code = struct.unpack(order + "h", head[70:72])[0]
            _check_data(file, voxels * max(1, bits // 8), _FLOATS.get(code, ""), order, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name} is truncated or damaged: its compressed data ends or breaks early.") from error


def _check_data(file: BinaryIO, expected: int, kind: str, order: str, name: str) -> None:
    """Read on in chunks as far as the image should reach, and never further: a bomb stays packed.

    ITK reads NaN and infinite values of NIfTI files as 0, so they are looked for here.
    """
    left, bad = expected, 0
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            raise InputError(f"{name} is truncated: {left} bytes of the image are missing.")
        left -= len(chunk)
        if kind:
            values = np.frombuffer(chunk[: len(chunk) // 8 * 8], dtype=np.dtype(order + kind))
            bad += int(values.size - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise InputError(f"{name} has {bad} voxels that are not numbers (NaN or infinite); repair the scan first.")
    # Up to a megabyte beyond (extensions, checksum), so that a broken end shows.
    file.read(_CHUNK)


def _check_place(head: bytes, order: str, name: str) -> None:
    """Numbers of position beyond any place or size: ITK's decomposition of the matrix never ends on some of them."""
    numbers = struct.unpack(order + "4f", head[76:92])
    if struct.unpack(order + "h", head[252:254])[0] > 0:
        numbers += struct.unpack(order + "6f", head[256:280])
    if struct.unpack(order + "h", head[254:256])[0] > 0:
        numbers += struct.unpack(order + "12f", head[280:328])
    _check_numbers(numbers, name)


def _check_numbers(numbers: tuple[float, ...], name: str) -> None:
    if not all(math.isfinite(n) and abs(n) < _FARTHEST for n in numbers):
        raise InputError(f"{name} is damaged: its header gives a position or voxel size beyond any scan's.")


def _check_sform(head: bytes, order: str, name: str) -> None:
    if struct.unpack(order + "h", head[254:256])[0] <= 0:
        return
    axes = np.array(struct.unpack(order + "12f", head[280:328]), dtype=np.float64).reshape(3, 4)[:, :3]
    spacing = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or (spacing < 1e-6).any():
        raise InputError(f"{name} has a singular voxel-to-space matrix; its voxels have no volume.")
    directions = axes / spacing
    if abs(np.linalg.det(directions)) < 1e-3:
        raise InputError(f"{name} has a singular voxel-to-space matrix; its voxels have no volume.")
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:
        raise InputError(f"{name} is sheared (its voxel axes are not at right angles); resample it to a straight grid.")


def check_metaimage(path: Path) -> None:
    """Refuse a .mha or .mhd header that is cut off or points out of its own folder.

    Raises:
        InputError: incomplete header, or data elsewhere.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    match = re.search(rb"^ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n?", head, flags=re.MULTILINE)
    if match is None or b"DimSize" not in head:
        raise InputError(f"'{path.name}' is truncated: its header is not complete.")
    _check_data_file(match[1].decode("utf-8", "replace").strip(), path, {"LOCAL", "LIST"})


def check_nrrd(path: Path) -> None:
    """Refuse an NRRD whose header does not end, or whose data lie out of its own folder.

    Raises:
        InputError: incomplete header, or data elsewhere.
    """
    with path.open("rb") as file:
        head = file.read(1 << 20)
    if not head.startswith(b"NRRD"):
        raise InputError(f"'{path.name}' is not an NRRD file.")
    end = re.search(rb"\r?\n\r?\n", head)
    text = (head if end is None else head[: end.start()]).decode("latin-1")
    data_file = re.search(r"^data ?file\s*:\s*(.*)$", text, flags=re.MULTILINE | re.IGNORECASE)
    if data_file is not None:
        _check_data_file(data_file[1].strip(), path, {"LIST"})
    elif end is None:
        raise InputError(f"'{path.name}' is truncated: its header does not end.")


def _check_data_file(value: str, path: Path, words: set[str]) -> None:
    if value.split(" ")[0] in words:
        return
    data = Path(value)
    if data.is_absolute() or ".." in data.parts:
        raise InputError(f"'{path.name}' keeps its image data in another folder; copy both files into one.")
    try:
        beside = "%" in value or (path.parent / data).is_file()
    except (OSError, ValueError):
        # No name that a file could have.
        beside = False
    if not beside:
        raise InputError(f"'{path.name}' is incomplete: its image data '{data.name[:60]}' is not beside it.")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"
