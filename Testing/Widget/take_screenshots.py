# ruff: noqa: E402 - the harness must be found first
"""Pictures of the module for README and tutorial: the real panel beside the views that Slicer's own managers draw.

    python Testing/Widget/take_screenshots.py --out FOLDER
    python Testing/Widget/take_screenshots.py --out FOLDER --data ../shared/data --set age=40 --set years=20

Most of those of the repository were taken in Slicer itself. The first takes the tutorial's pictures: the brain is the
ICBM152 average that nilearn brings along, so they may be published. The second takes the whole window on a patient's
scan, and a forecast from two visits of another (open_ms_data, patients 26 and 1, CC BY, which allows pictures that name
their source). Qt widgets are drawn by PySide6 in Qt's plain style, not by Slicer: the buttons look a little different.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE), str(REPOSITORY)]

import numpy as np
import slicer
from harness import Harness, harness
from PIL import Image
from PySide6 import QtCore, QtGui, QtWidgets

from SITTranslateLib.app.demo_brain import NAMES, load_brain
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.display import grey_range, show_scan
from SITTranslateLib.scene.presentation import frame
from SITTranslateLib.scene.segmentation import add_segmentation_node
from SITTranslateLib.scene.table import rows_of_node
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translate.structures import find_structures
from SITTranslateLib.volume import Volume

PANEL, VIEWS = (452, 1160), (1388, 1160)
#: Where the 3D view begins in a picture of the window.
WITHOUT_3D = PANEL[0] + 4 + round(0.66 * VIEWS[0])
#: What is set unless the command line says so.
ASKED = ("age=60", "years=20")
#: Attributes of the panel.
SECTIONS = (
    "input", "model", "attributes", "apply", "change", "structures", "trace", "sweep", "prescribe", "forecast", "pair",
)  # fmt: skip
#: What the pictures of the whole window fold away.
FOLDED = ("input", "model", "trace", "sweep", "prescribe", "forecast", "pair")
_TABLE_COLUMNS = {
    "name": "Segment", "volume_before_mm3": "mL before", "volume_after_mm3": "after", "change_percent": "%",
    "motion_mean_mm": "mm", "verdict": "Verdict",
}  # fmt: skip


class Photographer:
    """Opens the module, walks through it, and takes a picture of each step."""

    def __init__(self, scan: Volume, labels: Volume, names: dict[int, str], name: str) -> None:
        self.harness: Harness = harness()
        self.harness.qt_app.setStyle("Fusion")
        self.harness.qt_app.setPalette(_light_palette())
        font = QtGui.QFont("DejaVu Sans")
        font.setPixelSize(12)
        self.harness.qt_app.setFont(font)
        module, _ = self.harness.load(REPOSITORY / "SITTranslate" / "SITTranslate.py")
        self.widget = self.harness.open(module, "SITTranslate")
        self.panel = self.widget.panel
        self.volume = add_volume_node(slicer.mrmlScene, scan, name)
        show_scan(self.volume, *grey_range(scan.array))
        self.segmentation = add_segmentation_node(slicer.mrmlScene, labels, names, f"{name.split()[0]} segments")
        self.point = np.array([0.0, -18.0, 18.0])
        self.segmentation.GetDisplayNode().SetVisibility(0)
        self.scroll = QtWidgets.QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.scroll.setWidget(self.widget.parent)
        self.scroll.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.scroll.resize(*PANEL)
        self.scroll.show()

    def choose(self, model: str) -> None:
        """Pick the scan, the model and the CPU."""
        panel = self.panel
        panel.input.set_node(self.volume)
        panel.model.select(model)
        self.harness.wait(lambda: panel.input.ui.fitLabel.text != "", 120, "the gate")
        self.harness.wait(lambda: panel.model.ui.deviceSelector.itemText(1) != "CPU", 120, "the devices")
        panel.model.ui.deviceSelector.setCurrentIndex(panel.model.ui.deviceSelector.count - 1)

    def fold(self, *folded: str) -> None:
        """Fold these sections of the panel and unfold all others."""
        for name in SECTIONS:
            getattr(self.panel, name).ui.sectionButton.collapsed = name in folded

    def window(self, locate_head: Any = None) -> np.ndarray:
        """The panel beside the views."""
        for _ in range(5):
            self.harness.qt_app.processEvents()
        if locate_head is not None:
            self.scroll.ensureWidgetVisible(locate_head, 0, 0)
            self.harness.qt_app.processEvents()
        left = _pixels(self.scroll.grab())
        # Twice: views learn their size in the first pass, and are framed for it before the second.
        self.harness.layout_manager.grab(VIEWS, self._other)
        self.frame_views()
        right = self.harness.layout_manager.grab(VIEWS, self._other)
        return np.concatenate([left, np.full((PANEL[1], 4, 3), 60, np.uint8), right], axis=1)

    def frame_views(self, orientation: str = "Axial") -> None:
        shown = self.panel.session.shown
        if shown is None:
            return
        for name in layout.SLICES:
            view = self.harness.layout_manager.view(name)
            if view is not None:
                frame(view.node, orientation, self.point, shown.nodes.box, view.size, fill=0.84)
        space = self.harness.layout_manager.view(layout.THREE_D)
        if space is not None:
            space.look(35.0, 12.0, 1.4)

    def translate(self, **attributes: float) -> np.ndarray:
        """Apply; returns the sections that show it running."""
        self.panel.attributes.set_values(attributes)
        self.panel.apply.ui.applyButton.click()
        bar = self.panel.apply.ui.progressBar
        self.harness.wait(lambda: bar.value >= 30 or not self.panel.session.running, 300, "the progress")
        running = self.sections("attributes", "apply")
        self.wait_for_result()
        return running

    def wait_for_result(self) -> None:
        """Wait for the run, the volumes of structures and their contours."""
        self.harness.wait(lambda: not self.panel.session.running, 300, "the translation")
        assert self.panel.session.shown is not None, self.panel.apply.ui.messageLabel.text
        self.harness.wait(lambda: self.panel.structures.found is not None, 120, "the volumes of structures")
        self.harness.wait(lambda: not self.panel.session.busy, 120, "the contours")

    def sections(self, *names: str) -> np.ndarray:
        """Sections of the panel, one below the other."""
        for _ in range(3):
            self.harness.qt_app.processEvents()
        return np.concatenate([_pixels(getattr(self.panel, name).widget.grab()) for name in names])

    def measure(self) -> None:
        self.panel.trace.ui.segmentSelector.setCurrentNode(self.segmentation)
        self.panel.trace.measure()
        self.harness.wait(lambda: self.panel.trace.table is not None, 300, "the segment table")

    def fill_prescription(self, preset: str, age: float, years: float) -> None:
        """Fill the table of *Prescribe a change* from a preset."""
        ui = self.panel.prescribe.ui
        ui.presetComboBox.setCurrentText(preset)
        ui.ageSpinBox.value, ui.yearsSpinBox.value = age, years
        self.panel.prescribe.fill()
        self.harness.wait(lambda: bool(self.panel.prescribe.changes()), 60, "the preset")

    def trace(self, *points: tuple[float, float, float]) -> None:
        for point in points:
            known = len(self.panel.trace.points)
            self.panel.trace.trace(point)
            self.harness.wait(lambda known=known: len(self.panel.trace.points) > known, 60, "the trace")

    def _other(self, name: str, size: tuple[int, int]) -> np.ndarray | None:
        """A table view, which Qt draws in Slicer too."""
        if name != layout.TABLE:
            return None
        node = slicer.mrmlScene.GetSingletonNode(layout.TABLE, "vtkMRMLTableViewNode")
        table = (
            slicer.mrmlScene.GetNodeByID(node.GetTableNodeID()) if node is not None and node.GetTableNodeID() else None
        )
        widget = QtWidgets.QTableWidget()
        rows = rows_of_node(table) if table is not None else []
        widget.setRowCount(len(rows))
        widget.setColumnCount(len(_TABLE_COLUMNS))
        widget.setHorizontalHeaderLabels(list(_TABLE_COLUMNS.values()))
        widget.verticalHeader().setVisible(False)
        for index, row in enumerate(rows):
            for column, key in enumerate(_TABLE_COLUMNS):
                widget.setItem(index, column, QtWidgets.QTableWidgetItem(_cell(key, row[key])))
        widget.resizeColumnsToContents()
        widget.horizontalHeader().setStretchLastSection(True)
        widget.resize(*size)
        widget.show()
        self.harness.qt_app.processEvents()
        return _pixels(widget.grab())


def _cell(key: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return "-"
    if key.endswith("mm3"):
        return f"{value / 1000:.1f}"
    return f"{value:+.1f} %" if key == "change_percent" else f"{value:.2f}"


def _pixels(pixmap: Any) -> np.ndarray:
    image = pixmap.toImage().convertToFormat(QtGui.QImage.Format_RGB888)
    width, height = image.width(), image.height()
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(height, image.bytesPerLine())
    return rows[:, : 3 * width].reshape(height, width, 3).copy()


def _light_palette() -> Any:
    palette = QtGui.QPalette()
    roles = QtGui.QPalette
    for role, colour in (
        (roles.Window, "#f0f1f3"), (roles.Base, "#ffffff"), (roles.Button, "#e4e7eb"), (roles.Text, "#16191d"),
        (roles.WindowText, "#16191d"), (roles.ButtonText, "#16191d"), (roles.Highlight, "#2f6fb3"),
    ):  # fmt: skip
        palette.setColor(role, QtGui.QColor(colour))
    for role in (roles.Text, roles.WindowText, roles.ButtonText):
        palette.setColor(QtGui.QPalette.Disabled, role, QtGui.QColor("#9aa1a9"))
    return palette


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, optimize=True)


def patient(data: Path) -> tuple[Volume, Volume]:
    """T1w scan of a patient with multiple sclerosis, and labels: lesions as experts drew them, ventricles as found."""
    scan = read_volume(data / "ms_cross" / "patient26_T1w.nii.gz")
    lesions, _affine = read_labels(data / "ms_cross" / "patient26_lesions.nii.gz")
    found = find_structures(scan)
    share = sum(found.parts[f"{side} lateral ventricle"] for side in ("left", "right"))
    ventricles = on_grid(Volume(np.asarray(share, np.float32), found.grid.affine), scan.grid, outside=0.0).array > 0.5
    return scan, scan.with_array(np.where(lesions > 0, 2.0, ventricles).astype(np.float32))


def photograph_patient(options: argparse.Namespace) -> None:
    """The whole window on a patient's scan, with the segments measured and points traced."""
    scan, labels = patient(options.data)
    names = {1: "Lateral ventricles", 2: "MS lesions"}
    camera = Photographer(scan, labels, names, "Patient T1w")
    camera.point = np.array([0.0, -16.0, 22.0])
    camera.choose(options.model)
    camera.translate(**attributes(options))
    camera.measure()
    camera.trace((13.0, -22.0, 22.0), (-26.0, -38.0, 22.0))
    camera.fold(*FOLDED)
    save(camera.window(), options.out / "patient.png")
    camera.widget.cleanup()


