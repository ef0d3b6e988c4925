"""Bytes of image data: as many as a header announces, decompressed and verified to their end, never more.

A buffer is handed on only once every byte of it came out of the file, so that nothing else that the process read
before can appear in it. Compressed data are read up to their checksum.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError

inflate: Any = zlib
gunzip: Any = gzip
with contextlib.suppress(ImportError):
    # Several times faster, same formats; not on every platform.
    from isal import igzip, isal_zlib

    inflate, gunzip = isal_zlib, igzip

#: Largest scan that is read, in voxels: 1024 x 1024 x 512, a whole-body CT.
LARGEST_SCAN = 1024 * 1024 * 512
#: zlib cannot compress further than about this; a header that promises more lies.
LARGEST_COMPRESSION = 1100
#: Bytes behind the image (extensions, padding) that are still read for the checksum; more than that is a bomb.
LONGEST_TAIL = 1 << 30
_CHUNK = 1 << 20
#: What damaged or cut compressed data raise.
_BROKEN: tuple[type[Exception], ...] = (EOFError, zlib.error, inflate.error, gzip.BadGzipFile)


class Promise(NamedTuple):
    """Contents of a header: the image's size, components a voxel, bytes a component."""

    size: tuple[int, ...]
    components: int
    bytes_each: int

    @property
    def voxels(self) -> int:
        return math.prod(self.size)

    @property
    def total_bytes(self) -> int:
        return self.voxels * self.components * self.bytes_each


def check_promise(promise: Promise, name: str, held_bytes: int) -> None:
    """Refuse a size beyond that of a scan, or beyond what ``held_bytes`` of a file hold at any compression.

    Raises:
        InputError: the header promises nothing, or too much.
    """
    if min(promise.size, default=0) < 1 or promise.components < 1:
        size = " x ".join(str(n) for n in promise.size)
        raise InputError(f"{name} is empty or damaged: its header gives the size {size}.")
    if promise.voxels > LARGEST_SCAN or promise.components > 1024:
        raise InputError(f"{name} says it has {promise.voxels:.3g} voxels, more than any scan (at most 5e+08).")
    if promise.total_bytes > held_bytes * LARGEST_COMPRESSION:
        raise InputError(f"{name} is truncated: {held_bytes} bytes cannot hold the image its header promises.")


@contextlib.contextmanager
def opened_raw(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A file's bytes as they are; what goes wrong while it is read becomes one sentence.

    Raises:
        InputError: compressed data in it break, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except _BROKEN as error:
        raise InputError(f"{name} is truncated or damaged: its compressed data end or break early.") from error
    except MemoryError as error:
        raise InputError(f"{name} needs more memory than this machine has.") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: the disk reports an error, or it may not be read.") from error


@contextlib.contextmanager
def opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """As :func:`opened_raw`, decompressed where the file begins as gzip does, whatever its extension."""
    with opened_raw(path, name) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        yield cast("IO[bytes]", gunzip.open(file)) if packed else file


def inflated(file: IO[bytes], name: str) -> IO[bytes]:
    """The stream of a zlib or gzip block that begins here and ends with the file."""
    return cast("IO[bytes]", io.BufferedReader(_Inflated(file, name), _CHUNK))


def read_array(stream: IO[bytes], promise: Promise, kind: np.dtype[Any], name: str) -> NDArray[Any]:
    """All promised values as one flat array.

    Raises:
        InputError: the data end early, or there is not enough memory.
    """
    try:
        buffer = np.empty(promise.total_bytes, np.uint8)
    except MemoryError as error:
        raise InputError(f"{name} needs more memory than this machine has.") from error
    view, filled = memoryview(cast(Any, buffer)), 0
    while filled < len(view):
        count = cast(Any, stream).readinto(view[filled : filled + 16 * _CHUNK])
        if not count:
            raise InputError(f"{name} is truncated: {len(view) - filled} bytes of the image are missing.")
        filled += count
    return buffer.view(kind)


def skip(stream: IO[bytes], count: int, name: str) -> None:
    """Pass over bytes before the image.

    Raises:
        InputError: the data end before.
    """
    while count > 0:
        chunk = stream.read(min(count, _CHUNK))
        if not chunk:
            raise InputError(f"{name} is truncated: it ends before its image begins.")
        count -= len(chunk)


def rest(stream: IO[bytes], name: str) -> int:
    """Read to the end, where compressed data have their checksum; how many bytes lay behind the image.

    Raises:
        InputError: there is no end in sight.
    """
    count = 0
    while chunk := stream.read(_CHUNK):
        count += len(chunk)
        if count > LONGEST_TAIL:
            raise InputError(f"{name} holds far more data than the image that its header describes; it is damaged.")
    return count


def check_end(stream: IO[bytes], name: str) -> None:
    """Refuse data behind the image, for formats that have none: the header is another file's, or is damaged.

    Raises:
        InputError: bytes are left.
    """
    if count := rest(stream, name):
        raise InputError(f"{name} is damaged: it holds {count} bytes more than the image that its header describes.")


class _Inflated(io.RawIOBase):
    """A zlib or gzip block as a stream; its checksum is verified by the library at its end."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        # 32 more than the largest window: zlib or gzip, detected from the data.
        self._block = inflate.decompressobj(wbits=47)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._block.eof:
            packed = self._block.unconsumed_tail or self._file.read(_CHUNK)
            if not packed:
                raise EOFError
            if data := self._block.decompress(packed, len(buffer)):
                buffer[: len(data)] = data
                return len(data)
        if self._block.unused_data or self._file.read(1):
            raise InputError(f"{self._name} is damaged: there are data behind the end of its compressed image.")
        return 0
