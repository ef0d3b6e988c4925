"""A translation as a folder of DICOM objects, written completely or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.dicom.source import SourceSeries, require, require_segments
from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from SITTranslateLib.traceability.table import SegmentRow
    from SITTranslateLib.translation import Translation

#: Below the folder: the series, a file a slice, and one file for each other part.
SERIES = "translated"
MOTION, SEGMENTS, SEGMENTS_AFTER, VOLUMES = "motion.dcm", "segments.dcm", "segments_translated.dcm", "volumes.dcm"


def write_dicom(
    translation: Translation,
    source: SourceSeries,
    folder: str | os.PathLike[str],
    labels: Volume | None = None,
    names: dict[int, str] | None = None,
    rows: list[SegmentRow] | None = None,
) -> list[Path]:
    """Write the translated scan, its motion, and with a label map the segments and their volumes.

    Args:
        translation: on the grid of the source series.
        source: the series that was translated.
        folder: a new one.
        labels: label map of the source, on its grid.
        names: of the labels.
        rows: of the segment table of these labels; gives the report of volumes.

    Returns:
        The files.

    Raises:
        InputError: a package is missing, the folder exists, the series is another one, or it cannot be written.
    """
    require("pydicom")
    if labels is not None:
        require_segments(source)
    target = Path(folder)
    if target.exists():
        raise InputError(f"The folder '{target.name}' exists; give a new one for the DICOM files.")
    if not translation.translated.grid.matches(source.grid):
        raise InputError("The translation does not lie on the grid of the DICOM series that was given as its source.")
    objects = _objects(translation, source, labels, names or {}, rows or [])
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        (part / SERIES).mkdir(parents=True)
        for name, made in objects.items():
            made.save_as(part / name, enforce_file_format=True)
        part.rename(target)
    except OSError as error:
        raise InputError(f"The folder '{target.name}' cannot be written: the place is missing or full.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [target / name for name in objects]


def _objects(
    translation: Translation,
    source: SourceSeries,
    labels: Volume | None,
    names: dict[int, str],
    rows: list[SegmentRow],
) -> dict[str, Dataset]:
    from pydicom.uid import generate_uid

    from SITTranslateLib.dicom.registration import registration_object
    from SITTranslateLib.dicom.series import translated_series

    series = translated_series(translation, source, generate_uid(prefix=None))
    objects: dict[str, Dataset] = {f"{SERIES}/{k + 1:04d}.dcm": one for k, one in enumerate(series)}
    if translation.sampling is not None:
        objects[MOTION] = registration_object(translation, source, series)
    if labels is None:
        return objects
    from SITTranslateLib.dicom.segmentation import segmentation_object

    whole = labels.with_array(np.rint(labels.array))
    before = segmentation_object(whole, names, source.slices, source, 2, "Segments of the source")
    carried = whole if translation.sampling is None else fields.warp(whole, translation.sampling, "nearest")
    after = segmentation_object(carried, names, series, source, 3, "SYNTHETIC segments, carried by the motion")
    objects |= {SEGMENTS: before, SEGMENTS_AFTER: after}
    if rows:
        from SITTranslateLib.dicom.measurements import measurement_report

        objects[VOLUMES] = measurement_report(rows, translation.provenance, source, before, after, series)
    return objects