def photograph_forecast(options: argparse.Namespace) -> None:
    """A forecast from two visits of a patient, ten years on."""
    visits = [read_volume(options.data / "ms_long" / f"patient01_study{visit}_T1W.nii.gz") for visit in (1, 2)]
    no_labels = visits[1].with_array(np.zeros(visits[1].shape, np.float32))
    camera = Photographer(visits[1], no_labels, {}, "Second visit T1w")
    first = add_volume_node(slicer.mrmlScene, visits[0], "First visit T1w")
    section = camera.panel.forecast
    section.ui.firstVisitSelector.setCurrentNode(first)
    section.ui.secondVisitSelector.setCurrentNode(camera.volume)
    section.ui.daysSpinBox.value, section.ui.forecastYearsSpinBox.value = 203.0, 10.0
    section.ui.visitAgeSpinBox.value = 40.0
    section.ui.normComboBox.setCurrentText("ms")
    section.ui.forecastButton.click()
    camera.wait_for_result()
    # Through the lateral ventricles.
    camera.point = camera.panel.session.shown.nodes.box.mean(axis=0) + np.array([0.0, 0.0, 8.0])
    camera.fold("input", "model", "attributes", "change", "trace", "sweep", "prescribe", "pair")
    save(camera.window(section.widget)[:, :WITHOUT_3D], options.out / "forecast.png")
    camera.widget.cleanup()


