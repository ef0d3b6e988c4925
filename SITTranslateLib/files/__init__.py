"""Scans, label maps and fields as files: the only package that uses LPS and file formats.

``reading`` opens anything SimpleITK reads and refuses what is not one scalar 3D scan; ``dicom`` turns a series into
one volume; ``checks`` tests a scan from any origin; ``writing`` writes through a temporary name, so that no
file is left half-written.
"""

from __future__ import annotations

from SITTranslateLib.files.checks import check_volume
from SITTranslateLib.files.reading import read_field, read_labels, read_volume
from SITTranslateLib.files.writing import place_image, replace_folder, write_field, write_volume

__all__ = [
    "check_volume",
    "place_image",
    "read_field",
    "read_labels",
    "read_volume",
    "replace_folder",
    "write_field",
    "write_volume",
]
