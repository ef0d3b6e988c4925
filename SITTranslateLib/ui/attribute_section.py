"""Panel section for the request: one slider or list of choices per attribute, built from the card."""

from __future__ import annotations

from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from SITTranslateLib.attributes import AttributeRole
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session


class AttributeSection(Section):
    """Sliders with unit, range and default of each attribute; lists where it has choices.

    Attributes:
        changed: emitted with the values by name.
    """

    UI = "AttributeSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.changed = Signal()
        self._sliders: dict[str, Any] = {}
        self._lists: dict[str, Any] = {}
        self._labels: list[Any] = []
        self._attributes: Any = ()

    def values(self) -> dict[str, float]:
        chosen = {name: float(choices.currentIndex) for name, choices in self._lists.items()}
        return chosen | {name: float(slider.value) for name, slider in self._sliders.items()}

    def set_card(self, card: Any, values: dict[str, float]) -> None:
        """Build the sliders of a model; ``values`` as they were left, else the card's defaults."""
        form = self.ui.attributeArea.layout()
        for widget in [*self._labels, *self._sliders.values(), *self._lists.values()]:
            form.removeWidget(widget)
            widget.setParent(None)
            widget.deleteLater()
        self._sliders, self._lists, self._labels = {}, {}, []
        attributes = card.offered if card is not None else ()
        for attribute in attributes:
            if attribute.choices:
                self._add_list(form, attribute, values)
                continue
            label, slider = qt.QLabel(f"{attribute.title}:"), ctk.ctkSliderWidget()
            label.setToolTip(attribute.description)
            slider.setToolTip(attribute.description)
            whole = attribute.maximum - attribute.minimum >= 10
            slider.decimals = 0 if whole else 2
            slider.minimum, slider.maximum = float(attribute.minimum), float(attribute.maximum)
            slider.singleStep = 1.0 if whole else 0.05
            wanted = float(values.get(attribute.name, attribute.default))
            slider.value = min(max(wanted, slider.minimum), slider.maximum)
            self._say(attribute, slider)
            # Nothing that is connected may hold the slider: PythonQt would delete it a second time with its signals.
            slider.valueChanged.connect(self._on_value)
            form.addRow(label, slider)
            self._labels.append(label)
            self._sliders[attribute.name] = slider
        self._attributes = attributes
        self._hint()

    def set_values(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if name in self._sliders:
                self._sliders[name].value = value
            if name in self._lists:
                self._lists[name].setCurrentIndex(round(value))

    def set_enabled(self, enabled: bool) -> None:
        self.ui.attributeArea.setEnabled(enabled)

    def _add_list(self, form: Any, attribute: Any, values: dict[str, float]) -> None:
        label, choices = qt.QLabel(f"{attribute.title}:"), qt.QComboBox()
        label.setToolTip(attribute.description)
        choices.setToolTip(attribute.description)
        for choice in attribute.choices:
            choices.addItem(choice)
        wanted = round(float(values.get(attribute.name, attribute.default)))
        choices.setCurrentIndex(min(max(wanted, 0), len(attribute.choices) - 1))
        choices.currentTextChanged.connect(self._on_value)
        form.addRow(label, choices)
        self._labels.append(label)
        self._lists[attribute.name] = choices

    def _say(self, attribute: Any, slider: Any) -> None:
        """The value as a request: a change has its sign, years their direction; what is known of the scan has none."""
        value = float(slider.value)
        change = attribute.role is AttributeRole.ASKED and attribute.minimum < 0
        slider.prefix = "+" if value > 0 and change else ""
        slider.suffix = " " + (unit_words(attribute.unit, value) if change else attribute.unit)

    def _hint(self) -> None:
        """Whether anything is asked at all: a translation that asks for nothing gives the scan back."""
        text = "" if self._attributes else _("This model has nothing to choose.")
        asked = [a.name for a in self._attributes if a.role in (AttributeRole.ASKED, AttributeRole.TARGET)]
        if asked and all(name in self._sliders and self._sliders[name].value == 0 for name in asked):
            text = _("Nothing is asked for: the translation will be the scan itself.")
        show_text(self.ui.hintLabel, text)

    def _on_value(self, *_value: Any) -> None:
        for attribute in self._attributes:
            if attribute.name in self._sliders:
                self._say(attribute, self._sliders[attribute.name])
        self._hint()
        self.changed.emit(self.values())


def unit_words(unit: str, value: float) -> str:
    """The unit of a change in a spin box: ``years older``."""
    if unit.startswith("year") and value:
        return _("{unit} older").format(unit=unit) if value > 0 else _("{unit} younger").format(unit=unit)
    return unit
