"""Panel section for tracing: points and segments of a result."""

from __future__ import annotations

import csv
from collections.abc import Generator
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import csv_cell
from SITTranslateLib.host.client import HostError
from SITTranslateLib.host.requests import SegmentsRequest, TraceRequest
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.contours import adding_contours
from SITTranslateLib.scene.picking import Picker
from SITTranslateLib.scene.points import PointPairs
from SITTranslateLib.scene.presentation import put_with
from SITTranslateLib.scene.table import add_table_node
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session, Shown
from SITTranslateLib.ui.tracing import finding_centres, is_drawn_on, joined, reading_labels
from SITTranslateLib.volume import Volume

#: Pixels: a longer name is cut; its tool tip has the full name.
WIDEST_NAME = 120
_TO_TRANSLATED, _TO_SOURCE = "to translated", "to source"


class TraceSection(Section):
    """Point pairs by clicking, and the segment table.

    Attributes:
        measured: emitted with the segment table.
    """

    UI = "TraceSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.measured = Signal()
        self.points: list[dict[str, Any]] = []
        self.table: dict[str, Any] | None = None
        self._pairs: PointPairs | None = None
        self._picker: Picker | None = None
        self._middles: dict[int, Any] = {}
        _set_columns(self.ui.pointTable, [_("Point"), _("Source (R, A, S)"), _("Moved to"), _("mm"), _("Misses by")])
        _set_columns(
            self.ui.segmentTable,
            [_("Segment"), _("mL"), _("mL after"), _("Change"), _("mm"), _("Verdict")],
        )
        self.ui.pickButton.toggled.connect(self._on_pick)
        self.ui.clearButton.clicked.connect(self.clear_points)
        self.ui.savePointsButton.clicked.connect(self._on_save_points)
        self.ui.measureButton.clicked.connect(self._on_measure)
        self.ui.saveSegmentsButton.clicked.connect(self._on_save_segments)
        self.ui.pointTable.itemSelectionChanged.connect(self._on_point_row)
        self.ui.segmentTable.itemSelectionChanged.connect(self._on_segment_row)
        self.ui.segmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        session.shown_changed.connect(self.update)
        self.update()

    def update(self) -> None:
        """Another result is shown, or none: what was traced in the one before is not of this one."""
        self.stop_picking()
        self.points, self._pairs, self.table, self._middles = [], None, None, {}
        self._fill_points()
        self.ui.segmentTable.setRowCount(0)
        show_text(self.ui.verdictLabel, "")
        self._enable()
        shown, chosen = self.session.shown, self.ui.segmentSelector.currentNode()
        if shown is not None and chosen is not None and self.session.active and is_drawn_on(chosen, shown.nodes.source):
            self._on_measure()

    def trace(self, point: Any, *, from_translated: bool = False) -> None:
        """Trace a RAS point (mm); the pair appears in the list and in the views."""
        shown = self.session.shown
        if shown is None:
            return
        label = f"P-{len(self.points) + 1}"
        direction = _TO_SOURCE if from_translated else _TO_TRANSLATED

        def answered(answer: dict[str, Any]) -> None:
            if self.session.shown is shown:
                self.session.in_turns(self._adding(answer["points"]))

        start = [[float(value) for value in point]]
        self.session.ask(TraceRequest(shown.translation, start, direction, [label]), answered)

    def measure(self) -> None:
        """Ask for the segment table of the chosen segmentation."""
        shown, node = self.session.shown, self.ui.segmentSelector.currentNode()
        if shown is not None and node is not None:
            show_text(self.ui.verdictLabel, _("Measuring..."))
            self.session.in_turns(self._measuring(shown, node))

    def _measuring(self, shown: Shown, node: Any) -> Generator[None, None, None]:
        """Read the segments, and ask for their table."""
        tables: list[dict[str, Any]] = []

        def answered(answer: dict[str, Any]) -> None:
            if self.session.shown is not shown:
                return
            tables.append(answer["table"])
            if len(tables) < len(layers):
                ask(*layers[len(tables)])
                return
            self.session.in_turns(self._showing(shown, layers, joined(tables)))

        def refused(error: HostError) -> None:
            show_text(self.ui.verdictLabel, str(error))

        def ask(labels: Volume, names: dict[int, str]) -> None:
            self.session.ask(SegmentsRequest(shown.translation, labels, names), answered, refused)

        try:
            layers = yield from reading_labels(node, shown.nodes.source)
            if self.session.shown is shown:
                ask(*layers[0])
        except InputError as error:
            show_text(self.ui.verdictLabel, str(error))

    def _showing(
        self, shown: Shown, layers: list[tuple[Volume, dict[int, str]]], table: dict[str, Any]
    ) -> Generator[None, None, None]:
        """Show a segment table, and draw the structures that changed most."""
        middles = {}
        for labels, names in layers:
            middles |= yield from finding_centres(labels, list(names))
        if self.session.shown is shown:
            self._middles = middles
            self._show_table(table)
            self._draw_contours(layers)

    def step(self, rows: int) -> None:
        """Go to another of the largest changes, from the first on after the last."""
        count = int(self.ui.segmentTable.rowCount)
        if count:
            self.ui.segmentTable.selectRow((max(int(self.ui.segmentTable.currentRow()), -1) + rows) % count)

    def clear_points(self, *_checked: Any) -> None:
        self.points = []
        if self._pairs is not None:
            self._pairs.remove()
            self._pairs = None
        self._fill_points()
        self._enable()

    def save_points(self, path: Path) -> None:
        """Write the pairs as CSV: RAS mm, one row a point."""
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["label", "source_r", "source_a", "source_s", "translated_r", "translated_a",
                             "translated_s", "motion_mm", "residual_mm", "traceable", "reason"])  # fmt: skip
            for p in self.points:
                writer.writerow([csv_cell(p["label"]), *p["source"], *p["translated"], p["motion_mm"], p["residual_mm"],
                                 p["traceable"], csv_cell(p["reason"])])  # fmt: skip

    def save_segments(self, path: Path) -> None:
        """Write the whole segment table as CSV."""
        rows = self.table["segments"] if self.table is not None else []
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)

    def _adding(self, points: list[dict[str, Any]]) -> Generator[None, None, None]:
        """Add traced points to the lists, in steps; the first makes the lists in the scene."""
        shown = self.session.shown
        if shown is None:
            return
        if self._pairs is None:
            self._pairs = yield from PointPairs.adding(slicer.mrmlScene, shown.nodes)
            yield
        for traced in points:
            self.points.append(traced)
            self._pairs.add(traced["label"], traced["source"], traced["translated"])
        self._fill_points()
        self.ui.pointTable.selectRow(len(self.points) - 1)
        self._enable()

    def _fill_points(self) -> None:
        table = self.ui.pointTable
        table.setRowCount(len(self.points))
        for row, p in enumerate(self.points):
            residual = f"{p['residual_mm']:.2f} mm" if p["traceable"] else p["reason"]
            texts = [p["label"], _place(p["source"]), _place(p["translated"]), f"{p['motion_mm']:.2f}", residual]
            _fill_row(table, row, texts, p["reason"])
        table.resizeColumnsToContents()

    def _show_table(self, table: dict[str, Any]) -> None:
        # The largest change first: a click on a row jumps there.
        rows = sorted(table["segments"], key=lambda row: -abs(row["change_percent"] or 0.0))
        table = {**table, "segments": rows}
        self.table = table
        shown = self.session.shown
        widget = self.ui.segmentTable
        widget.setRowCount(len(table["segments"]))
        for row, segment in enumerate(table["segments"]):
            before, after = segment["volume_before_mm3"], segment["volume_after_mm3"]
            texts = [
                segment["name"],
                _number(before, 1e-3, ".1f"),
                _number(after, 1e-3, ".1f"),
                _number(segment["change_percent"], 1.0, "+.1f", " %"),
                _number(segment["motion_mean_mm"], 1.0, ".2f"),
                segment["verdict"],
            ]
            _fill_row(widget, row, texts, f"{segment['name']}: {segment['reason'] or segment['note']}")
        widget.resizeColumnsToContents()
        widget.setColumnWidth(0, min(int(widget.columnWidth(0)), WIDEST_NAME))
        show_text(
            self.ui.verdictLabel,
            _("The whole: {verdict} ({reasons}).").format(
                verdict=table["verdict"], reasons="; ".join(table["reasons"]).rstrip(".")
            )
            + _without_figure(table["segments"]),
        )
        if shown is not None and table["segments"]:
            scene = slicer.mrmlScene
            node = add_table_node(scene, table["segments"], f"{shown.nodes.source.GetName()} segments")
            put_with(scene, shown.nodes, node)
        self.measured.emit(table)
        self._enable()

    def _draw_contours(self, layers: list[tuple[Volume, dict[int, str]]]) -> None:
        """The structures that changed most, as contours before and after."""
        if self.session.shown is not None and self.table is not None:
            labels = [row["label"] for row in self.table["segments"]]
            self.session.in_turns(adding_contours(slicer.mrmlScene, self.session.shown.nodes, layers, labels))

    def _enable(self) -> None:
        shown = self.session.shown
        moved = shown is not None and shown.nodes.motion is not None
        self.ui.pickButton.setEnabled(moved)
        self.ui.clearButton.setEnabled(bool(self.points))
        self.ui.savePointsButton.setEnabled(bool(self.points))
        chosen = self.ui.segmentSelector.currentNode() is not None
        self.ui.measureButton.setEnabled(shown is not None and chosen)
        self.ui.saveSegmentsButton.setEnabled(self.table is not None)

    def _on_pick(self, *_checked: Any) -> None:
        if self.ui.pickButton.checked and self.session.shown is not None:
            self._start_picking()
        else:
            self.stop_picking()

    def _start_picking(self) -> None:
        if self._picker is None:
            self._picker = Picker(slicer.mrmlScene, self._on_point_placed, self.stop_picking)

    def stop_picking(self) -> None:
        """Leave Slicer's place mode."""
        picker, self._picker = self._picker, None
        if picker is not None:
            picker.stop()
        self.ui.pickButton.setChecked(False)

    def _on_point_placed(self, place: list[float]) -> None:
        self.trace(place, from_translated=_view_under_cursor() == layout.TRANSLATED)

    def let_go(self, node: Any) -> None:
        super().let_go(node)
        if self._pairs is not None and node in (self._pairs.source, self._pairs.translated):
            pairs, self._pairs = self._pairs, None
            self.clear_points()
            pairs.remove(but=node)
        if self._picker is not None and node is self._picker.node:
            self.stop_picking()

    def _on_measure(self, *_checked: Any) -> None:
        self.measure()

    def _on_segmentation(self, *_node: Any) -> None:
        self._enable()

    def _on_point_row(self) -> None:
        row = self.ui.pointTable.currentRow()
        if 0 <= row < len(self.points):
            layout.jump_to(slicer.mrmlScene, self.points[row]["source"])
            view = layout.slice_node(slicer.mrmlScene, layout.TRANSLATED)
            if view is not None:
                view.JumpSliceByOffsetting(*self.points[row]["translated"])

    def _on_segment_row(self) -> None:
        row = self.ui.segmentTable.currentRow()
        if self.table is not None and 0 <= row < len(self.table["segments"]):
            middle = self._middles.get(self.table["segments"][row]["label"])
            if middle is not None:
                layout.jump_to(slicer.mrmlScene, middle)

    def _on_save_points(self, *_checked: Any) -> None:
        self._save(self.save_points, "points.csv")

    def _on_save_segments(self, *_checked: Any) -> None:
        self._save(self.save_segments, "segments.csv")

    def _save(self, write: Any, name: str) -> None:
        path = qt.QFileDialog.getSaveFileName(self.widget, _("Save as CSV"), name, "CSV (*.csv)")
        path = path if isinstance(path, str) else path[0]
        if path:
            with slicer.util.tryWithErrorDisplay(_("The file was not written.")):
                write(Path(path))


