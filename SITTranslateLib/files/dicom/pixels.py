"""The values of DICOM frames, each rescaled by its own slope and intercept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.dicom import codec
from SITTranslateLib.files.dicom.slices import Pixels, open_header
from SITTranslateLib.files.dicom.stack import Stack

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_RLE = "1.2.840.10008.1.2.5"


def read_pixels(stack: Stack, name: str) -> NDArray[Any]:
    """Native values ``(T, K, J, I, 1)``: as stored where no slice is scaled, else float32.

    Raises:
        InputError: pixel data that are shorter or longer than the header says, or cannot be decoded.
    """
    slices = [s for volume in stack.frames for s in volume]
    is_scaled = any(s.slope != 1.0 or s.intercept != 0.0 for s in slices)
    decoded = _decoded(list(dict.fromkeys((s.file, s.pixels) for s in slices)), name)
    kinds = {values.dtype.str for values in decoded.values()}
    is_float = is_scaled or len(kinds) > 1
    shape = (len(stack.frames), len(stack.frames[0]), slices[0].pixels.rows, slices[0].pixels.columns, 1)
    try:
        volume = np.empty(shape, np.float32 if is_float else kinds.pop())
        for time, frames in enumerate(stack.frames):
            for place, one in enumerate(frames):
                plane: NDArray[Any] = decoded[one.file][one.frame]
                if is_float:
                    plane = plane.astype(np.float64) * one.slope + one.intercept
                volume[time, place, ..., 0] = plane
    except MemoryError as error:
        raise InputError(f"The {name} needs more memory than this machine has.") from error
    return volume


def _decoded(files: list[tuple[Path, Pixels]], name: str) -> dict[Path, NDArray[Any]]:
    """Stored values ``(frames, rows, columns)`` of each file; compressed ones all by one process."""
    found: dict[Path, NDArray[Any]] = {}
    packed: dict[Path, bytes] = {}
    for file, pixels in files:
        header = open_header(file, with_pixels=True)
        if header is None:
            raise InputError(f"The {name} has a file without an image.")
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax is None or not syntax.is_transfer_syntax:
            raise InputError(f"The {name} does not say how its values are stored (transfer syntax).")
        if syntax == _RLE:
            found[file] = _of_run_lengths(header, pixels, name)
        elif syntax.is_compressed:
            packed[file] = codec.request(header, pixels)
        else:
            found[file] = _native(header, pixels, ">" if syntax == _BIG_ENDIAN else "<", name)
    if packed:
        found.update(zip(packed, codec.decode(list(packed.values()), name), strict=True))
    return {file: _values(found[file], pixels, name) for file, pixels in files}


def _native(header: Any, pixels: Pixels, order: str, name: str) -> NDArray[Any]:
    for tag, bits in (("FloatPixelData", 32), ("DoubleFloatPixelData", 64)):
        if tag in header:
            return _flat(header[tag].value, np.dtype(f"{order}f{bits // 8}"), pixels, name)
    if "PixelData" not in header:
        raise InputError(f"The {name} has a slice without values (no pixel data).")
    kind = np.dtype(f"{order}{'i' if pixels.is_signed else 'u'}{pixels.bits_allocated // 8}")
    return _flat(header.PixelData, kind, pixels, name)


def _flat(content: Any, kind: np.dtype[Any], pixels: Pixels, name: str) -> NDArray[Any]:
    expected = pixels.frames * pixels.rows * pixels.columns * kind.itemsize
    held = len(content or b"")
    if held < expected:
        raise InputError(f"The {name} is truncated: {expected - held} bytes of the values of a file are missing.")
    if held - expected >= pixels.rows * pixels.columns * kind.itemsize:
        raise InputError(f"The {name} is damaged: a file holds more frames than its header says.")
    return np.frombuffer(content, kind, count=expected // kind.itemsize).reshape(
        pixels.frames, pixels.rows, pixels.columns
    )


def _of_run_lengths(header: Any, pixels: Pixels, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(header.pixel_array)
    except Exception as error:
        raise InputError(f"The {name} is truncated or damaged: its compressed values cannot be read.") from error
    return array.reshape(pixels.frames, pixels.rows, pixels.columns)


def _values(array: NDArray[Any], pixels: Pixels, name: str) -> NDArray[Any]:
    """Without the bits above those stored (old overlays), with its sign, and bright where the picture is bright."""
    if array.shape != (pixels.frames, pixels.rows, pixels.columns):
        raise InputError(f"The {name} is damaged: its compressed values have another size than its header says.")
    if array.dtype.kind == "f":
        return array
    kind = np.dtype(f"{'i' if pixels.is_signed else 'u'}{max(pixels.bits_allocated, array.dtype.itemsize * 8) // 8}")
    array = array.astype(kind)
    spare = kind.itemsize * 8 - pixels.bits_stored
    if spare:
        # Shifting back brings the sign along.
        array = (array << spare) >> spare
    if pixels.is_inverted:
        array = (-1 if pixels.is_signed else (1 << pixels.bits_stored) - 1) - array
    return array
