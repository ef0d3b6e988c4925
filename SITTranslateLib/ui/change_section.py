"""Panel section for the change: strength, its two parts, and the display of motion and change, without the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.scene import display, layout, presentation
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.extras import STEPS
from SITTranslateLib.scene.ranges import Ranges
from SITTranslateLib.scene.result import SceneResult, request_of_node
from SITTranslateLib.scene.runs import PREFIX, Run
from SITTranslateLib.scene.sequences import browser_of, put_into_tool_bar
from SITTranslateLib.ui.dicom_export import dicom_file, save_as_dicom
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session

#: Number of volume changes in one line, and the smallest structure listed (smaller ones vary by chance).
MOST_VOLUMES, SMALLEST_MM3 = 4, 100.0
#: Arrows in 3D stand this many times farther apart than in the slices.
ARROWS_APART = 2.0


class ChangeSection(Section):
    """Live controls of the result that is shown."""

    UI = "ChangeSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self._updating = False
        # Motion and volume change are redone when the slider rests, the scan itself while it moves.
        self._rest = qt.QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(300)
        self._rest.timeout.connect(self._on_rest)
        self.ui.strengthSlider.valueChanged.connect(self._on_strength)
        for button in (self.ui.bothButton, self.ui.anatomyButton, self.ui.intensityButton):
            button.clicked.connect(self._on_rest)
        boxes = (self.ui.glyphsCheckBox, self.ui.gridCheckBox, self.ui.contoursCheckBox, self.ui.arrows3DCheckBox)
        for box in boxes:
            box.toggled.connect(self._on_motion)
        self.ui.spacingSlider.valueChanged.connect(self._on_glyphs)
        self.ui.scaleSlider.valueChanged.connect(self._on_glyphs)
        for button in (self.ui.changeMapButton, self.ui.jacobianMapButton, self.ui.extraMapButton, self.ui.noMapButton):
            button.clicked.connect(self._on_map)
        self.ui.extraComboBox.currentIndexChanged.connect(self._on_extra)
        self.ui.rangeSlider.valueChanged.connect(self._on_range)
        self.ui.layoutButton.clicked.connect(self._on_layout)
        self.ui.estimateButton.clicked.connect(self._on_estimate)
        self.ui.removeButton.clicked.connect(self._on_remove)
        self.ui.dicomButton.clicked.connect(self._on_dicom)
        self.ui.resultComboBox.currentIndexChanged.connect(self._on_result)
        self.ui.compareComboBox.currentIndexChanged.connect(self._on_compare)
        session.shown_changed.connect(self.update)
        self.update()

    @property
    def nodes(self) -> SceneResult | None:
        return self.session.shown.nodes if self.session.shown is not None else None

    def update(self) -> None:
        """Show the state of the result in the views; nothing is enabled without one."""
        nodes = self.nodes
        self._rest.stop()
        show_text(self.ui.volumesLabel, "")
        self.ui.dicomButton.setVisible(nodes is not None and bool(dicom_file(nodes.source)))
        self._fill_results()
        for name in ("strengthSlider", "bothButton", "anatomyButton", "intensityButton", "motionBox", "mapBox",
                     "layoutButton", "estimateButton", "removeButton"):  # fmt: skip
            getattr(self.ui, name).setEnabled(nodes is not None)
        if nodes is None:
            self.ui.summaryLabel.setText(_("Translate a scan to see what changed."))
            self.ui.extraMapButton.setVisible(False)
            self.ui.extraComboBox.setVisible(False)
            return
        self._updating = True
        # A result of a loaded scene stands as it was left.
        strength = nodes.translated.GetAttribute(PREFIX + "Strength") or "1"
        parts = nodes.translated.GetAttribute(PREFIX + "Parts")
        self.ui.strengthSlider.value = 100.0 * float(strength)
        left = {"anatomy": self.ui.anatomyButton, "intensity": self.ui.intensityButton}.get(parts, self.ui.bothButton)
        left.setChecked(True)
        moved = nodes.motion is not None
        # An estimated motion has no intensity change beside it, so nothing can be put together from parts of it.
        estimated = nodes.field_origin == "estimated"
        self.ui.strengthSlider.setEnabled(not estimated)
        self.ui.estimateButton.setEnabled(not estimated)
        self.ui.motionBox.setEnabled(moved)
        self.ui.anatomyButton.setEnabled(moved and not estimated)
        self.ui.intensityButton.setEnabled(nodes.change is not None)
        self.ui.jacobianMapButton.setEnabled(nodes.jacobian is not None)
        self.ui.changeMapButton.setEnabled(nodes.change is not None)
        self.ui.extraComboBox.clear()
        for name in nodes.extras:
            self.ui.extraComboBox.addItem(name)
        self.ui.extraMapButton.setVisible(bool(nodes.extras))
        self.ui.extraComboBox.setVisible(bool(nodes.extras))
        self.ui.rangeSlider.value = 100.0
        self.ui.glyphsCheckBox.setChecked(moved)
        self.ui.gridCheckBox.setChecked(False)
        self.ui.contoursCheckBox.setChecked(False)
        (self.ui.changeMapButton if nodes.change is not None else self.ui.jacobianMapButton).setChecked(True)
        if moved:
            glyphs = transform_display(nodes.motion, "glyphs")
            self.ui.spacingSlider.value = glyphs.GetGlyphSpacingMm()
            self.ui.scaleSlider.maximum = max(2000.0, 2.0 * glyphs.GetGlyphScalePercent())
            self.ui.scaleSlider.value = glyphs.GetGlyphScalePercent()
        self._updating = False
        self._on_range()
        self.ui.summaryLabel.setText(self.summary())

    def summary(self) -> str:
        """The result in a few plain words."""
        shown = self.session.shown
        if shown is None:
            return ""
        ranges, translation = shown.nodes.ranges, shown.translation
        parts = []
        if translation.motion is not None:
            parts.append(motion_words(ranges))
        if translation.intensity_change is not None and ranges.faint:
            parts.append(_("Intensity changed by less than 1 %."))
        elif translation.intensity_change is not None:
            parts.append(
                _("In 99 % of the head intensity changed by less than {change:.3g} (scan units).").format(
                    change=ranges.change
                )
            )
        parts.append(_origin_words(translation.field_origin))
        floor = translation.provenance.noise_floor
        if translation.field_origin == "estimated":
            if floor is not None:
                parts.append(_("Where nothing moves it sees {floor:.2g} mm.").format(floor=floor.mean_mm))
        else:
            low, high = ranges.grey
            parts.append(recomposition_words(100.0 * translation.recomposition_error / max(high - low, 1e-9)))
        parts += [_("Warning: {reason}").format(reason=sentence) for sentence in translation.provenance.warnings]
        return " ".join(parts)

    def show_volumes(self, table: dict[str, Any]) -> None:
        """The largest changes of volume of the user's own segments in one line; the structures found have their own."""
        words = volume_words(table["segments"])
        show_text(self.ui.volumesLabel, _("Your segments: {volumes}").format(volumes=words) if words else "")

    def set_strength(self, percent: float) -> None:
        self.ui.strengthSlider.value = float(percent)

    def _ask(self, final: bool) -> None:
        self.session.set_strength(
            float(self.ui.strengthSlider.value) / 100.0,
            spatial=not self.ui.intensityButton.checked,
            intensity=not self.ui.anatomyButton.checked,
            final=final,
        )

    def _on_strength(self, *_value: Any) -> None:
        if not self._updating:
            self._ask(False)
            self._rest.start()

    def _on_rest(self, *_checked: Any) -> None:
        self._ask(True)
        self._on_motion()

    def _on_motion(self, *_checked: Any) -> None:
        nodes = self.nodes
        if self._updating or nodes is None or nodes.motion is None:
            return
        moves = not self.ui.intensityButton.checked
        # Read first: every display that changes has the boxes read the views again.
        wanted = {kind: int(bool(moves and box.checked)) for kind, box in self._motion_boxes()}
        for kind, shown in wanted.items():
            drawn = transform_display(nodes.motion, kind)
            if drawn is not None:
                drawn.SetVisibility(shown)
                # In 3D only the arrows made for it: grid and contours would hide everything else.
                drawn.SetVisibility2D(int(shown))
                drawn.SetVisibility3D(0)
        presentation.show_arrows_in_3d(nodes, bool(moves and self.ui.arrows3DCheckBox.checked))

    def _on_glyphs(self, *_value: Any) -> None:
        nodes = self.nodes
        if self._updating or nodes is None or nodes.motion is None:
            return
        for kind, factor in (("glyphs", 1.0), ("arrows", ARROWS_APART)):
            drawn = transform_display(nodes.motion, kind)
            if drawn is not None:
                drawn.SetGlyphSpacingMm(factor * float(self.ui.spacingSlider.value))
                drawn.SetGlyphScalePercent(factor * float(self.ui.scaleSlider.value))

    def _on_map(self, *_checked: Any) -> None:
        nodes = self.nodes
        if nodes is None or self._updating:
            return
        self._updating = True
        # The map takes the place of a result that is compared.
        self.ui.compareComboBox.setCurrentIndex(0)
        self._updating = False
        chosen = None
        if self.ui.changeMapButton.checked:
            chosen = nodes.change
        elif self.ui.jacobianMapButton.checked:
            chosen = nodes.jacobian
        elif self.ui.extraMapButton.checked:
            chosen = nodes.extras.get(self.ui.extraComboBox.currentText)
        opacity = presentation.OVERLAY_OPACITY if chosen is not None else 0.0
        if chosen is not None and chosen is nodes.extras.get(STEPS):
            # Scans and no map: they hide the source, and the tool bar plays them.
            opacity = 1.0
            put_into_tool_bar(browser_of(chosen))
        layout.show_volumes(slicer.mrmlScene, layout.CHANGE, nodes.source, chosen, opacity)

    def _on_extra(self, *_index: Any) -> None:
        if not self._updating and self.nodes is not None:
            self.ui.extraMapButton.setChecked(True)
            self._on_map()

    def read_views(self) -> None:
        """Set the switches to the state of the views, whoever changed it."""
        nodes = self.nodes
        composite = layout.composite_node(slicer.mrmlScene, layout.CHANGE)
        if nodes is None or composite is None or self._updating:
            return
        self._updating = True
        shown = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID() or "")
        extra = next((name for name, node in nodes.extras.items() if node is shown and node is not None), "")
        button = self.ui.noMapButton
        if shown is not None and shown is nodes.change:
            button = self.ui.changeMapButton
        elif shown is not None and shown is nodes.jacobian:
            button = self.ui.jacobianMapButton
        elif extra:
            button = self.ui.extraMapButton
            self.ui.extraComboBox.setCurrentIndex(list(nodes.extras).index(extra))
        # While another result is compared there, the map that comes back after it stays chosen.
        if shown is not None or composite.GetBackgroundVolumeID() == nodes.source.GetID():
            button.setChecked(True)
        if nodes.motion is not None and not self.ui.intensityButton.checked:
            for kind, box in self._motion_boxes():
                drawn = transform_display(nodes.motion, kind)
                if drawn is not None:
                    box.setChecked(bool(drawn.GetVisibility()))
        self._updating = False

    def _motion_boxes(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("glyphs", self.ui.glyphsCheckBox), ("grid", self.ui.gridCheckBox), ("contours", self.ui.contoursCheckBox),
        )  # fmt: skip

    def _on_range(self, *_value: Any) -> None:
        nodes = self.nodes
        if self._updating or nodes is None:
            return
        factor = float(self.ui.rangeSlider.value) / 100.0
        for node, bound in ((nodes.jacobian, nodes.ranges.expansion), (nodes.change, nodes.ranges.change)):
            if node is not None and bound > 0:
                node.GetDisplayNode().SetWindowLevelMinMax(-bound * factor, bound * factor)
        layout.refresh_legends(slicer.mrmlScene)

    def _on_layout(self, *_checked: Any) -> None:
        self.session.show_views()

    def _on_estimate(self, *_checked: Any) -> None:
        self.session.estimate()

    def _on_remove(self, *_checked: Any) -> None:
        question = _("Take this result out of the scene, with its maps, points and contours? This cannot be undone.")
        if slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Remove result")):
            self.session.remove_shown(at_once=False)

    def _on_dicom(self, *_checked: Any) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder for the DICOM files"))
        folder = chosen if isinstance(chosen, str) else chosen[0]
        shown = self.session.shown
        if folder and shown is not None:
            with slicer.util.tryWithErrorDisplay(_("The result was not written as DICOM."), waitCursor=True):
                made = save_as_dicom(shown.translation, shown.nodes.source, Path(folder))
                slicer.util.showStatusMessage(_("Written: {folder}").format(folder=made), 5000)

    def _fill_results(self) -> None:
        """Every result of the scene by its title, to be shown or to be compared with."""
        shown = self.session.shown
        self._updating = True
        runs = self.session.runs() if self.session.shown is not None else []
        for box in (self.ui.resultComboBox, self.ui.compareComboBox):
            box.clear()
        self.ui.compareComboBox.addItem(_("Nothing"), -1)
        for run in runs:
            self.ui.resultComboBox.addItem(run_title(run), run.folder)
            if shown is not None and run.folder == shown.nodes.folder:
                self.ui.resultComboBox.setCurrentIndex(self.ui.resultComboBox.count - 1)
            elif "translated" in run.nodes:
                self.ui.compareComboBox.addItem(run_title(run), run.folder)
        for name in ("resultLabel", "resultComboBox", "compareLabel", "compareComboBox"):
            getattr(self.ui, name).setVisible(len(runs) > 1)
        self._updating = False

    def _on_result(self, *_index: Any) -> None:
        if not self._updating and self.ui.resultComboBox.currentIndex >= 0:
            self.session.choose(int(self.ui.resultComboBox.itemData(self.ui.resultComboBox.currentIndex)))

    def _on_compare(self, *_index: Any) -> None:
        """The translated scan of another result in the place of the colour map, beside that of the shown one."""
        nodes = self.nodes
        if self._updating or nodes is None or self.ui.compareComboBox.currentIndex < 0:
            return
        folder = int(self.ui.compareComboBox.itemData(self.ui.compareComboBox.currentIndex))
        other = next((run for run in self.session.runs() if run.folder == folder), None)
        if other is None:
            self._on_map()
        else:
            layout.show_volumes(slicer.mrmlScene, layout.CHANGE, other.nodes["translated"])


