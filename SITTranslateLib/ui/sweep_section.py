"""Panel section for a sweep: one attribute over a range, as a sequence for the sequence browser."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from SITTranslateLib.attributes import AttributeRole
from SITTranslateLib.host.client import HostError, Job
from SITTranslateLib.host.requests import TranslateRequest
from SITTranslateLib.scene.sequences import put_into_tool_bar
from SITTranslateLib.scene.volumes import volume_from_node
from SITTranslateLib.translation import Translation
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session
from SITTranslateLib.ui.sweeping import Sweep


class SweepSection(Section):
    """Runs the model once for each step, then makes the sequences of all steps at once."""

    UI = "SweepSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self._card: Any = None
        self._job: Job | None = None
        self._stopped = False
        self.browser: Any = None
        self.ui.sweepAttributeSelector.currentTextChanged.connect(self._on_attribute)
        self.ui.sweepButton.clicked.connect(self._on_sweep)
        session.shown_changed.connect(self.update)
        self.update()

    def set_card(self, card: Any) -> None:
        self._card = card
        self.ui.sweepAttributeSelector.clear()
        for attribute in card.offered if card is not None else ():
            if attribute.choices or attribute.role is AttributeRole.KNOWN:
                continue
            self.ui.sweepAttributeSelector.addItem(attribute.title, attribute.name)
        self.update()

    def update(self) -> None:
        """A sweep begins from the result that is shown, with the model that made it."""
        shown = self.session.shown
        fits = shown is not None and self._card is not None and shown.translation.provenance.package == self._card.name
        self.ui.sweepButton.setEnabled(bool(fits and self.ui.sweepAttributeSelector.count))
        if self._job is not None:
            self._stopped = True
            self.session.host.cancel(self._job)
        show_text(self.ui.sweepLabel, "" if fits else _("Translate a scan with this model first."))

    def run(self, attribute: str, values: list[float]) -> None:
        """Translate the shown source once for each value; the result appears when the last one is done."""
        shown = self.session.shown
        if shown is None or self._card is None:
            return
        unit = next(a.unit for a in self._card.attributes if a.name == attribute)
        sweep, waiting = Sweep(attribute, unit), list(values)
        # What is kept besides the result would fill the memory with many frames.
        base = shown.translation.provenance.with_roles(*(role for role in AttributeRole if role != AttributeRole.KEPT))
        options = shown.translation.provenance.options
        volume = shown.translation.source if shown.nodes.source is None else volume_from_node(shown.nodes.source)
        self._stopped = False

        def next_step() -> None:
            show_text(self.ui.sweepLabel, _("Step {step} of {count}...").format(step=len(sweep) + 1, count=len(values)))
            request = TranslateRequest(volume, self._card.name, {**base, attribute: waiting[0]}, options)
            self._job = self.session.ask(request, answered, refused)

        def answered(translation: Translation) -> None:
            self._job = None
            self.session.host.forget(translation)
            if self._stopped or self.session.shown is not shown:
                self._finish(_("The sweep was stopped."))
                return
            sweep.add(waiting.pop(0), translation)
            if waiting:
                next_step()
                return
            self.session.in_turns(show())

        def show() -> Generator[None, None, None]:
            self.browser = yield from sweep.adding(shown.nodes)
            put_into_tool_bar(self.browser)
            self._finish(_("Play it with the sequence browser in the tool bar."))

        def refused(error: HostError) -> None:
            self._job = None
            self._finish(str(error))

        self.ui.sweepButton.setText(_("Stop"))
        next_step()

    def _finish(self, sentence: str) -> None:
        self.ui.sweepButton.setText(_("Make the sequence"))
        show_text(self.ui.sweepLabel, sentence)

    def _on_attribute(self, *_text: Any) -> None:
        attribute = self._chosen()
        if attribute is None:
            return
        for slider, value in ((self.ui.fromSlider, attribute.minimum), (self.ui.toSlider, attribute.maximum)):
            slider.decimals = 0 if attribute.maximum - attribute.minimum >= 10 else 2
            slider.singleStep = 1.0 if attribute.maximum - attribute.minimum >= 10 else 0.05
            slider.minimum, slider.maximum = float(attribute.minimum), float(attribute.maximum)
            slider.suffix = f" {attribute.unit}"
            slider.value = float(value)

    def _chosen(self) -> Any:
        name = self.ui.sweepAttributeSelector.itemData(self.ui.sweepAttributeSelector.currentIndex)
        attributes = self._card.offered if self._card is not None else ()
        return next((a for a in attributes if a.name == name), None)

    def _on_sweep(self, *_checked: Any) -> None:
        if self._job is not None:
            self._stopped = True
            self.session.host.cancel(self._job)
            return
        attribute = self._chosen()
        if attribute is not None:
            steps = int(self.ui.stepsSpinBox.value)
            values = np.linspace(float(self.ui.fromSlider.value), float(self.ui.toSlider.value), steps)
            self.run(attribute.name, [float(value) for value in values])
