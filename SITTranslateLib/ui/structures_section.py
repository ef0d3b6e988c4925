"""Panel section for the volumes of structures: found by the worker as soon as a result is shown."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.requests import StructuresRequest
from SITTranslateLib.scene.contours import adding_contours, has_contours
from SITTranslateLib.scene.presentation import put_with
from SITTranslateLib.scene.table import add_table_node
from SITTranslateLib.structure_table import PARCELLATION, StructureVolumes, percent
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session
from SITTranslateLib.volume import Volume

#: Pixels: a longer name is cut; its tool tip has it.
WIDEST_NAME = 130


class StructuresSection(Section):
    """One line, a table and a table node of the structures of the result that is shown.

    Attributes:
        found: the table that is shown; None before the worker has answered.
    """

    UI = "StructuresSection"
    #: Whether they are looked for without being asked; takes the worker about three seconds.
    automatic = True

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.found: StructureVolumes | None = None
        table = self.ui.structuresTable
        headings = [_("Structure"), _("mL, change"), _("Sides"), _("Healthy")]
        table.setColumnCount(len(headings))
        table.setHorizontalHeaderLabels(headings)
        table.verticalHeader().setVisible(False)
        session.shown_changed.connect(self.update)
        self.update()

    def update(self) -> None:
        """Empty the table, and ask for that of the result that is shown."""
        self.found = None
        self.ui.structuresTable.setRowCount(0)
        show_text(self.ui.structuresLabel, "")
        if self.session.shown is not None and self.automatic:
            self.ask()

    def ask(self) -> None:
        """Have the worker find the structures of the shown result: their volumes, unless known, and their contours."""
        shown = self.session.shown
        if shown is None:
            return
        known = shown.translation.known_structures
        if known is None:
            show_text(self.ui.structuresLabel, _("Finding the structures..."))
        else:
            self._show(known)
            if not known or has_contours(shown.nodes):
                return

        def answered(answer: dict[str, Any]) -> None:
            if self.session.shown is shown:
                if known is None:
                    self._show(StructureVolumes.from_dict(answer["structures"]))
                if "labels" in answer:
                    self._draw(answer["labels"], {int(label): str(name) for label, name in answer["names"].items()})

        def refused(error: InputError) -> None:
            if known is None and self.session.shown is shown:
                show_text(self.ui.structuresLabel, str(error))

        try:
            self.session.ask(StructuresRequest(shown.translation), answered, refused)
        except InputError as error:
            refused(error)

    def _show(self, found: StructureVolumes) -> None:
        self.found = found
        headline = found.headline()
        if headline and found.note == PARCELLATION:
            headline = _("Found by the program: {volumes}").format(volumes=headline)
        show_text(self.ui.structuresLabel, f"{headline}\n{found.note}".strip())
        table = self.ui.structuresTable
        table.setRowCount(len(found.whole))
        for number, row in enumerate(found.whole):
            sides = [part for part in found if part.name == row.name and part.side in ("left", "right")]
            digits = 0 if row.before_ml >= 100.0 else 1
            volumes = f"{row.before_ml:.{digits}f} to {row.after_ml:.{digits}f}"
            # Two lines a cell, so that a narrow panel has room for all of it.
            texts = (
                row.title,
                f"{volumes}\n{percent(row.change_percent)}",
                "\n".join(f"{part.side[0].upper()} {percent(part.change_percent)}" for part in sides),
                row.norm_words().replace(" to ", "\nto "),
            )
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(row.norm_source or text if column == 3 else row.title)
                table.setItem(number, column, item)
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        table.setColumnWidth(0, min(int(table.columnWidth(0)), WIDEST_NAME))
        self._add_node(found)

    def _draw(self, labels: Volume, names: dict[int, str]) -> None:
        """Contours of the structures that changed most, unless those of the user's own segments are there."""
        shown = self.session.shown
        if shown is not None and not has_contours(shown.nodes):
            self.session.in_turns(adding_contours(slicer.mrmlScene, shown.nodes, [(labels, names)], list(names)))

    def _add_node(self, found: StructureVolumes) -> None:
        """A table node beside the result, once: a loaded scene has it already."""
        shown, scene = self.session.shown, slicer.mrmlScene
        if shown is None or not found:
            return
        name = f"{shown.nodes.translated.GetName()} structures"
        if scene.GetFirstNodeByName(name) is None:
            put_with(scene, shown.nodes, add_table_node(scene, [row.to_dict() for row in found], name))
