"""The procedural head in Slicer's Sample Data module."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import sample_head
import slicer
from harness import Harness


class SampleDataLogic:
    """What Slicer's own class asks of a source: lists of equal length, each entry a file."""

    sources: ClassVar[dict[str, list[dict[str, Any]]]] = {}

    @classmethod
    def registerCustomSampleDataSource(
        cls, category: str, sampleName: str, uris: Any, fileNames: Any, nodeNames: Any, checksums: Any,
        loadFiles: Any, loadFileTypes: Any, customDownloader: Any, thumbnailFileName: str,
    ) -> None:  # fmt: skip
        lengths = {len(part) for part in (uris, fileNames, nodeNames, checksums, loadFiles, loadFileTypes)}
        if len(lengths) != 1:
            raise ValueError("All fields of sample data source must have the same length")
        cls.sources.setdefault(category, []).append({"name": sampleName, "make": customDownloader})


@pytest.fixture
def source(slicer_harness: Harness, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from SITTranslateLib.ui.samples import register

    monkeypatch.setattr(SampleDataLogic, "sources", {})
    register(types.SimpleNamespace(SampleDataLogic=SampleDataLogic), "thumbnail.png", str(sample_head.FILE))
    (registered,) = SampleDataLogic.sources["SITTranslate"]
    return registered


def test_its_button_makes_and_shows_a_scan_with_its_segments(
    source: dict[str, Any], scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **layers: shown.append(layers))
    head = source["make"](object())
    assert shown == [{"background": head, "fit": True}]
    assert scene.IsNodePresent(head)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_the_file_is_the_procedural_head() -> None:
    from SITTranslateLib.ui.samples import read_head

    scan, labels = read_head(sample_head.FILE)
    made = sample_head.parts()
    np.testing.assert_allclose(scan.array, made["scan"], atol=1.0)
    np.testing.assert_array_equal(labels.array, made["labels"])
    np.testing.assert_array_equal(scan.affine, made["affine"])
    assert sample_head.FILE.stat().st_size < 700_000


def test_what_goes_wrong_is_shown(source: dict[str, Any], scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from SITTranslateLib.errors import InputError
    from SITTranslateLib.ui import samples

    def fails(_file: Any) -> None:
        raise InputError("The file is gone.")

    monkeypatch.setattr(samples, "add_head", fails)
    # Slicer shows no windows while it is tested.
    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda _app: False)
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *_, **__: shown.append(text))
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError):
        source["make"](object())
    assert "The file is gone." in shown[0]
    assert scene.GetNumberOfNodes() == count


def test_the_modules_own_test_passes(module: Any, models: Path, scene: Any) -> None:
    # What the Extensions Index runs in Slicer.
    ran = module.SITTranslateTest().run()
    assert ran.testsRun == 1 and not ran.skipped
    assert [text for _test, text in (*ran.errors, *ran.failures)] == []
