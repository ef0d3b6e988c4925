"""Reading scans, label maps and fields: one parser per format, converted to RAS, or refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import checks, dicom, metaimage, nifti, nrrd
from SITTranslateLib.files.image import StoredImage
from SITTranslateLib.volume import VectorField, Volume

#: LPS to RAS (and back): the first two axes change sign.
LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Endings taken off a file's name to name its volume, longest first.
ENDINGS = (
    ".seg.nrrd",
    ".seq.nrrd",
    ".nii.gz",
    ".nii",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".dcm",
    ".img.gz",
    ".img",
    ".hdr",
    ".mgz",
    ".mgh",
)
#: Beyond this, whole numbers in double precision are no longer distinct.
_LARGEST_LABEL = 2**53


def read_volume(path: str | os.PathLike[str], *, frame: int | None = None) -> Volume:
    """The scan in a file, a DICOM folder, or the series that one DICOM file belongs to.

    Args:
        path: NIfTI-1 or -2, Analyze, MGH, NRRD, MetaImage, DICOM.
        frame: which image of a 4D file, counted from 0; without it 4D files are refused.

    Returns:
        Native units (with the file's own slope and intercept), affine to RAS mm, named after the file.

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    location = _existing(path)
    volume = _as_volume(_read(location), frame, f"'{location.name}'", _name_of(location))
    checks.check_volume(volume)
    return volume


def read_image_as_volume(path: str | os.PathLike[str], name: str) -> Volume:
    """Any scalar 3D image, also one that is no scan (constant, whole numbers); only its shape and place are checked.

    Raises:
        InputError: unreadable, not scalar, not 3D, NaN, or a bad affine.
    """
    location = _existing(path)
    volume = _as_volume(_read(location), None, f"'{location.name}'", name)
    checks.check_shape(volume.shape, f"'{location.name}'")
    checks.check_affine(volume.affine, f"'{location.name}'")
    return volume


def read_labels(path: str | os.PathLike[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A label map: whole numbers ``(K, J, I)``, of any integer type up to 2^53, and the affine to RAS mm.

    Raises:
        InputError: as :func:`read_volume`, or values that are not whole.
    """
    location = _existing(path)
    name = f"'{location.name}'"
    image = _read(location, labels=True)
    values = image.scan(None, name)
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and np.array_equal(values, np.rint(values))):
        raise InputError(f"{name} is not a label map: its values are not whole numbers.")
    if values.size and max(abs(int(values.min())), abs(int(values.max()))) > _LARGEST_LABEL:
        raise InputError(f"{name} has labels beyond 2^53, which cannot be told apart; number them anew.")
    checks.check_shape(values.shape, name)
    checks.check_affine(image.affine, name)
    return np.ascontiguousarray(values, dtype=np.int64), image.affine


def read_field(path: str | os.PathLike[str]) -> VectorField:
    """A vector field in mm from a vector image in LPS, as :func:`write_field` and Slicer write it.

    Raises:
        InputError: unreadable, not three components, NaN, or a bad affine.
    """
    location = _existing(path)
    name = f"'{location.name}'"
    image = _read(location, labels=True)
    array = image.vectors(name)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds vectors that are not numbers (NaN or infinite).")
    checks.check_shape(array.shape[:3], name)
    checks.check_affine(image.affine, name)
    return VectorField(array, image.affine)


def _read(location: Path, *, labels: bool = False) -> StoredImage:
    """Contents of the named file, by the parser of its format."""
    lower = location.name.lower()
    if location.is_dir() or dicom.is_dicom(location):
        return dicom.read_series(location)
    if lower.endswith(".seg.nrrd") and not labels:
        raise InputError(f"'{location.name}' is a segmentation, not a scan; give the scan it was drawn on.")
    if nifti.is_named_so(location):
        return nifti.read(location)
    if lower.endswith((".nrrd", ".nhdr")):
        return nrrd.read(location)
    if lower.endswith((".mha", ".mhd")):
        return metaimage.read(location)
    raise InputError(
        f"'{location.name}' is not a scan in a known format (NIfTI, Analyze, MGH, NRRD, MetaImage, DICOM); "
        "save it in one of them, for example with Slicer."
    )


def _existing(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"A scan is given by its path, not by something of the type '{type(path).__name__[:40]}'.")
    location = Path(path)
    try:
        text = str(location)
        if "\0" in text:
            raise ValueError
        if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
            # ITK ends the process on them.
            raise InputError("The path given holds bytes that are not text (UTF-8); rename the file or folder.")
        if not location.exists():
            raise InputError(f"There is no file or folder '{location.name}' at the place given; check the path.")
        if location.is_dir():
            if not os.access(location, os.R_OK | os.X_OK):
                raise InputError(f"The folder '{location.name}' may not be read by this user.")
        elif not location.is_file():
            raise InputError(f"'{location.name}' is neither a file nor a folder.")
        else:
            if location.stat().st_size == 0:
                raise InputError(f"'{location.name}' is empty (0 bytes).")
            with location.open("rb"):
                pass
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"'{location.name}' may not be read by this user.") from error
    except (OSError, ValueError) as error:
        raise InputError("The path given is not one that this system can open; check it.") from error
    return location


def _as_volume(image: StoredImage, frame: int | None, quoted: str, name: str) -> Volume:
    with np.errstate(over="ignore"):
        return Volume(image.scan(frame, quoted).astype(np.float32), image.affine, name)


def _name_of(location: Path) -> str:
    name = location.resolve().name if location.is_dir() else location.name
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name
