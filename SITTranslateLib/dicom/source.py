"""The DICOM series of a scan: patient, study, frame of reference, and the instance of each slice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.dicom import is_dicom, series_files
from SITTranslateLib.volume import Grid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: mm by which a slice of the file may lie off the slice of the volume.
_TOLERANCE = 0.05


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """Headers of a series in the order of a volume's slices.

    Attributes:
        slices: one dataset for each slice k of the volume (without pixels); a single one of several frames if the
            series is one multi-frame instance.
        grid: the volume's grid.
    """

    slices: tuple[Dataset, ...]
    grid: Grid

    @classmethod
    def of(cls, path: str | os.PathLike[str], grid: Grid) -> SourceSeries:
        """The series that a volume of this grid was read from.

        Args:
            path: the folder or file that was given to :func:`SITTranslateLib.files.read_volume`.
            grid: of the volume that was read.

        Raises:
            InputError: pydicom is missing, the scan is not DICOM, or the series is another one by now.
        """
        require("pydicom")
        import pydicom
        from pydicom.errors import InvalidDicomError

        place = Path(path)
        if not place.is_dir() and not (place.is_file() and is_dicom(place)):
            raise InputError(
                f"'{place.name}' is no DICOM scan, and only of one can a DICOM result be made, which carries on its "
                "patient and study; give the DICOM folder, or leave --dicom out."
            )
        files = series_files(place)
        try:
            found = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        except (OSError, InvalidDicomError, ValueError) as error:
            raise InputError(f"The DICOM series of '{place.name}' cannot be read again; a file is damaged.") from error
        if len(found) == 1 and int(found[0].get("NumberOfFrames", 1) or 1) > 1:
            return cls((found[0],), grid)
        return cls(tuple(_in_order(found, grid, place.name)), grid)

    @property
    def first(self) -> Dataset:
        """The header of the first slice, for what all slices share."""
        return self.slices[0]

    @property
    def multi_frame(self) -> bool:
        """Whether one instance holds all slices."""
        return len(self.slices) == 1 and self.grid.shape[0] > 1

    def slice(self, k: int) -> Dataset:
        """The instance of slice k."""
        return self.slices[0] if self.multi_frame else self.slices[k]


def require(*names: str) -> None:
    """Raise an :class:`InputError` naming what to install if one of these packages is missing."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise InputError(
            f"DICOM results need {' and '.join(missing)}; install with pip install 'sittranslate[dicom]', in Slicer "
            "with slicer.util.pip_install('highdicom')."
        )


def _in_order(found: Sequence[Dataset], grid: Grid, name: str) -> list[Dataset]:
    """The slices sorted as the volume's, each held against the place where the volume has it."""
    # pydicom gives LPS; x and y change sign.
    positions = np.array([ras(one.get("ImagePositionPatient", [np.nan] * 3)) for one in found])
    planes = grid.to_world(np.array([[0.0, 0.0, k] for k in range(grid.shape[0])]))
    distances = np.linalg.norm(planes[:, None] - positions[None], axis=2)
    nearest = distances.argmin(axis=1) if len(found) else np.empty(0, dtype=int)
    matched = len(found) == len(planes) and len(set(nearest.tolist())) == len(planes)
    if not matched or not bool((distances.min(axis=1) < _TOLERANCE).all()):
        raise InputError(f"The DICOM series of '{name}' does not have the slices of the scan that was translated.")
    return [found[index] for index in nearest]


def ras(lps: object) -> NDArray[np.float64]:
    """Three coordinates from LPS to RAS (and back)."""
    return np.array([float(v) for v in lps], dtype=np.float64) * (-1.0, -1.0, 1.0)  # type: ignore[attr-defined]
