"""The module adds its plugin to Slicer's Segment Statistics when the application has started, once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).resolve().parents[1] / "Scene" / "segment_statistics_module.py"


@pytest.fixture
def logic(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("segment_statistics_module", STAND_IN)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.install(monkeypatch)


def test_it_is_there_once_the_application_has_started(slicer_harness: Any, module: Any, logic: Any) -> None:
    import slicer

    assert logic.registeredPlugins == []
    slicer.app.startupCompleted.emit()
    assert [plugin.__name__ for plugin in logic.registeredPlugins] == ["SITTranslateSegmentStatisticsPlugin"]