def run_title(run: Run) -> str:
    """A result in a list, what was asked for first: the lists are narrow, and scan and model are often the same."""
    node = run.nodes.get("translated")
    request = request_of_node(node) if node is not None else ""
    if not request:
        return run.title
    scan = run.source.GetName() if run.source is not None else ""
    return f"{request} ({', '.join(filter(None, (node.GetAttribute(f'{PREFIX}Package'), scan)))})"


def volume_words(segments: Sequence[dict[str, Any]]) -> str:
    """The largest changes of volume, as ``Ventricles +43 %, hippocampus -8 %``; unknown changes are left out."""
    known = [s for s in segments if s["change_percent"] is not None and (s["volume_before_mm3"] or 0.0) >= SMALLEST_MM3]
    known = sorted(known, key=lambda s: -abs(s["change_percent"]))[:MOST_VOLUMES]
    return ", ".join(
        f"{s['name']} {s['change_percent']:+.{0 if abs(s['change_percent']) >= 10 else 1}f} %" for s in known
    )


def motion_words(ranges: Ranges) -> str:
    """How far the anatomy moved, in figures that are true of every voxel."""
    if ranges.motion_most_mm <= 0:
        return _("Nothing moved.")
    return _("99 % of the head moved less than {most_of_it:.2g} mm, the rest at most {most:.2g} mm.").format(
        most_of_it=ranges.motion_mm, most=display.round_up(ranges.motion_most_mm)
    )


def recomposition_words(percent: float) -> str:
    """How closely motion and intensity change together give the model's output, in % of the scan's grey range."""
    shown = _("less than 0.01 %") if percent < 0.01 else f"{percent:.2g} %"
    return _("Motion and intensity change together give the model's own output; the difference is {size}.").format(
        size=shown
    )


def _origin_words(origin: str) -> str:
    """Where the motion comes from, in a sentence."""
    return {
        "model": _("The motion is the model's own."),
        "identity": _("This model promises not to move anything."),
        "estimated": _("The motion was ESTIMATED afterwards by registration; it is not the model's own."),
        "none": _("This model gives no motion."),
    }.get(origin, "")
