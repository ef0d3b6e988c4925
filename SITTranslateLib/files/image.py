"""An image as parsed from a file, before a scan, label map or field is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError


@dataclass(frozen=True, eq=False)
class StoredImage:
    """Contents of a file and their position.

    Attributes:
        values: as stored, ``(T, K, J, I, C)``: frames, voxels, components.
        affine: 4x4 from (i, j, k) to RAS mm.
        slope, intercept: what makes native units of the values.
        is_sequence: the frames are those of a Slicer sequence.
        is_lps: vectors have their components in LPS and not in RAS.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]
    slope: float = 1.0
    intercept: float = 0.0
    is_sequence: bool = False
    is_lps: bool = True

    def scan(self, frame: int | None, name: str) -> NDArray[Any]:
        """One scalar 3D image ``(K, J, I)`` in native units: as stored, or float64 where it is scaled.

        Raises:
            InputError: 2D, several values a voxel, several frames and none chosen, or a frame that is not there.
        """
        frames, slices, _, _, components = self.values.shape
        if self.values.dtype.kind == "c":
            raise InputError(f"{name} has complex values; give its magnitude.")
        if components > 1:
            raise InputError(f"{name} has {components} values a voxel (colour or vectors); give a scan with one.")
        if slices == 1:
            raise InputError(f"{name} is a 2D image (one slice); a 3D scan is needed.")
        if frame is not None and (isinstance(frame, bool) or not isinstance(frame, (int, np.integer))):
            raise InputError(f"{name}: a frame is a whole number from 0, not '{str(frame)[:20]}'.")
        if frames > 1 and frame is None:
            what = f"a sequence of {frames} images" if self.is_sequence else f"4D ({frames} images in one file)"
            raise InputError(f"{name} is {what}; say which one with a frame number from 0.")
        if not 0 <= (frame or 0) < frames:
            raise InputError(f"{name} has no frame {frame}: frames go from 0 to {frames - 1}.")
        return self._scaled(self.values[frame or 0, ..., 0])

    def vectors(self, name: str) -> NDArray[np.float32]:
        """A field ``(K, J, I, 3)`` with components along R, A, S.

        Raises:
            InputError: not one image of three components.
        """
        if self.values.shape[0] != 1 or self.values.shape[4] != 3 or self.values.dtype.kind not in "iuf":
            raise InputError(f"{name} is not a field of 3D vectors; give a displacement field.")
        field = self._scaled(self.values[0]).astype(np.float32)
        if self.is_lps:
            field[..., :2] *= -1.0
        return field

    def _scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.slope == 1.0 and self.intercept == 0.0:
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(np.float64) * self.slope + self.intercept
