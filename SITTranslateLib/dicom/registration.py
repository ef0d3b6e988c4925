"""The sampling field as a Deformable Spatial Registration (PS3.3 A.39.2): the source position of each point.

The grid of the object lies in the space of the registered image, here the translated scan, and its vectors lead to the
source: ``x_source = x + vector(x)`` in LPS mm, the sampling field itself (PS3.3 C.20.3.1.3).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from SITTranslateLib.dicom.modules import (
    coded,
    common_references,
    contributing_equipment,
    new_object,
    plain,
    reference,
    said,
    series_number,
)
from SITTranslateLib.dicom.source import SourceSeries, ras, require
from SITTranslateLib.errors import InputError
from SITTranslateLib.files.checks import check_affine, check_shape
from SITTranslateLib.volume import VectorField

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from SITTranslateLib.translation import Translation

STORAGE = "1.2.840.10008.5.1.4.1.1.66.3"


def registration_object(translation: Translation, source: SourceSeries, translated: Sequence[Dataset]) -> Dataset:
    """The sampling field of a translation as one object; not yet written.

    Args:
        translation: has a sampling field.
        source: what the vectors lead to.
        translated: instances of the translated scan, where they begin.
    """
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    assert translation.sampling is not None
    made = new_object(
        source, STORAGE, "REG", generate_uid(prefix=None), series_number(source, 1),
        plain(["SYNTHETIC motion", said(translation.provenance)]), 1,
    )  # fmt: skip
    made.ContentLabel = "MOTION"
    made.ContentDescription = "Where each point of the translated scan comes from"
    made.ContentCreatorName = ""
    made.ContributingEquipmentSequence = contributing_equipment(source, translation.provenance)
    originals = list(source.slices)
    item = Dataset()
    item.SourceFrameOfReferenceUID = made.FrameOfReferenceUID
    item.ReferencedImageSequence = [reference(one) for one in originals]
    item.RegistrationTypeCodeSequence = [coded(codes.DCM.ImageContentBasedAlignment)]
    item.RegistrationTypeCodeSequence[0].CodeMeaning = "Image Content-based Alignment"
    item.DeformableRegistrationGridSequence = [_grid_item(translation.sampling)]
    made.DeformableRegistrationSequence = [item]
    made.ReferencedSeriesSequence = common_references([*originals, *translated])
    return made


def read_registration(path: str | os.PathLike[str]) -> VectorField:
    """The field of a Deformable Spatial Registration: a vector from each registered point to the source, RAS mm.

    Raises:
        InputError: not such an object, without a grid, or with matrices around its grid that are not the identity.
    """
    require("pydicom")
    import pydicom
    from pydicom.errors import InvalidDicomError

    name = Path(path).name
    try:
        read = pydicom.dcmread(path)
        if str(read.get("SOPClassUID", "")) != STORAGE:
            raise InputError(f"'{name}' is not a Deformable Spatial Registration.")
        items = [one for one in read.DeformableRegistrationSequence if "DeformableRegistrationGridSequence" in one]
        if len(items) != 1:
            raise InputError(f"'{name}' holds {len(items)} grids of vectors; one is wanted.")
        for keyword in ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence"):
            for matrix in items[0].get(keyword, []):
                values = np.array(matrix.FrameOfReferenceTransformationMatrix, dtype=float)
                if not np.allclose(values.reshape(4, 4), np.eye(4), atol=1e-9):
                    raise InputError(f"'{name}' has a matrix beside its grid, which is not read; give the grid alone.")
        grid = items[0].DeformableRegistrationGridSequence[0]
        i, j, k = (int(n) for n in grid.GridDimensions)
        check_shape((k, j, i), f"'{name}'")
        array = np.frombuffer(grid.VectorGridData, dtype="<f4").reshape(k, j, i, 3).copy()
        orientation = [float(v) for v in grid.ImageOrientationPatient]
        rows, columns = ras(orientation[:3]), ras(orientation[3:])
        # LPS to RAS keeps handedness, so that the normal is the cross product there too.
        axes = np.stack([rows, columns, np.cross(rows, columns)], axis=1) * [float(v) for v in grid.GridResolution]
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = axes, ras(grid.ImagePositionPatient)
    except InputError:
        raise
    except (AttributeError, InvalidDicomError, OSError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"'{name}' cannot be read as a Deformable Spatial Registration; it is damaged.") from error
    check_affine(affine, f"'{name}'")
    array[..., :2] *= -1.0
    if not np.isfinite(array).all():
        raise InputError(f"'{name}' holds vectors that are not numbers (NaN or infinite).")
    return VectorField(array, affine)


def _grid_item(field: VectorField) -> Dataset:
    """Place and vectors of the grid. Its third axis is the cross product of the others: a mirrored grid is turned."""
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat

    vectors, grid = field.array, field.grid
    affine = grid.affine.copy()
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 3] += affine[:3, 2] * (grid.shape[0] - 1)
        affine[:3, 2] *= -1.0
        vectors = vectors[::-1]
    lps = np.diag([-1.0, -1.0, 1.0])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = lps @ affine[:3, :3] / spacing
    item = Dataset()
    item.ImageOrientationPatient = [DSfloat(float(v), auto_format=True) for v in directions[:, :2].T.ravel()]
    item.ImagePositionPatient = [DSfloat(float(v), auto_format=True) for v in lps @ affine[:3, 3]]
    item.GridDimensions = [int(n) for n in grid.shape[::-1]]
    item.GridResolution = [float(v) for v in spacing]
    flipped = vectors * np.array([-1.0, -1.0, 1.0], dtype=np.float32)
    item.VectorGridData = np.ascontiguousarray(flipped, dtype="<f4").tobytes()
    return item
