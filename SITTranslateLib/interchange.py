"""Conversion of images of other libraries: SimpleITK, nibabel, TorchIO, MONAI, and an array with its affine.

Plain functions on arrays, below :mod:`SITTranslateLib.volume`, whose classes offer them as methods. Our arrays are
``[k, j, i]``; nibabel's, TorchIO's and MONAI's are ``[i, j, k]``, and so is the array of ``(array, affine)``.
Affines lead to RAS mm everywhere here. No library is imported before an image of it is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: mm in the units of length that a NIfTI header may name.
_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
ACCEPTED = (
    "a path, a Volume, an image of SimpleITK or nibabel, (array, affine), a ScalarImage or Subject of TorchIO, a "
    "MetaTensor of MONAI, or a scalar volume node of Slicer"
)

#: Values ``[k, j, i]``, affine to RAS mm, name.
Unpacked = tuple[NDArray[Any], NDArray[np.float64], str]


def unpack(image: Any) -> Unpacked:
    """Values, affine and name of an image of another library.

    Raises:
        InputError: none of those that are known, or one that is not a single scalar 3D image.
    """
    if _is(image, "SimpleITK", "Image"):
        return _of_sitk(image)
    if _is(image, "torchio", "Subject"):
        return _of_torchio(_only_image(image))
    if _is(image, "torchio", "Image"):
        return _of_torchio(image)
    if _is(image, "monai", "MetaTensor"):
        return _of_monai(image)
    if _is(image, "nibabel", "SpatialImage"):
        return _of_nibabel(image)
    if isinstance(image, tuple | list) and len(image) == 2:
        return _of_pair(*image)
    if hasattr(image, "__array__"):
        raise InputError("An array alone says not where its voxels lie; give (array, affine), array[i, j, k].")
    raise InputError(f"An object of the type '{type(image).__name__[:60]}' is no scan; give {ACCEPTED}.")


def to_sitk(array: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """A ``SimpleITK.Image`` (a vector image for ``[k, j, i, 3]``, whose components are then turned to LPS)."""
    import SimpleITK as sitk

    if array.ndim == 4:
        array = array * np.array([-1.0, -1.0, 1.0], dtype=array.dtype)
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    lps = LPS_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def to_nibabel(array: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """A ``nibabel.Nifti1Image`` in mm, its position in scanner space."""
    nibabel = _library("nibabel", "nibabel")
    image = nibabel.Nifti1Image(np.ascontiguousarray(array.T), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return image


def to_torchio(array: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """A ``torchio.ScalarImage`` with one channel."""
    torchio, torch = _library("torchio", "torchio"), _library("torch", "torch")
    return torchio.ScalarImage(tensor=torch.from_numpy(np.ascontiguousarray(array.T)[np.newaxis]), affine=affine)


def to_monai(array: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """A ``monai.data.MetaTensor`` with one channel, as MONAI's ``LoadImage`` with the channel first gives it."""
    data, torch = _library("monai.data", "monai"), _library("torch", "torch")
    tensor = torch.from_numpy(np.ascontiguousarray(array.T)[np.newaxis])
    return data.MetaTensor(tensor, affine=torch.from_numpy(affine.copy()), meta={"space": "RAS"})


def _library(module: str, name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"This needs {name}, which is not installed; install it with pip install {name}.") from error


def _is(image: object, library: str, name: str) -> bool:
    """Whether an object is of a class of a library, without importing the library."""
    classes = type(image).__mro__
    return any(one.__name__ == name and one.__module__.split(".")[0] == library for one in classes)


def _of_sitk(image: Any) -> Unpacked:
    import SimpleITK as sitk

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"This SimpleITK image has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} "
            "components; give one scalar 3D image."
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), LPS_RAS @ affine, "volume"


def _of_nibabel(image: Any) -> Unpacked:
    array = np.asarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    affine = np.array(image.affine, dtype=np.float64)
    if hasattr(image.header, "get_xyzt_units"):
        affine[:3] *= _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    return _turned(array, "nibabel image"), affine, _file_name(image.get_filename())


def _only_image(subject: Any) -> Any:
    images = subject.get_images_dict(intensity_only=True)
    if len(images) != 1:
        known = ", ".join(images) or "none"
        raise InputError(f"This TorchIO subject has {len(images)} intensity images ({known[:200]}); give one of them.")
    return next(iter(images.values()))


def _of_torchio(image: Any) -> Unpacked:
    array = image.data.numpy()
    if array.shape[0] != 1:
        raise InputError(f"This TorchIO image has {array.shape[0]} channels; a scan has one.")
    path = image.path if not isinstance(image.path, list) else None
    return _turned(array[0], "TorchIO image"), np.array(image.affine, dtype=np.float64), _file_name(path)


def _of_monai(tensor: Any) -> Unpacked:
    array = tensor.detach().cpu().numpy()
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    affine = np.array(tensor.affine.detach().cpu(), dtype=np.float64)
    if affine.shape != (4, 4):
        raise InputError("The affine of this MetaTensor is that of several images; give one of them.")
    if str(tensor.meta.get("space", "RAS")).rsplit(".", 1)[-1].upper() == "LPS":
        affine = LPS_RAS @ affine
    return _turned(array, "MetaTensor"), affine, _file_name(tensor.meta.get("filename_or_obj"))


def _of_pair(array: Any, affine: Any) -> Unpacked:
    try:
        values, matrix = np.asarray(array), np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("Of a pair (array, affine) both must be made of numbers.") from error
    return _turned(values, "array"), matrix, "volume"


def _turned(array: NDArray[Any], what: str) -> NDArray[Any]:
    """``[i, j, k]`` as ``[k, j, i]``."""
    if array.ndim != 3:
        raise InputError(f"This {what} has the shape {tuple(array.shape)}; give one scalar 3D image.")
    return np.ascontiguousarray(array.T)


def _file_name(path: Any) -> str:
    """The name of a file without its folder and endings."""
    text = str(path or "").replace("\\", "/").rsplit("/", 1)[-1]
    return text.split(".")[0] or "volume"
