"""Panel section for a prescribed change: an editable table of structures, a preset to fill it, lesions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostError
from SITTranslateLib.host.requests import ChangesRequest
from SITTranslateLib.structure_table import REGION_NAMES, SIDED
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session

#: Columns of the table after the name of the structure, and what stands before the name in a table of changes.
COLUMNS = ("", "left ", "right ")


class PrescribeSection(Section):
    """The user's table of changes; the result is shown, traced and measured like any other.

    Args:
        scan: gives the chosen volume node.
    """

    UI = "PrescribeSection"

    def __init__(self, session: Session, resource: Resource, scan: Callable[[], Any]) -> None:
        super().__init__(session, resource)
        self._scan = scan
        table = self.ui.changesTable
        table.setColumnCount(1 + len(COLUMNS))
        table.setHorizontalHeaderLabels([_("Structure"), _("Both"), _("Left"), _("Right")])
        table.setRowCount(len(REGION_NAMES))
        for row, name in enumerate(REGION_NAMES):
            item = qt.QTableWidgetItem(name)
            item.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(row, 0, item)
        self.set_changes({})
        self.ui.fillButton.clicked.connect(self._on_fill)
        self.ui.clearButton.clicked.connect(lambda *_checked: self.set_changes({}))
        self.ui.openTableButton.clicked.connect(self._on_open)
        self.ui.saveTableButton.clicked.connect(self._on_save)
        self.ui.prescribeButton.clicked.connect(self._on_prescribe)
        session.changed.connect(self.update)
        self.update()

    def update(self) -> None:
        self.ui.prescribeButton.setEnabled(not self.session.running)

    def changes(self) -> dict[str, str]:
        """The table as it stands: ``left hippocampus`` to ``-8 %``; empty cells are left out."""
        found = {}
        for row, name in enumerate(REGION_NAMES):
            for column, side in enumerate(COLUMNS, start=1):
                item = self.ui.changesTable.item(row, column)
                text = item.text().strip() if item is not None else ""
                if text:
                    found[f"{side}{name}"] = text
        return found

    def set_changes(self, changes: Mapping[str, str]) -> None:
        """Show a table of changes, and nothing else."""
        for row, name in enumerate(REGION_NAMES):
            for column, side in enumerate(COLUMNS, start=1):
                item = qt.QTableWidgetItem(str(changes.get(f"{side}{name}", "")))
                if side and name not in SIDED:
                    item.setFlags(qt.Qt.NoItemFlags)
                self.ui.changesTable.setItem(row, column, item)
        self.ui.changesTable.resizeColumnsToContents()

    def fill(self) -> None:
        """Write the preset for this age and these years into the table."""
        self._ask_table(preset=self.ui.presetComboBox.currentText, age=float(self.ui.ageSpinBox.value),
                        years=float(self.ui.yearsSpinBox.value))  # fmt: skip

    def open_table(self, path: str) -> None:
        """Read a table of changes in TOML."""
        self._ask_table(file=path)

    def save_table(self, path: str) -> None:
        """Write the table in TOML, as ``sittranslate prescribe --changes`` takes it.

        Raises:
            InputError: the file cannot be written.
        """
        lines = [f"years = {float(self.ui.yearsSpinBox.value):g}", "[changes]"]
        lines += [f"{json.dumps(name)} = {json.dumps(text)}" for name, text in self.changes().items()]
        try:
            Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(_("The table cannot be written there.")) from error

    def prescribe(self) -> None:
        """Start it on the chosen scan.

        Raises:
            InputError: no scan is chosen, nothing is asked for, or something runs already.
        """
        node = self._scan()
        if node is None:
            raise InputError(_("Choose a scan first."))
        changes, lesions = self.changes(), float(self.ui.lesionsSpinBox.value)
        if not changes and not lesions:
            raise InputError(_("Say what to change: fill in the table, or lesions."))
        self.session.prescribe(
            node, changes=changes or None, years=float(self.ui.yearsSpinBox.value), lesions=lesions or None,
            seed=int(self.ui.lesionSeedSpinBox.value),
        )  # fmt: skip
        show_text(self.ui.prescribeLabel, _("Working; progress and Cancel are under Apply."))

    def _ask_table(self, **asked: Any) -> None:
        def answered(answer: dict[str, Any]) -> None:
            self.set_changes(answer["changes"])
            if answer.get("years") is not None:
                self.ui.yearsSpinBox.value = float(answer["years"])
            show_text(self.ui.prescribeLabel, "")

        def refused(error: HostError) -> None:
            show_text(self.ui.prescribeLabel, str(error))

        self.session.ask(ChangesRequest(**asked), answered, refused)

    def _on_fill(self, *_checked: Any) -> None:
        self.fill()

    def _on_open(self, *_checked: Any) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Table of changes"), "", "TOML (*.toml)")
        if path:
            self.open_table(str(path))

    def _on_save(self, *_checked: Any) -> None:
        path = qt.QFileDialog.getSaveFileName(self.widget, _("Table of changes"), "changes.toml", "TOML (*.toml)")
        if path:
            self._try(lambda: self.save_table(str(path)))

    def _on_prescribe(self, *_checked: Any) -> None:
        self._try(self.prescribe)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except InputError as error:
            show_text(self.ui.prescribeLabel, str(error))
