"""NIfTI-1, NIfTI-2, Analyze and MGH, by nibabel's headers; only the named file is opened.

nibabel parses the header; the voxels are read here by what it says, so that a cut file, a bomb or a broken checksum
is seen before anything is handed on, and no file beside the named one is tried (of a pair, only its other half).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import stream
from SITTranslateLib.files.beside import data_beside
from SITTranslateLib.files.image import StoredImage

#: mm by which the corners of a scan may differ between sform and qform: single precision, and no more.
LARGEST_DISAGREEMENT_MM = 0.1
#: mm; no number of a scan's position or voxel size comes near.
_FARTHEST = 1e7
_MM = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
#: Intent of vectors whose components NIfTI and ITK take as RAS.
_DISPLACEMENTS = 1006
_ENDINGS = (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img", ".mgz", ".mgh")


def is_named_so(path: Path) -> bool:
    """Whether a file's ending is one of these formats'."""
    return path.name.lower().endswith(_ENDINGS)


def read(path: Path) -> StoredImage:
    """The image of a NIfTI, Analyze or MGH file, or of a pair by one of its halves.

    Raises:
        InputError: truncated, damaged, or two positions that disagree.
    """
    name, lower = f"'{path.name}'", path.name.lower()
    if lower.endswith((".mgz", ".mgh")):
        return _read_mgh(path, name)
    if lower.endswith((".hdr", ".hdr.gz", ".img", ".img.gz")):
        return _read_pair(path, name)
    with stream.opened(path, name) as file:
        header = _header(file, name)
        if not _is_single(header):
            raise InputError(f"{name} is the header of a pair with the wrong ending, or no NIfTI file; check it.")
        return _image(header, file, path.stat().st_size, name, single=True)


def frame_count(path: Path) -> int:
    """Frames by the header alone.

    Raises:
        InputError: not a header of these formats.
    """
    name = f"'{path.name}'"
    with stream.opened(path, name) as file:
        return _shape(_header(file, name), name)[3]


def _read_pair(path: Path, name: str) -> StoredImage:
    stem, half = path.name, ""
    for ending in (".hdr.gz", ".img.gz", ".hdr", ".img"):
        if stem.lower().endswith(ending):
            stem, half = stem[: -len(ending)], ending
            break
    header_path = path if half.startswith(".hdr") else _other_half(path, stem, half, "hdr")
    image_path = path if half.startswith(".img") else _other_half(path, stem, half, "img")
    with stream.opened(header_path, name) as file:
        header = _header(file, name)
    if _is_single(header):
        raise InputError(f"{name} is a single NIfTI file with the ending of a pair; rename it to end in .nii.")
    with stream.opened(image_path, name) as file:
        return _image(header, file, image_path.stat().st_size, name, single=False)


def _other_half(path: Path, stem: str, half: str, kind: str) -> Path:
    """The other file of a pair: packed if this one is, as nibabel writes them, or else the one that is there."""
    packed = half.endswith(".gz")
    names = [f"{stem}.{kind}.gz", f"{stem}.{kind}"] if packed else [f"{stem}.{kind}", f"{stem}.{kind}.gz"]
    if path.name[len(stem) + 1].isupper():
        names = [stem + name[len(stem) :].upper() for name in names]
    return data_beside(path, next((name for name in names if (path.parent / name).is_file()), names[0]))


def _header(file: IO[bytes], name: str) -> Any:
    """The header by nibabel, of the kind of its first bytes."""
    from nibabel.analyze import AnalyzeHeader
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    head = file.read(348)
    if len(head) < 348:
        raise InputError(f"{name} is truncated: it ends inside its header.")
    size = {int.from_bytes(head[:4], order) for order in ("little", "big")}
    kind: Any = Nifti1Header if head[344:347] in (b"n+1", b"ni1") else AnalyzeHeader
    if 540 in size:
        kind, head = Nifti2Header, head + file.read(192)
    elif 348 not in size:
        raise InputError(f"{name} is damaged: its header says that it has {min(size)} bytes instead of 348 or 540.")
    if len(head) < kind.template_dtype.itemsize:
        raise InputError(f"{name} is truncated: it ends inside its header.")
    order = "<" if int.from_bytes(head[:4], "little") in (348, 540) else ">"
    header = kind(head, endianness=order, check=False)
    if kind is Nifti2Header and header["magic"].item() not in (b"n+2", b"ni2"):
        raise InputError(f"{name} is damaged: its header is neither NIfTI-1 nor NIfTI-2.")
    return header


def _is_single(header: Any) -> bool:
    return "magic" in header and header["magic"].item() in (b"n+1", b"n+2")


def _shape(header: Any, name: str) -> tuple[int, ...]:
    """Size as (I, J, K, T, C); NIfTI has components on its fifth axis."""
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        size = " x ".join(str(n) for n in dims[1:4])
        raise InputError(f"{name} is empty or damaged: its header gives the size {size}.")
    shape = dims[1 : dims[0] + 1] + [1] * (7 - dims[0])
    if max(shape[5:]) > 1:
        raise InputError(f"{name} has {dims[0]} dimensions; a 3D scan is needed.")
    return tuple(shape[:5])


def _image(header: Any, file: IO[bytes], held_bytes: int, name: str, single: bool) -> StoredImage:
    shape = _shape(header, name)
    kind, components = _voxel_type(header, name)
    promise = stream.Promise(shape[:4], shape[4] * components, kind.itemsize)
    stream.check_promise(promise, name, held_bytes)
    _skip_to_image(header, file, single, name)
    affine, slope, intercept = _affine(header, shape, name), *_scaling(header, name)
    flat = stream.read_array(file, promise, kind, name)
    stream.rest(file, name)
    # In the file colours change fastest, then i, j, k and t, and the components of vectors slowest.
    values = np.moveaxis(flat.reshape((*shape[::-1], components)), 0, -2).reshape((*shape[3::-1], -1))
    is_lps = "intent_code" not in header or int(header["intent_code"]) != _DISPLACEMENTS
    return StoredImage(values, affine, slope, intercept, is_lps=is_lps)


def _voxel_type(header: Any, name: str) -> tuple[np.dtype[Any], int]:
    from nibabel.spatialimages import HeaderDataError

    try:
        kind = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise InputError(f"{name} has voxels of a type that is not known.") from error
    components = 1
    if kind.fields is not None:
        components, kind = len(kind.fields), np.dtype(np.uint8)
    if kind.kind not in "iufc" or kind.itemsize > 16 or (kind.kind == "f" and kind.itemsize > 8):
        raise InputError(f"{name} has voxels of a type that is not read ({kind.name}).")
    if "bitpix" in header and int(header["bitpix"]) != kind.itemsize * 8 * components:
        raise InputError(f"{name} is damaged: its header gives {int(header['bitpix'])} bits a voxel of type {kind}.")
    return kind, components


def _skip_to_image(header: Any, file: IO[bytes], single: bool, name: str) -> None:
    offset = float(header["vox_offset"])
    read = header.template_dtype.itemsize if single else 0
    if not math.isfinite(offset) or offset != int(offset) or abs(offset) > 1 << 26:
        raise InputError(f"{name} is damaged: its header says that the image begins at byte {offset:g}.")
    if offset < (read + 4 if single else 0):
        raise InputError(f"{name} is damaged: its image would begin inside its header (byte {offset:g}).")
    stream.skip(file, int(offset) - read, name)


def _scaling(header: Any, name: str) -> tuple[float, float]:
    from nibabel.spatialimages import HeaderDataError

    try:
        if "scl_slope" in header and math.isinf(float(header["scl_slope"])):
            raise HeaderDataError
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"{name} is damaged: its slope or intercept is not a number.") from error
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept or 0.0))


def _affine(header: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    """IJK to RAS mm by sform, else qform, else nibabel's convention for files without either."""
    from nibabel.spatialimages import HeaderDataError

    numbers = [header["pixdim"][1:4]]
    codes = [int(header[key]) for key in ("sform_code", "qform_code")] if "sform_code" in header else [0, 0]
    if not all(0 <= code <= 5 for code in codes):
        raise InputError(f"{name} is damaged: its header gives the codes {codes[0]} and {codes[1]} for its position.")
    if codes[0]:
        numbers += [header[f"srow_{axis}"] for axis in "xyz"]
    if codes[1]:
        numbers += [header[f"quatern_{axis}"] for axis in "bcd"] + [header[f"qoffset_{axis}"] for axis in "xyz"]
    flat = np.concatenate([np.atleast_1d(n) for n in numbers]).astype(np.float64)
    if not np.isfinite(flat).all() or np.abs(flat).max() > _FARTHEST:
        raise InputError(f"{name} is damaged: its header gives a position or voxel size beyond any scan's.")
    zooms = np.asarray(header["pixdim"][1:4], np.float64)
    if not codes[0] and (zooms <= 0).any():
        raise InputError(f"{name} is damaged: its header gives a voxel size of 0 or less.")
    if codes[1] and header["pixdim"][0] == 0:
        # The standard takes no sign for a right-handed grid.
        header["pixdim"][0] = 1
    try:
        qform = header.get_qform() if codes[1] and (zooms > 0).all() else None
    except (HeaderDataError, ValueError, ArithmeticError) as error:
        raise InputError(f"{name} is damaged: the quaternion in its header is no rotation.") from error
    if codes[0]:
        affine = np.asarray(header.get_sform(), np.float64)
        if qform is not None:
            _check_agreement(affine, np.asarray(qform, np.float64), shape, name)
    else:
        affine = np.asarray(header.get_base_affine() if qform is None else qform, np.float64)
    affine[:3] *= _unit(header, name)
    return affine


