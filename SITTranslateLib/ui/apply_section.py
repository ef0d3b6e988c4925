"""Panel section for Apply and Cancel, with progress and advice after an error."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SITTranslateLib.host.client import HostError
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session


class ApplySection(Section):
    """Starts and stops a run; messages stand in the panel, nothing pops up.

    Attributes:
        applied, installed, cpu_wanted: emitted when the button of that name is pressed.
    """

    UI = "ApplySection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.applied, self.installed, self.cpu_wanted = Signal(), Signal(), Signal()
        self._stage = ""
        # Only what a run of ours made may be replaced: never a patient's scan.
        self.ui.outputSelector.addAttribute("vtkMRMLScalarVolumeNode", f"{PREFIX}Role", "translated")
        self.ui.applyButton.clicked.connect(self._on_apply)
        self.ui.cancelButton.clicked.connect(self._on_cancel)
        self.ui.installButton.clicked.connect(self._on_install)
        self.ui.cpuButton.clicked.connect(self._on_cpu)
        self.ui.detailsButton.toggled.connect(self.ui.detailsText.setVisible)
        session.changed.connect(self._on_changed)
        session.stage.connect(self._on_stage)
        session.progress.connect(self._on_progress)
        session.warned.connect(self.say)
        session.failed.connect(self._on_failed)
        self.ui.progressBar.setVisible(False)
        self.clear_message()

    @property
    def output(self) -> Any:
        """The volume node that the translated scan shall go into; None for a new one."""
        return self.ui.outputSelector.currentNode()

    def set_ready(self, why_not: str) -> None:
        """Enable Apply, or show in its tool tip and below it what is missing."""
        ready = not why_not and not self.session.running
        self.ui.applyButton.setEnabled(ready)
        self.ui.applyButton.setToolTip(_("Translate the scan.") if ready else why_not)
        if not self.session.running:
            show_text(self.ui.stageLabel, why_not)

    def clear_message(self) -> None:
        show_text(self.ui.messageLabel, "")
        for widget in (self.ui.installButton, self.ui.cpuButton, self.ui.detailsButton, self.ui.detailsText):
            widget.setVisible(False)
        self.ui.detailsButton.setChecked(False)

    def say(self, sentence: str) -> None:
        """A sentence below the buttons."""
        show_text(self.ui.messageLabel, sentence)

    def offer_installation(self, sentence: str) -> None:
        self.say(sentence)
        self.ui.installButton.setVisible(True)

    def _on_changed(self) -> None:
        running = self.session.running
        self.ui.cancelButton.setEnabled(running)
        self.ui.progressBar.setVisible(running)
        self.ui.progressBar.setValue(0)
        if running:
            self.clear_message()
            self.ui.applyButton.setEnabled(False)
        else:
            self._stage = ""
            show_text(self.ui.stageLabel, "")

    def _on_stage(self, stage: str) -> None:
        self._stage = stage[:1].upper() + stage[1:]
        show_text(self.ui.stageLabel, self._stage)

    def _on_progress(self, fraction: float, seconds_left: float | None) -> None:
        self.ui.progressBar.setValue(round(100 * fraction))
        if seconds_left is not None and seconds_left >= 0.5:
            show_text(
                self.ui.stageLabel,
                _("{stage}, about {seconds:.0f} s left").format(stage=self._stage, seconds=seconds_left),
            )

    def _on_failed(self, error: HostError) -> None:
        self.say(str(error))
        self.ui.installButton.setVisible(error.failure is Failure.MISSING)
        self.ui.cpuButton.setVisible(error.offer == "cpu")
        self.ui.detailsButton.setVisible(bool(error.details) and error.failure is not Failure.INPUT)
        self.ui.detailsText.setPlainText(error.details)

    def _on_apply(self, *_checked: Any) -> None:
        self.applied.emit()

    def _on_cancel(self, *_checked: Any) -> None:
        self.ui.cancelButton.setEnabled(False)
        show_text(self.ui.stageLabel, _("Cancelling"))
        self.session.cancel()

    def _on_install(self, *_checked: Any) -> None:
        self.installed.emit()

    def _on_cpu(self, *_checked: Any) -> None:
        self.cpu_wanted.emit()
