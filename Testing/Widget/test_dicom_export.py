"""A result of a scan from Slicer's DICOM database, saved as DICOM by the panel."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dicom_series
import numpy as np
import pydicom
import pytest

from SITTranslateLib.files import read_volume
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation


def test_the_panel_saves_a_derived_series(
    panel: Any, scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    series = dicom_series.write(tmp_path / "series")
    files = {str(pydicom.dcmread(file).SOPInstanceUID): str(file) for file in series.iterdir()}
    database = SimpleNamespace(fileForInstance=files.get)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path), raising=False)
    scan = read_volume(series)
    translation = Translation(
        source=scan, translated=scan.with_array(scan.array + 7.0), velocity=None, motion=None, sampling=None,
        jacobian=None, intensity_change=None, field_origin=FieldOrigin.NONE, recomposition_error=0.0,
        provenance=Provenance(
            package="toy", version="0.1.0", sha256="ab" * 32, system="onnx", attributes={}, seed=0, device="cpu",
            source_sha256="0" * 64, created="2026-01-01T00:00:00+00:00", seconds=1.0,
        ),
    )  # fmt: skip
    node = add_volume_node(scene, scan, "scan")
    panel.session.show(translation, node, views=False)
    button = panel.change.ui.dicomButton
    assert button.isHidden(), "this node was not loaded from DICOM"
    panel.session.remove_shown()
    node.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    panel.session.show(translation, node, views=False)
    assert not button.isHidden()
    button.click()
    button.click()
    for folder in ("toy", "toy-2"):
        back = read_volume(tmp_path / folder / "translated")
        np.testing.assert_array_equal(back.array, np.rint(translation.translated.array))
    one = pydicom.dcmread(next((tmp_path / "toy" / "translated").iterdir()))
    assert one.PatientID == "P1" and "SYNTHETIC" in one.ImageType
