"""Import and export of motions of other programs: ITK, ANTs, Greedy, elastix, FreeSurfer.

All of them store what image resampling asks for: where in the moving image (here: the source) a point of the fixed
image (the translated scan) comes from. That is the sampling field, ``x = y + u(y)``.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.reading import LPS_RAS, read_field
from SITTranslateLib.files.writing import SCAN_ENDINGS, place_image, write_field
from SITTranslateLib.volume import Grid, VectorField

#: ITK's own files of transforms.
ITK_ENDINGS = (".h5", ".hdf5", ".tfm", ".txt", ".mat", ".xfm")
COMPOSITE_ENDINGS = (".h5", ".hdf5", ".tfm")


def write_transform(sampling: VectorField, path: str | os.PathLike[str]) -> Path:
    """Write a sampling field for other programs, by the ending of the file.

    Args:
        sampling: where each point of the output comes from.
        path: ``.h5`` or ``.tfm``: an ITK composite transform; ``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``: a field of
            displacements in LPS mm, as ANTs and Greedy call ``..._Warp.nii.gz``.

    Raises:
        InputError: another ending, or a place that cannot be written.
    """
    target = Path(path)
    lower = target.name.lower()
    if lower.endswith(SCAN_ENDINGS):
        return write_field(sampling, target)
    ending = next((one for one in COMPOSITE_ENDINGS if lower.endswith(one)), None)
    if ending is None:
        known = ", ".join((*COMPOSITE_ENDINGS, *SCAN_ENDINGS))
        raise InputError(f"'{target.name}' has an ending that no transform is written to; use one of {known}.")
    composite = sitk.CompositeTransform([_displacement(sampling)])
    part = target.with_name(f".{secrets.token_hex(6)}.part{ending}")
    try:
        sitk.WriteTransform(composite, str(part))
        part.replace(target)
    except (RuntimeError, OSError) as error:
        raise InputError(f"'{target.name}' cannot be written: the folder is missing, read-only or full.") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def read_transform(paths: Sequence[str | os.PathLike[str]], grid: Grid) -> VectorField:
    """The sampling field of one or several transform files, on a grid.

    Args:
        paths: in the order of ``antsApplyTransforms -t``: a point of the fixed image goes through the first, then the
            next. ITK files, displacement fields, the matrices of Greedy and c3d, FreeSurfer's ``.lta``.
        grid: where the field is wanted; beyond a displacement field's own grid nothing moves.

    Returns:
        ``u`` in RAS mm with ``x = y + u(y)``.

    Raises:
        InputError: a file that cannot be read, of an unknown kind, or with values that are not finite.
    """
    if not paths:
        raise InputError("Give at least one transform.")
    transforms = [_read(Path(path)) for path in paths]
    # A composite sends a point through the transform that was added last first.
    composite = sitk.CompositeTransform(transforms[::-1])
    frame = place_image(sitk.Image([int(n) for n in grid.shape[::-1]], sitk.sitkUInt8), grid.affine)
    try:
        field = sitk.TransformToDisplacementField(
            composite, sitk.sitkVectorFloat32, frame.GetSize(), frame.GetOrigin(), frame.GetSpacing(),
            frame.GetDirection(),
        )  # fmt: skip
    except RuntimeError as error:
        raise InputError(f"'{Path(paths[0]).name}' cannot be applied to this scan; it is damaged.") from error
    vectors = sitk.GetArrayFromImage(field)
    vectors[..., :2] *= -1.0
    if not np.isfinite(vectors).all():
        raise InputError(f"'{Path(paths[0]).name}' gives places that are not numbers (NaN or infinite).")
    return VectorField(vectors, grid.affine)


def _displacement(sampling: VectorField) -> sitk.Transform:
    vectors = sampling.array.astype(np.float64)
    vectors[..., :2] *= -1.0
    image = place_image(sitk.GetImageFromArray(vectors, isVector=True), sampling.affine)
    return sitk.DisplacementFieldTransform(image)


def _read(path: Path) -> sitk.Transform:
    if not path.is_file():
        raise InputError(f"There is no file '{path.name}' at the place given.")
    lower = path.name.lower()
    if lower.endswith((*SCAN_ENDINGS, ".mhd", ".nhdr")):
        return _displacement(read_field(path))
    if lower.endswith(".lta"):
        return _affine(_freesurfer(path))
    if lower.endswith((".m3z", ".mgz")):
        raise InputError(
            f"'{path.name}' is FreeSurfer's own; convert it with mri_warp_convert --inm3z FILE --outitk WARP.nii.gz."
        )
    if lower.endswith((".mat", ".txt")):
        matrix = _plain_matrix(path)
        if matrix is not None:
            return _affine(matrix)
    if lower.startswith("transformparameters") or b"(Transform " in path.read_bytes()[:4096]:
        raise InputError(
            f"'{path.name}' is elastix' own file; give the field that 'transformix -def all' writes (deformationField)."
        )
    if not lower.endswith(ITK_ENDINGS):
        raise InputError(f"'{path.name}' is no known kind of transform; give an ITK file or a displacement field.")
    try:
        return sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise InputError(f"'{path.name}' cannot be read as a transform; it is damaged or of another kind.") from error


def _affine(ras: NDArray[np.float64]) -> sitk.Transform:
    """A transform from a matrix that sends a RAS point of the fixed image to the moving one."""
    lps = LPS_RAS @ ras @ LPS_RAS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def _plain_matrix(path: Path) -> NDArray[np.float64] | None:
    """The 4 x 4 matrix of a text file (Greedy, c3d: RAS, fixed to moving); None for what is something else."""
    raw = path.read_bytes()[:4096]
    numbers = re.split(rb"\s+", raw.strip())
    if len(numbers) != 16 or len(raw.strip().splitlines()) != 4:
        return None
    try:
        matrix = np.array([float(one) for one in numbers]).reshape(4, 4)
    except ValueError:
        return None
    return matrix if np.allclose(matrix[3], [0, 0, 0, 1]) and np.isfinite(matrix).all() else None


def _freesurfer(path: Path) -> NDArray[np.float64]:
    """Of a FreeSurfer ``.lta`` (source to destination), the matrix from the destination to the source, RAS."""
    try:
        from nitransforms import linear
    except ImportError as error:
        raise InputError(
            "FreeSurfer's transforms need nitransforms; install it with pip install 'sittranslate[transforms]'."
        ) from error
    try:
        matrix = np.asarray(linear.load(str(path), fmt="fs").matrix, dtype=np.float64).reshape(-1, 4, 4)
    except Exception as error:
        raise InputError(f"'{path.name}' cannot be read as a FreeSurfer transform; it is damaged.") from error
    if len(matrix) != 1 or not np.isfinite(matrix).all():
        raise InputError(f"'{path.name}' holds {len(matrix)} transforms; give one.")
    return matrix[0]
