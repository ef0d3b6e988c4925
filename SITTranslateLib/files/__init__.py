"""Scans, label maps and fields as files: the only package that uses LPS and file formats.

``reading`` opens anything SimpleITK reads and refuses what is not one scalar 3D scan; ``headers`` looks at sizes
before a byte of image data is decompressed; ``dicom`` turns a series into one volume; ``checks`` says what a scan
must be, wherever it comes from; ``writing`` writes through a temporary name, so that nothing is left half-written.
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
