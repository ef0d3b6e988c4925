"""Panel section for a forecast: two visits of one person, the days between them, the years to come."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session


class ForecastSection(Section):
    """Asks for a forecast of the second visit; its intervals stand with the volumes of structures."""

    UI = "ForecastSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        for selector in (self.ui.firstVisitSelector, self.ui.secondVisitSelector):
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)
        self.ui.forecastButton.clicked.connect(self._on_forecast)
        session.changed.connect(self.update)
        self.update()

    def update(self) -> None:
        nodes = (self.ui.firstVisitSelector.currentNode(), self.ui.secondVisitSelector.currentNode())
        ready = all(node is not None for node in nodes) and not self.session.running
        self.ui.forecastButton.setEnabled(ready)
        if not self.session.running:
            show_text(self.ui.forecastLabel, "")

    def forecast(self) -> None:
        """Start it on the chosen visits.

        Raises:
            InputError: something runs already, or the two visits are the same.
        """
        self.session.forecast(
            self.ui.firstVisitSelector.currentNode(), self.ui.secondVisitSelector.currentNode(),
            days=float(self.ui.daysSpinBox.value), years=float(self.ui.forecastYearsSpinBox.value),
            preset=str(self.ui.normComboBox.currentText), age=float(self.ui.visitAgeSpinBox.value),
        )  # fmt: skip
        show_text(
            self.ui.forecastLabel,
            _("Working; progress and Cancel are under Apply. The intervals will stand under Volumes of structures."),
        )

    def _on_chosen(self, *_node: Any) -> None:
        self.update()

    def _on_forecast(self, *_checked: Any) -> None:
        try:
            self.forecast()
        except InputError as error:
            show_text(self.ui.forecastLabel, str(error))
