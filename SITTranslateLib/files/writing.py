"""Writing volumes and fields; a file appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.checks import check_affine
from SITTranslateLib.files.reading import LPS_RAS
from SITTranslateLib.volume import VectorField, Volume

#: Endings that keep affine and float values.
SCAN_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
#: zlib level: the lowest halves the time of the default for a few per cent more bytes.
COMPRESSION = 1


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> Path:
    """Write a volume (NIfTI, NRRD or MHA by its ending); whole numbers that fit go as 16 bit.

    Raises:
        InputError: unknown ending, sheared affine, or a place that cannot be written.
    """
    array: NDArray[np.generic] = volume.array
    if abs(float(volume.array.max())) < 32768 and abs(float(volume.array.min())) < 32768:
        whole = volume.array.astype(np.int16)
        array = whole if np.array_equal(whole, volume.array) else array
    return _write(sitk.GetImageFromArray(array), volume.affine, Path(path))


def write_field(field: VectorField, path: str | os.PathLike[str]) -> Path:
    """Write a field as an LPS vector image in mm.

    SimpleITK reads it into a ``DisplacementFieldTransform`` and Slicer as a transform from parent; give the
    **sampling** field for that, since both ask where an output voxel comes from.

    Raises:
        InputError: as :func:`write_volume`.
    """
    vectors = field.array.copy()
    vectors[..., :2] *= -1.0
    return _write(sitk.GetImageFromArray(vectors, isVector=True), field.affine, Path(path))


def place_image(image: sitk.Image, affine: NDArray[np.float64]) -> sitk.Image:
    """Give a SimpleITK image the position that an IJK-to-RAS affine says."""
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


def _write(image: sitk.Image, affine: NDArray[np.float64], path: Path) -> Path:
    ending = next((e for e in SCAN_ENDINGS if path.name.lower().endswith(e)), None)
    if ending is None:
        raise InputError(f"'{path.name}' has an ending that cannot be written; use {', '.join(SCAN_ENDINGS)}.")
    check_affine(affine, f"'{path.name}'")
    # The ending stays last, since it chooses the format.
    part = path.with_name(f".{secrets.token_hex(6)}.part{ending}")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(part))
    writer.SetUseCompression(ending != ".nii")
    writer.SetCompressionLevel(COMPRESSION)
    try:
        writer.Execute(place_image(image, affine))
        part.replace(path)
    except (RuntimeError, OSError) as error:
        raise InputError(f"'{path.name}' cannot be written: the folder is missing, read-only or full.") from error
    finally:
        part.unlink(missing_ok=True)
    return path