def _view_under_cursor() -> str:
    """Name of the slice view that the cursor is in; empty in a 3D view or outside."""
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is None:
        return ""
    inside = [0.0, 0.0, 0.0]
    view = crosshair.GetCursorPositionXYZ(inside)
    return view.GetLayoutName() if view is not None else ""


def _set_columns(table: Any, titles: list[str]) -> None:
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(titles)
    table.verticalHeader().setVisible(False)


def _fill_row(table: Any, row: int, texts: list[str], tip: str) -> None:
    for column, text in enumerate(texts):
        item = qt.QTableWidgetItem(text)
        item.setToolTip(tip or text)
        table.setItem(row, column, item)


def _without_figure(segments: list[dict[str, Any]]) -> str:
    """Which segments have no volume afterwards and why, because an empty cell explains nothing."""
    why: dict[str, list[str]] = {}
    for segment in segments:
        if segment["volume_after_mm3"] is None and segment["note"]:
            why.setdefault(segment["note"].split(":")[0], []).append(segment["name"])
    return "".join(
        "\n" + _("No volume after: {names} ({reason}).").format(names=", ".join(names), reason=reason)
        for reason, names in why.items()
    )


def _place(point: Any) -> str:
    return ", ".join(f"{value:.1f}" for value in point)


def _number(value: float | None, factor: float, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value * factor:{form}}{unit}"
