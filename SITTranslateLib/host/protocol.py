"""The protocol between client and worker: one JSON object per line, arrays in separate ``.npy`` files.

Requests (client to worker) are ``{"request": kind, "id": n, ...}`` with a kind of :class:`Request`; events (worker to
client) are ``{"event": kind, "id": n, ...}`` with a kind of :class:`Event`. Arrays lie in one private folder that only
the two can read; a line holds their names. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import re
import secrets
from collections.abc import Generator, Iterator
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.steps import finish
from SITTranslateLib.volume import VectorField, Volume

VERSION = 1
#: A line longer than this is not ours.
LONGEST_LINE = 8 << 20
#: Bytes that one step of reading an array takes.
PART_BYTES = 4 << 20
#: Exit code of a worker that could no longer listen, for want of memory; what it had not begun can be sent again.
DEAF = 70
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}\.npy")


class Request(StrEnum):
    """A request to the worker."""

    TRANSLATE = "translate"
    PRESCRIBE = "prescribe"
    FORECAST = "forecast"
    CHANGES = "changes"
    RECOMPOSE = "recompose"
    ESTIMATE = "estimate"
    RESTORE = "restore"
    SEGMENTS = "segments"
    STRUCTURES = "structures"
    TRACE = "trace"
    EXAMINE = "examine"
    DESCRIBE = "describe"
    FORGET = "forget"
    UNLOAD = "unload"
    CANCEL = "cancel"
    QUIT = "quit"


class Event(StrEnum):
    """An event from the worker."""

    READY = "ready"
    STAGE = "stage"
    PROGRESS = "progress"
    WARNING = "warning"
    RESULT = "result"
    ERROR = "error"
    #: Of the client itself: the process is gone although nothing was running (idle timeout, or it died).
    GONE = "gone"


class Failure(StrEnum):
    """Kinds of error event, so that the panel can offer what helps."""

    INPUT = "input"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    MISSING = "missing"
    DIED = "died"
    FAILED = "failed"


class ProtocolError(ValueError):
    """A line or a file that the protocol does not allow."""


def encode(message: dict[str, Any]) -> str:
    """A message as one line with its end; numbers that JSON lacks become null."""
    return json.dumps(_plain(message), ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n"


def decode(line: str, key: str) -> dict[str, Any]:
    """A line as a message that has ``key`` (``request`` or ``event``).

    Raises:
        ProtocolError: anything else, such as a library's own print.
    """
    if len(line) > LONGEST_LINE:
        raise ProtocolError("a line is too long")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {line[:80]!r}") from error
    if not isinstance(message, dict) or not isinstance(message.get(key), str):
        raise ProtocolError(f"not a message: {line[:80]!r}")
    if not isinstance(message.get("id", 0), int):
        raise ProtocolError("the id is not a number")
    return message


def lines_of(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[str]:
    """Lines of a pipe as text; of a line that is longer, its beginning alone, and the rest is never held."""
    while line := stream.readline(longest + 1):
        rest = line
        while len(rest) > longest and not rest.endswith(b"\n"):
            rest = stream.readline(longest + 1)
        yield line.decode("utf-8", errors="replace")


def put_array(folder: Path, array: NDArray[np.generic]) -> str:
    """Write an array into the private folder; returns the file's name.

    Raises:
        InputError: no space on the disk, or the folder is gone; nothing is left of the file.
    """
    return finish(putting_array(folder, array))


def putting_array(folder: Path, array: NDArray[np.generic]) -> Generator[None, None, str]:
    """:func:`put_array` in steps of some megabytes; nothing is left of the file if it is closed early."""
    file = f"{secrets.token_hex(8)}.npy"
    whole = np.ascontiguousarray(array)
    data = whole.reshape(-1).view(np.uint8) if whole.nbytes else np.empty(0, np.uint8)
    try:
        with (folder / file).open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(whole))
            for first in range(0, len(data), PART_BYTES):
                stream.write(data[first : first + PART_BYTES].data)
                yield
    except BaseException as error:
        with contextlib.suppress(OSError):
            (folder / file).unlink()
        if not isinstance(error, OSError):
            raise
        full = error.errno in (None, errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        reason = "the disk that holds it is full; free some space" if full else "it is gone or read-only; restart"
        raise InputError(f"The folder for temporary files cannot be written: {reason} and try again.") from error
    return file


def taking_array(folder: Path, file: str, *, remove: bool = False) -> Generator[None, None, NDArray[Any]]:
    """Read an array of the private folder in steps of some megabytes.

    Raises:
        ProtocolError: a name that leaves the folder, no such file, or not a plain array.
    """
    if not _FILE_NAME.fullmatch(file):
        raise ProtocolError(f"{file[:80]!r} is not a file of the protocol")
    path = folder / file
    if path.is_symlink():
        raise ProtocolError(f"{file!r} is a link")
    try:
        with path.open("rb") as stream:
            # Not np.load, which opens archives and more; and nothing larger than the file is allocated.
            array = yield from _read_array(stream, path.stat().st_size)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise ProtocolError(f"{file!r} cannot be read") from error
    if remove:
        path.unlink(missing_ok=True)
    return array


def _read_array(stream: BinaryIO, size: int) -> Generator[None, None, NDArray[Any]]:
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not of version 1.0")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    if fortran or kind.hasobject or min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize > size:
        raise ValueError("not a plain array that the file holds")
    array = np.empty(shape, dtype=kind)
    # A read-only memory map would be faster; but the file may be removed, or written again, while it is used.
    data = array.reshape(-1).view(np.uint8) if array.nbytes else np.empty(0, np.uint8)
    for first in range(0, len(data), PART_BYTES):
        part = data[first : first + PART_BYTES]
        if stream.readinto(part.data) != len(part):  # type: ignore[attr-defined]
            raise ValueError("ends early")
        yield
    return array


def put(folder: Path, data: Volume | VectorField) -> dict[str, Any]:
    """A volume or field as part of a line; its array goes to the folder."""
    return finish(putting(folder, data))


def putting(folder: Path, data: Volume | VectorField) -> Generator[None, None, dict[str, Any]]:
    """:func:`put` in steps."""
    about: dict[str, Any] = {"file": (yield from putting_array(folder, data.array)), "affine": data.affine.tolist()}
    if isinstance(data, Volume):
        about["name"] = data.name
    return about


def take_volume(folder: Path, about: dict[str, Any], *, remove: bool = False) -> Volume:
    """The volume that :func:`put` wrote."""
    return finish(taking_volume(folder, about, remove=remove))


def taking_volume(folder: Path, about: dict[str, Any], *, remove: bool = False) -> Generator[None, None, Volume]:
    """:func:`take_volume` in steps."""
    array, affine = yield from _array_and_affine(folder, about, remove)
    try:
        return Volume(array.astype(np.float32, copy=False), affine, str(about.get("name", "volume")))
    except ValueError as error:
        raise ProtocolError(f"not a volume: {error}") from error


def take_field(folder: Path, about: dict[str, Any], *, remove: bool = False) -> VectorField:
    """The field that :func:`put` wrote."""
    return finish(taking_field(folder, about, remove=remove))


def taking_field(folder: Path, about: dict[str, Any], *, remove: bool = False) -> Generator[None, None, VectorField]:
    """:func:`take_field` in steps."""
    array, affine = yield from _array_and_affine(folder, about, remove)
    try:
        return VectorField(array.astype(np.float32, copy=False), affine)
    except ValueError as error:
        raise ProtocolError(f"not a field: {error}") from error


def _array_and_affine(
    folder: Path, about: dict[str, Any], remove: bool
) -> Generator[None, None, tuple[NDArray[Any], NDArray[np.float64]]]:
    if not isinstance(about, dict) or "file" not in about or "affine" not in about:
        raise ProtocolError("an array is not described")
    try:
        affine = np.asarray(about["affine"], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProtocolError("an affine is not numbers") from error
    array = yield from taking_array(folder, str(about["file"]), remove=remove)
    return array, affine


def _plain(value: Any) -> Any:
    """Types that JSON has: enums, numpy numbers and tuples unwrapped, NaN and infinities to null."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
