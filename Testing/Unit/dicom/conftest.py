"""A translation written as DICOM; skips the tests of this folder where highdicom is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

import dicom_series
from dicom_results import NAMES, labels_of, translation_of

from SITTranslateLib.dicom import SourceSeries, write_dicom
from SITTranslateLib.files import read_volume
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.translation import Translation


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Translation, list[object]]:
    """Series, folder of the DICOM files made of it, the translation and the rows of its segment table."""
    folder = tmp_path_factory.mktemp("dicom")
    series = dicom_series.write(folder / "series")
    scan = read_volume(series)
    result = translation_of(scan)
    labels = labels_of(scan)
    rows = segment_table(result, labels, NAMES).rows
    write_dicom(result, SourceSeries.of(series, scan.grid), folder / "out", labels, NAMES, list(rows))
    return series, folder / "out", result, list(rows)
