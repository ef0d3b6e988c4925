"""Reading scans, label maps and fields: anything SimpleITK opens, brought to RAS, or refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import checks, dicom, headers, isolated, plain
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
    ".img",
    ".hdr",
    ".gipl",
    ".mgz",
)

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def read_volume(path: str | os.PathLike[str], *, frame: int | None = None) -> Volume:
    """The scan in a file, a DICOM folder, or the series that one DICOM file belongs to.

    Args:
        path: NIfTI, NRRD, MHA or anything else SimpleITK reads.
        frame: which image of a 4D file, counted from 0; without it 4D files are refused.

    Returns:
        Native units (with the file's own slope and intercept), affine to RAS mm, named after the file.

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    location = _existing(path)
    volume = _as_volume(_read(location, frame), _name_of(location))
    checks.check_volume(volume)
    return volume


def read_image_as_volume(path: str | os.PathLike[str], name: str) -> Volume:
    """Any scalar 3D image, also one that is no scan (constant, whole numbers); only its shape and place are checked.

    Raises:
        InputError: unreadable, not scalar, not 3D, NaN, or a bad affine.
    """
    location = _existing(path)
    volume = _as_volume(_read(location), name)
    checks.check_shape(volume.shape, f"'{location.name}'")
    checks.check_affine(volume.affine, f"'{location.name}'")
    return volume


def read_labels(path: str | os.PathLike[str]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """A label map: whole numbers ``(K, J, I)`` and the affine to RAS mm.

    Raises:
        InputError: as :func:`read_volume`, or values that are not whole.
    """
    location = _existing(path)
    values, affine = _read(location, labels=True)
    with np.errstate(invalid="ignore"):
        labels = np.rint(values).astype(np.int32)
    if not np.array_equal(labels, values):
        raise InputError(f"'{location.name}' is not a label map: its values are not whole numbers.")
    checks.check_shape(labels.shape, f"'{location.name}'")
    checks.check_affine(affine, f"'{location.name}'")
    return labels, affine


def read_field(path: str | os.PathLike[str]) -> VectorField:
    """A vector field in mm from an LPS vector image, as :func:`write_field` and Slicer write it.

    Raises:
        InputError: unreadable, not three components, NaN, or a bad affine.
    """
    location = _existing(path)
    values, affine = _read(location, vectors=True)
    array = values.astype(np.float32)
    array[..., :2] *= -1.0
    if not np.isfinite(array).all():
        raise InputError(f"'{location.name}' holds vectors that are not numbers (NaN or infinite).")
    checks.check_shape(array.shape[:3], f"'{location.name}'")
    checks.check_affine(affine, f"'{location.name}'")
    return VectorField(array, affine)


def affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """IJK to RAS mm of a 3D SimpleITK image."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_RAS @ affine


def read_here(
    location: Path, frame: int | None = None, *, labels: bool = False, vectors: bool = False
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Voxels as stored ``[k, j, i]`` (with ``vectors`` three components, LPS) and the affine to RAS mm.

    In this process, whatever the file: see :func:`_read` for what is not trusted that far.

    Raises:
        InputError: unreadable, or not of the kind asked for.
    """
    if vectors:
        _inspect(location)
        image = _execute(location)
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
            raise InputError(f"'{location.name}' is not a field of 3D vectors; give a displacement field.")
    else:
        image = _read_image(location, frame, labels)
    return sitk.GetArrayFromImage(image), affine_of(image)


def _read(
    location: Path, frame: int | None = None, *, labels: bool = False, vectors: bool = False
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """As :func:`read_here`, in a process of its own unless the file's header is plain."""
    if not plain.is_plain(location):
        found = isolated.read_elsewhere(location, frame, labels=labels, vectors=vectors)
        if found is not None:
            return found
    return read_here(location, frame, labels=labels, vectors=vectors)


def _existing(path: str | os.PathLike[str]) -> Path:
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


def _read_image(location: Path, frame: int | None, labels: bool = False) -> sitk.Image:
    if location.is_dir() or dicom.is_dicom(location):
        image = dicom.read_series(location)
    else:
        if not labels and location.name.lower().endswith(".seg.nrrd"):
            raise InputError(f"'{location.name}' is a segmentation, not a scan; give the scan it was drawn on.")
        _inspect(location)
        image = _execute(location)
    name = f"'{location.name}'"
    if _is_sequence(image):
        image = _component_of(image, frame, name)
    if image.GetNumberOfComponentsPerPixel() > 1:
        count = image.GetNumberOfComponentsPerPixel()
        raise InputError(f"{name} has {count} values a voxel (colour or vectors); give a scan with one.")
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise InputError(f"{name} has complex values; give its magnitude.")
    if image.GetDimension() == 2:
        raise InputError(f"{name} is a 2D image; a 3D scan is needed.")
    if image.GetDimension() == 4:
        image = _frame_of(image, frame, name)
    if image.GetDimension() != 3:
        raise InputError(f"{name} has {image.GetDimension()} dimensions; a 3D scan is needed.")
    if location.is_dir() or image.GetSize()[2] > 1:
        return image
    raise InputError(f"{name} is a 2D image (one slice); a 3D scan is needed.")


def _frame_of(image: sitk.Image, frame: int | None, name: str) -> sitk.Image:
    count = image.GetSize()[3]
    if frame is None and count > 1:
        raise InputError(f"{name} is 4D ({count} images in one file); say which one with a frame number from 0.")
    if not 0 <= (frame or 0) < count:
        raise InputError(f"{name} has no frame {frame}: frames go from 0 to {count - 1}.")
    return image[:, :, :, frame or 0]


def _is_sequence(image: sitk.Image) -> bool:
    """Whether an NRRD image is a Slicer sequence: ITK reads its list of frames as the components of a voxel."""
    kind = "NRRD_kinds[pixel]"
    return image.GetDimension() == 3 and image.HasMetaDataKey(kind) and image.GetMetaData(kind) == "list"


def _component_of(image: sitk.Image, frame: int | None, name: str) -> sitk.Image:
    count = image.GetNumberOfComponentsPerPixel()
    if frame is None and count > 1:
        raise InputError(f"{name} is a sequence of {count} images; say which one with a frame number from 0.")
    if not 0 <= (frame or 0) < count:
        raise InputError(f"{name} has no frame {frame}: frames go from 0 to {count - 1}.")
    return sitk.VectorIndexSelectionCast(image, frame or 0) if count > 1 else image


def _inspect(location: Path) -> None:
    """Everything that can be told from the header, before the image is read."""
    name = location.name.lower()
    if name.endswith((".nii", ".nii.gz", ".hdr")):
        headers.check_nifti(location)
    elif name.endswith((".mha", ".mhd")):
        headers.check_metaimage(location)
    elif name.endswith((".nrrd", ".nhdr")):
        headers.check_nrrd(location)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(location))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _refusal(location, error) from error
    pixel = reader.GetPixelID()
    if pixel == sitk.sitkUnknown:
        raise InputError(f"'{location.name}' has voxels of a type that is not known.")
    components = reader.GetNumberOfComponents()
    kind = sitk.GetPixelIDValueAsString(pixel)
    bytes_each = 8 if "64" in kind else 4 if "32" in kind else 2 if "16" in kind else 1
    headers.check_promise(headers.Promise(tuple(reader.GetSize()), components, bytes_each), location)


def _execute(location: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(location))
    except RuntimeError as error:
        raise _refusal(location, error) from error
    except MemoryError as error:
        raise InputError(f"'{location.name}' needs more memory than this machine has.") from error


def _refusal(location: Path, error: RuntimeError) -> InputError:
    """The sentence for what ITK says; its own text holds paths and source lines."""
    text, name = str(error), f"'{location.name}'"
    if "orthonormal" in text:
        return InputError(
            f"{name} is sheared or singular (its voxel axes are not at right angles); resample it to a straight grid."
        )
    if "determinant is 0" in text or "Zero-valued spacing" in text or "Bad direction" in text:
        return InputError(f"{name} has a singular voxel-to-space matrix; its voxels have no volume.")
    if "Unable to determine ImageIO" in text:
        return InputError(f"{name} is not a scan in a known format (NIfTI, NRRD, MHA, DICOM), or it is damaged.")
    if "allocate memory" in text or "bad_alloc" in text:
        return InputError(f"{name} needs more memory than this machine has.")
    return InputError(f"{name} cannot be read: it is truncated, damaged, or not what its ending says.")


def _as_volume(read: tuple[NDArray[np.generic], NDArray[np.float64]], name: str) -> Volume:
    with np.errstate(over="ignore"):
        return Volume(read[0].astype(np.float32), read[1], name)


def _name_of(location: Path) -> str:
    name = location.resolve().name if location.is_dir() else location.name
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name
