"""DICOM by pydicom: classic series and multi-frame files as one volume.

``series`` finds the files that belong together, ``slices`` reads position and scaling of every
frame, ``stack`` checks that they are one volume without gaps, and ``pixels`` reads the values.
"""

from __future__ import annotations

from SITTranslateLib.files.dicom.series import is_dicom, read_series, series_files

__all__ = ["is_dicom", "read_series", "series_files"]