def _check_agreement(sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, ...], name: str) -> None:
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])], np.float64)
    apart = float(np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max())
    # A sheared sform has no qform: that it is sheared is the better sentence.
    if apart > LARGEST_DISAGREEMENT_MM and not _is_sheared(sform):
        raise InputError(
            f"{name} gives two positions in space: its sform and its qform lie up to {apart:.3g} mm apart; "
            "keep the right one, for example with fslorient -copysform2qform or -copyqform2sform."
        )


def _is_sheared(affine: NDArray[np.float64]) -> bool:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / np.maximum(spacing, 1e-30)
    return bool(spacing.min() < 1e-6 or np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3)


def _unit(header: Any, name: str) -> float:
    if "xyzt_units" not in header:
        return 1.0
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = ""
    if unit not in _MM:
        raise InputError(f"{name} gives its voxel size in a unit that is not known.")
    return _MM[unit]


def _read_mgh(path: Path, name: str) -> StoredImage:
    from nibabel.freesurfer.mghformat import MGHHeader

    with stream.opened(path, name) as file:
        head = file.read(284)
        if len(head) < 284:
            raise InputError(f"{name} is truncated: it ends inside its header.")
        header: Any = MGHHeader(head[:90], check=False)
        if int(header["version"]) != 1:
            raise InputError(f"{name} is damaged, or not an MGH file.")
        try:
            kind = header.get_data_dtype()
        except Exception as error:
            raise InputError(f"{name} has voxels of a type that is not known.") from error
        shape = tuple(int(n) for n in header["dims"])
        promise = stream.Promise(shape, 1, kind.itemsize)
        stream.check_promise(promise, name, path.stat().st_size)
        placed = bool(header["goodRASFlag"])
        numbers = np.concatenate([header["delta"], header["Mdc"].ravel(), header["Pxyz_c"]]) if placed else np.zeros(1)
        if not np.isfinite(numbers).all() or np.abs(numbers).max() > _FARTHEST:
            raise InputError(f"{name} is damaged: its header gives a position or voxel size beyond any scan's.")
        affine = np.asarray(header.get_affine(), np.float64)
        flat = stream.read_array(file, promise, kind, name)
        stream.rest(file, name)
    return StoredImage(flat.reshape((*shape[::-1], 1)), affine)
