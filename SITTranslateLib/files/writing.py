"""Writing volumes and fields: a file appears completely, with verified bytes, or not at all.

Headers are made here and by nibabel with points in numbers, whatever the locale; voxels are compressed by ISA-L where
it is installed. A file is written beside its place, read back, and only then put there.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.arguments import instance_of, path_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.files.checks import check_affine
from SITTranslateLib.files.reading import LPS_RAS
from SITTranslateLib.files.stream import inflate
from SITTranslateLib.volume import VectorField, Volume

#: Endings that keep affine and float values.
SCAN_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
#: Compression level: the lowest takes half the time of the default for a few per cent more bytes.
COMPRESSION = 1
#: NIfTI's intent of vectors whose components are taken as they are (by ITK: LPS).
_VECTORS = 1007
_META_TYPES = {"i2": "MET_SHORT", "f4": "MET_FLOAT"}
_NRRD_TYPES = {"i2": "short", "f4": "float"}
#: Windows of zlib that make a gzip file (without a date) and a zlib stream.
GZIP, ZLIB = 31, 15
_CHUNK = 1 << 24
#: Key of a note in a NRRD file; Slicer gives it to the node as an attribute.
NRRD_KEY = "SITTranslate.Use"


def write_volume(volume: Volume, path: str | os.PathLike[str], note: str = "") -> Path:
    """Write a volume (NIfTI, NRRD or MHA by its ending); whole numbers that fit go as 16 bit.

    Args:
        note: what is said in the file itself, such as that a model made it: NIfTI's ``descrip`` (its first 79
            characters), a key of NRRD, MHA's ``Comment``. :func:`~SITTranslateLib.files.notes.note_of` reads it.

    Raises:
        InputError: unknown ending, sheared affine, or a place that cannot be written.
    """
    array: NDArray[Any] = instance_of(volume, Volume, "What is written").array
    if abs(float(volume.array.max())) < 32768 and abs(float(volume.array.min())) < 32768:
        whole = volume.array.astype(np.int16)
        array = whole if np.array_equal(whole, volume.array) else array
    return _write(array[..., np.newaxis], volume.affine, path_of(path, "The file"), plain(note))


def write_field(field: VectorField, path: str | os.PathLike[str], note: str = "") -> Path:
    """Write a field as an LPS vector image in mm.

    SimpleITK reads it into a ``DisplacementFieldTransform`` and Slicer as a transform from parent; give the
    **sampling** field for that, since both ask where an output voxel comes from.

    Raises:
        InputError: as :func:`write_volume`.
    """
    array = instance_of(field, VectorField, "What is written").array
    # By rows: a product with three signs alone would be four times slower.
    signs = np.tile(np.array([-1, -1, 1], np.float32), array.shape[2])
    lps = (array.reshape(-1, len(signs)) * signs).reshape(array.shape)
    return _write(lps, field.affine, path_of(path, "The file"), plain(note))


def place_image(image: sitk.Image, affine: NDArray[np.float64]) -> sitk.Image:
    """Give a SimpleITK image the position of an IJK-to-RAS affine."""
    lps = LPS_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def replace_folder(part: Path, target: Path) -> None:
    """Put a finished folder in its place; one that is there goes only once the new one stands."""
    if not target.exists():
        part.rename(target)
        return
    old = part.with_name(part.name + ".old")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: Path, chunks: Iterable[bytes]) -> Path:
    """Write a file aside, read it back, and put it in its place.

    Raises:
        InputError: it cannot be written, or is not what was written.
    """
    part = path.with_name(f".{secrets.token_hex(6)}.part")
    written = list(chunks)
    try:
        with part.open("wb") as file:
            file.writelines(written)
            file.flush()
            os.fsync(file.fileno())
        with part.open("rb") as file:
            if any(file.read(len(chunk)) != chunk for chunk in written) or file.read(1):
                raise InputError(f"'{path.name}' cannot be written: the disk does not give back what was written.")
        part.replace(path)
    except OSError as error:
        raise InputError(f"'{path.name}' cannot be written: {reason_of(error)}.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def reason_of(error: OSError) -> str:
    """Why something cannot be written, in words."""
    return {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the space of this user on the disk is used up",
        errno.EFBIG: "the file would be larger than this system allows",
        errno.ENAMETOOLONG: "its name is too long",
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "the folder may not be written by this user",
        errno.ENOENT: "the folder is missing",
    }.get(error.errno or 0, "the folder is missing, read-only or full")


def plain(note: str) -> str:
    """A note as one line of ASCII, as headers take it."""
    return " ".join(instance_of(note, str, "The note").encode("ascii", "replace").decode("ascii").split())


def _write(array: NDArray[Any], affine: NDArray[np.float64], path: Path, note: str) -> Path:
    """An image ``(K, J, I, C)``, vectors in LPS."""
    ending = next((e for e in SCAN_ENDINGS if path.name.lower().endswith(e)), None)
    if ending is None:
        raise InputError(f"'{path.name}' has an ending that cannot be written; use {', '.join(SCAN_ENDINGS)}.")
    check_affine(affine, f"'{path.name}'")
    if not path.parent.is_dir():
        raise InputError(f"'{path.name}' cannot be written: the folder is missing.")
    stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if ending in (".nii", ".nii.gz"):
        head = _nifti_header(stored, affine, path.name, note)
        # Components change slowest in NIfTI.
        data = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
        return write_bytes(path, packed(head, data, GZIP) if ending == ".nii.gz" else [head, data.tobytes()])
    if ending == ".nrrd":
        return write_bytes(path, [_nrrd_header(stored, affine, note), *packed(b"", stored, GZIP)])
    content = packed(b"", stored, ZLIB)
    return write_bytes(path, [_meta_header(stored, affine, sum(map(len, content)), note), *content])


def packed(head: bytes, array: NDArray[Any], window: int) -> list[bytes]:
    """A head and an array as compressed bytes; ``window`` is GZIP or ZLIB."""
    block = inflate.compressobj(COMPRESSION, wbits=window)
    flat = array.reshape(-1).view(np.uint8)
    chunks = [block.compress(head)] if head else []
    chunks += [block.compress(flat[start : start + _CHUNK].data) for start in range(0, flat.size, _CHUNK)]
    return [*chunks, block.flush()]


def _nifti_header(array: NDArray[Any], affine: NDArray[np.float64], name: str, note: str) -> bytes:
    """A NIfTI-1 header with sform and qform, by nibabel."""
    from nibabel.nifti1 import Nifti1Header

    k, j, i, components = array.shape
    if max(array.shape) > 32767:
        raise InputError(f"'{name}' has {max(array.shape)} voxels along an axis, too many for NIfTI; use .nrrd.")
    header: Any = Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape((i, j, k) if components == 1 else (i, j, k, 1, components))
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm", "sec")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["descrip"] = note[:79].encode("ascii")
    if components > 1:
        header["intent_code"] = _VECTORS
    return bytes(header.binaryblock) + bytes(4)


def _nrrd_header(array: NDArray[Any], affine: NDArray[np.float64], note: str) -> bytes:
    k, j, i, components = array.shape
    lps = LPS_RAS @ affine
    directions = " ".join(_vector(lps[:3, axis]) for axis in range(3))
    is_field = components > 1
    lines = [
        "NRRD0004",
        f"type: {_NRRD_TYPES[array.dtype.str[1:]]}",
        f"dimension: {4 if is_field else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{components} ' if is_field else ''}{i} {j} {k}",
        f"space directions: {'none ' if is_field else ''}{directions}",
        f"kinds: {'vector ' if is_field else ''}domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(lps[:3, 3])}",
        *([f"{NRRD_KEY}:={note}"] if note else []),
    ]
    return ("\n".join(lines) + "\n\n").encode("ascii")


def _vector(numbers: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(n)) for n in numbers) + ")"


def _meta_header(array: NDArray[Any], affine: NDArray[np.float64], length: int, note: str) -> bytes:
    k, j, i, components = array.shape
    lps = LPS_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)

    def row(numbers: NDArray[np.float64]) -> str:
        return " ".join(repr(float(n)) for n in numbers.ravel())

    lines = [
        "ObjectType = Image",
        *([f"Comment = {note}"] if note else []),
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {length}",
        f"TransformMatrix = {row((lps[:3, :3] / spacing).T)}",
        f"Offset = {row(lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {row(spacing)}",
        f"DimSize = {i} {j} {k}",
        *([f"ElementNumberOfChannels = {components}"] if components > 1 else []),
        f"ElementType = {_META_TYPES[array.dtype.str[1:]]}",
        "ElementDataFile = LOCAL",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")
