"""Panel section for an existing pair of scans: estimated motion between them."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session


class PairSection(Section):
    """Asks for an estimated motion; the result is shown, traced and measured like any other."""

    UI = "PairSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.ui.pairSourceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)
        self.ui.pairTranslatedSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)
        self.ui.pairButton.clicked.connect(self._on_pair)
        session.changed.connect(self.update)
        self.update()

    def update(self) -> None:
        nodes = (self.ui.pairSourceSelector.currentNode(), self.ui.pairTranslatedSelector.currentNode())
        ready = all(node is not None for node in nodes) and not self.session.running
        self.ui.pairButton.setEnabled(ready)
        if not self.session.running:
            show_text(self.ui.pairLabel, "")

    def trace(self, source: Any, translated: Any) -> None:
        """Estimate the motion from one volume node to another.

        Raises:
            InputError: something runs already, or the two cannot be compared.
        """
        self.session.estimate_pair(source, translated, bool(self.ui.pairFinerBox.checked))
        show_text(
            self.ui.pairLabel,
            _("Estimating; progress and Cancel are under Apply. The motion will be labelled as estimated."),
        )

    def _on_chosen(self, *_node: Any) -> None:
        self.update()

    def _on_pair(self, *_checked: Any) -> None:
        try:
            self.trace(self.ui.pairSourceSelector.currentNode(), self.ui.pairTranslatedSelector.currentNode())
        except InputError as error:
            show_text(self.ui.pairLabel, str(error))
