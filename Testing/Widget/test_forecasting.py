"""A forecast from the panel: two visits are chosen, and what cannot be done is said."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_package

from SITTranslateLib.host.protocol import Request
from SITTranslateLib.host.requests import ForecastRequest
from SITTranslateLib.scene.volumes import add_volume_node


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
