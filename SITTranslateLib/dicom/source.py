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
_NOWHERE = (np.nan,) * 3


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """Headers of a series in the order of a volume's slices.

    Attributes:
        slices: one dataset for each slice k of the volume (without pixels); a single one of several frames if the
            series is one multi-frame instance.
        grid: the volume's grid.
        frames: of a multi-frame instance, the frame (from 0) that holds slice k; empty otherwise.
    """

    slices: tuple[Dataset, ...]
    grid: Grid
    frames: tuple[int, ...] = ()

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
            order = _order(_frame_positions(found[0]), grid, place.name)
            return cls((found[0],), grid, tuple(order.tolist()))
        order = _order([one.get("ImagePositionPatient", _NOWHERE) for one in found], grid, place.name)
        return cls(tuple(found[index] for index in order), grid)

    @property
    def first(self) -> Dataset:
        """The header of the first slice, for what all slices share."""
        return self.slices[0]

    @property
    def multi_frame(self) -> bool:
        """Whether one instance holds all slices."""
        return bool(self.frames)

    def slice(self, k: int) -> Dataset:
        """The instance of slice k."""
        return self.slices[0] if self.multi_frame else self.slices[k]


def require_segments(source: SourceSeries) -> None:
    """Raise an :class:`InputError` if segments of this series cannot be written."""
    require("highdicom")
    if not source.first.get("FrameOfReferenceUID"):
        raise InputError(
            "The DICOM series has no Frame of Reference UID, which a DICOM SEG must name; leave the segments out, or "
            "take a series that has one."
        )


def require(*names: str) -> None:
    """Raise an :class:`InputError` naming what to install if one of these packages is missing."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise InputError(
            f"DICOM results need {' and '.join(missing)}; install with pip install 'sittranslate[dicom]', in Slicer "
            "with slicer.util.pip_install('highdicom')."
        )


def _frame_positions(instance: Dataset) -> list[object]:
    """ImagePositionPatient of every frame of a multi-frame instance."""
    shared = instance.get("SharedFunctionalGroupsSequence") or [{}]
    positions: list[object] = []
    for frame in instance.get("PerFrameFunctionalGroupsSequence") or []:
        plane = frame.get("PlanePositionSequence") or shared[0].get("PlanePositionSequence") or [{}]
        positions.append(plane[0].get("ImagePositionPatient", _NOWHERE))
    return positions


def _order(positions: Sequence[object], grid: Grid, name: str) -> NDArray[np.intp]:
    """Which of the positions is that of each slice of the volume, held against the place where the volume has it."""
    # pydicom gives LPS; x and y change sign.
    places = np.array([ras(position) for position in positions]).reshape(-1, 3)
    planes = grid.to_world(np.array([[0.0, 0.0, k] for k in range(grid.shape[0])]))
    distances = np.linalg.norm(planes[:, None] - places[None], axis=2)
    nearest = distances.argmin(axis=1) if len(places) else np.empty(0, dtype=np.intp)
    matched = len(places) == len(planes) and len(set(nearest.tolist())) == len(planes)
    if not matched or not bool((distances.min(axis=1) < _TOLERANCE).all()):
        raise InputError(f"The DICOM series of '{name}' does not have the slices of the scan that was translated.")
    return nearest


def ras(lps: object) -> NDArray[np.float64]:
    """Three coordinates from LPS to RAS (and back)."""
    return np.array([float(v) for v in lps], dtype=np.float64) * (-1.0, -1.0, 1.0)  # type: ignore[attr-defined]
