"""Translations as DICOM objects for a PACS.

``source`` holds the series that was translated; ``series`` writes the translated scan as a derived series,
``registration`` the sampling field as a Deformable Spatial Registration, ``segmentation`` label maps as DICOM SEG,
``measurements`` the volumes as a structured report (TID 1500); ``export`` writes all of them into one folder.

pydicom writes the first two, highdicom the others; both are imported at the first use.
"""

from __future__ import annotations

from SITTranslateLib.dicom.export import write_dicom
from SITTranslateLib.dicom.registration import read_registration
from SITTranslateLib.dicom.source import SourceSeries

__all__ = ["SourceSeries", "read_registration", "write_dicom"]