def photograph_comparison(options: argparse.Namespace) -> None:
    """Two results of one scan side by side: ten and thirty years on."""
    brain, labels = load_brain()
    camera = Photographer(brain, labels, NAMES, "ICBM152 T1")
    camera.choose(options.model)
    for years in (30.0, 10.0):
        camera.translate(**attributes(options) | {"years": years})
    camera.panel.change.ui.compareComboBox.setCurrentIndex(1)
    camera.fold("input", "model", "structures", "trace", "sweep", "prescribe", "forecast", "pair")
    window = camera.window(camera.panel.change.ui.compareComboBox)[:, :WITHOUT_3D]
    save(window, options.out / "compare.png")
    camera.widget.cleanup()


def attributes(options: argparse.Namespace) -> dict[str, float]:
    """What the model is asked for."""
    return {name: float(value) for name, _, value in (text.partition("=") for text in options.set or ASKED)}


def photograph_tutorial(options: argparse.Namespace) -> None:
    """Every step of the tutorial."""
    brain, labels = load_brain()
    camera = Photographer(brain, labels, NAMES, "ICBM152 T1")
    pictures, panel = options.out, camera.panel
    camera.choose(options.model)
    camera.fold()
    save(camera.sections("input"), pictures / "1-scan.png")
    panel.model.ui.detailsButton.setChecked(True)
    save(camera.sections("model"), pictures / "2-model.png")
    panel.model.ui.detailsButton.setChecked(False)
    running = camera.translate(**attributes(options))
    save(running, pictures / "3-apply.png")
    camera.trace((13.0, -22.0, 18.0), (-30.0, -40.0, 18.0))
    camera.fold(*FOLDED)
    window = camera.window()
    save(window, options.out / "SITTranslate.png")
    save(window[:, PANEL[0] + 4 :], pictures / "4-result.png")
    save(camera.sections("change"), pictures / "5-change.png")
    panel.change.ui.jacobianMapButton.click()
    panel.change.ui.glyphsCheckBox.click()
    panel.change.ui.gridCheckBox.click()
    below = camera.window()[VIEWS[1] // 2 :, PANEL[0] + 4 : WITHOUT_3D]
    save(below, pictures / "6-expanded-and-shrank.png")
    camera.fold()
    camera.measure()
    save(camera.sections("trace"), pictures / "7-trace.png")
    save(camera.sections("sweep"), pictures / "8-sweep.png")
    save(camera.sections("pair"), pictures / "9-pair.png")
    save(camera.sections("structures"), pictures / "volumes.png")
    camera.fill_prescription("healthy-ageing", age=60.0, years=20.0)
    save(camera.sections("prescribe"), pictures / "prescribe.png")
    camera.widget.cleanup()


SERIES = {
    "tutorial": photograph_tutorial,
    "patient": photograph_patient,
    "forecast": photograph_forecast,
    "comparison": photograph_comparison,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="prescribed-change")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="attribute; by default age=60, years=20")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--data", type=Path, default=None, help="folder with ms_cross, ms_long: patients' pictures")
    parser.add_argument(
        "--only", choices=sorted(SERIES), help="one series of pictures; by default all that --data allows"
    )
    options = parser.parse_args()
    usual = ("patient", "forecast") if options.data is not None else ("tutorial", "comparison")
    for series in (options.only,) if options.only else usual:
        SERIES[series](options)
        slicer.mrmlScene.Clear(False)


if __name__ == "__main__":
    main()
