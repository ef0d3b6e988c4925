"""A forecast from the panel: two visits are chosen, and what comes of them is shown; what cannot be done is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_package
from harness import Harness
from synthetic_translation import synthetic_translation
from worker_here import WorkerHere

from SITTranslateLib.host.client import HostClient
from SITTranslateLib.host.protocol import Request
from SITTranslateLib.host.requests import ForecastRequest
from SITTranslateLib.scene.contours import has_contours
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node
from SITTranslateLib.structure_table import StructureVolume, StructureVolumes
from SITTranslateLib.translate import forecasting, structures
from SITTranslateLib.ui import results


def test_two_visits_are_asked_for(panel: Any, scene: Any, head_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    section = panel.forecast
    assert not section.ui.forecastButton.isEnabled()
    section.ui.firstVisitSelector.setCurrentNode(head_node)
    section.ui.secondVisitSelector.setCurrentNode(head_node)
    section.ui.forecastButton.click()
    assert "same scan" in section.ui.forecastLabel.text
    later = add_volume_node(scene, tiny_package.head(), "later")
    section.ui.secondVisitSelector.setCurrentNode(later)
    section.ui.daysSpinBox.value, section.ui.forecastYearsSpinBox.value = 200.0, 4.0
    section.ui.normComboBox.setCurrentText("ms")
    asked: list[ForecastRequest] = []
    monkeypatch.setattr(panel.session, "_start", lambda request, node, **_more: asked.append(request))
    section.ui.forecastButton.click()
    request = asked[0]
    assert request.kind is Request.FORECAST and (request.days, request.years, request.preset) == (200.0, 4.0, "ms")
    assert request.second.name == "later" and request.age == 60.0
    assert "Working" in section.ui.forecastLabel.text


@pytest.fixture
def visits_to_the_worker(slicer_harness: Harness, own_host: None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches the computation, which answers with a known translation of the second visit and its intervals."""
    from SITTranslateLib.ui.structures_section import StructuresSection

    asked: list[Any] = []

    def forecast(first: Any, second: Any, *, days: float, years: float, **more: Any) -> forecasting.Forecast:
        asked.append((first, second, days, years, more["preset"], more["age"]))
        ventricles = StructureVolume("lateral ventricle", "both", 20.0, 20.0 + years)
        found = StructureVolumes((ventricles,), "95 % intervals, mL: lateral ventricles 21.0 to 27.0.")
        return forecasting.Forecast(replace(synthetic_translation(), given_structures=found), (), days, years, 0.2)

    def drawn(translation: Any) -> Any:
        labels = translation.source.with_array(np.zeros(translation.source.shape, np.float32))
        labels.array[14:22, 14:22, 14:22] = 4
        return translation.known_structures, labels, {4: "left lateral ventricle"}

    monkeypatch.setattr(structures, "structures_to_draw", drawn)
    monkeypatch.setattr(forecasting, "forecast", forecast)
    monkeypatch.setattr(results, "HostClient", lambda: HostClient(WorkerHere))
    monkeypatch.setattr(StructuresSection, "automatic", True)
    return asked


def test_a_forecast_is_shown_on_the_second_visit_with_its_intervals(
    visits_to_the_worker: list[Any], panel: Any, slicer_harness: Harness, scene: Any
) -> None:
    scan = synthetic_translation().source
    first = add_volume_node(scene, scan.with_array(0.5 * scan.array), "first")
    second = add_volume_node(scene, scan, "second")
    section = panel.forecast
    section.ui.firstVisitSelector.setCurrentNode(first)
    section.ui.secondVisitSelector.setCurrentNode(second)
    section.ui.daysSpinBox.value, section.ui.forecastYearsSpinBox.value = 700.0, 4.0
    section.ui.visitAgeSpinBox.value = 71.0
    section.ui.forecastButton.click()
    assert not section.ui.forecastButton.isEnabled() and panel.session.running
    slicer_harness.wait(lambda: not panel.session.running, what="the forecast")
    ((before, after, days, years, preset, age),) = visits_to_the_worker
    assert np.array_equal(after.array, scan.array) and np.array_equal(before.array, 0.5 * scan.array)
    assert (days, years, preset, age) == (700.0, 4.0, "healthy-ageing", 71.0)
    shown = panel.session.shown
    assert shown is not None, panel.apply.ui.messageLabel.text
    assert shown.nodes.source is second
    assert np.allclose(volume_from_node(shown.nodes.translated).array, shown.translation.translated.array)
    assert shown.nodes.translated.GetAttribute("SITTranslate.Synthetic") == "1"
    words = panel.structures.ui.structuresLabel.text
    assert "Lateral ventricles 20.0 to 24.0 mL (+20 %)" in words and "21.0 to 27.0" in words
    slicer_harness.wait(lambda: has_contours(shown.nodes) and not panel.session.busy, what="the contours")
    # Neither visit was changed, and another forecast can be asked for.
    assert np.array_equal(volume_from_node(second).array, scan.array)
    assert section.ui.forecastButton.isEnabled() and section.ui.forecastLabel.text == ""
