"""The harness notices what Slicer would drop without a word; the module's files have none of it."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import slicer
import vtk
from harness import Harness
from harness.observers import ObserverWatch
from harness.ui_files import UiFileError, check

UI = Path(__file__).resolve().parents[2] / "Resources" / "UI"


@pytest.mark.parametrize("file", sorted(UI.glob("*.ui")), ids=lambda p: p.stem)
def test_ui_files_name_only_what_exists(file: Path) -> None:
    check(file)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name="noneEnabled"', 'name="noneEnabld"', "no property noneEnabld"),
        ('class="QCheckBox"', 'class="QChekBox"', "no widget QChekBox"),
        ("<receiver>inputSelector</receiver>", "<receiver>inputSelektor</receiver>", "no receiver"),
    ],
)
def test_a_slip_in_a_ui_file_is_an_error(old: str, new: str, words: str, tmp_path: Path, scene: Any) -> None:
    text = (UI / "InputSection.ui").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "slip.ui").write_text(text.replace(old, new))
    with pytest.raises(UiFileError, match=words):
        slicer.util.loadUI(str(tmp_path / "slip.ui"))


def test_a_slip_in_python_is_an_error(panel: Any) -> None:
    with pytest.raises(AttributeError, match="no signal"):
        panel.input.ui.inputSelector.connect("currentNodeChangd(vtkMRMLNode*)", print)
    with pytest.raises(AttributeError, match="no form with 3"):
        panel.apply.ui.applyButton.connect("clicked(bool,int,int)", print)
    with pytest.raises(TypeError):
        panel.model.ui.useLabel.text()
    with pytest.raises(AttributeError):
        slicer.app.noSuchThing()


def test_every_control_is_wired(panel: Any) -> None:
    """A button, box, slider or list that no code touches is a forgotten one."""
    code = "".join(p.read_text(encoding="utf-8") for p in (UI.parents[1] / "SITTranslateLib" / "ui").glob("*.py"))
    kinds = {"QPushButton", "QCheckBox", "QComboBox", "QSpinBox", "QLineEdit", "QListWidget", "QTableWidget",
             "ctkSliderWidget", "qMRMLNodeComboBox"}  # fmt: skip
    controls = {
        element.get("name")
        for file in UI.glob("*.ui")
        for element in ElementTree.parse(file).iter("widget")
        if element.get("class") in kinds
    }
    assert len(controls) > 30
    assert not [name for name in controls if f"ui.{name}" not in code]


def test_every_control_says_what_it_does() -> None:
    kinds = {"QPushButton", "QCheckBox", "QRadioButton", "QComboBox", "QSpinBox", "QLineEdit", "QListWidget",
             "QTableWidget", "ctkSliderWidget", "qMRMLNodeComboBox"}  # fmt: skip
    silent = [
        f"{file.stem}.{element.get('name')}"
        for file in UI.glob("*.ui")
        for element in ElementTree.parse(file).iter("widget")
        if element.get("class") in kinds
        and not any(described.get("name") == "toolTip" for described in element.findall("property"))
    ]
    assert silent == []


@pytest.mark.parametrize("file", sorted((UI.parents[1] / "SITTranslateLib" / "ui").glob("*.py")), ids=lambda p: p.stem)
def test_every_sentence_can_be_translated(file: Path) -> None:
    """Slicer's translators find only what stands literally in ``_(...)``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))  # a docstring
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            assert isinstance(node.args[0], ast.Constant), f"line {node.lineno}: not a literal"
            passed.update(id(part) for part in ast.walk(node))
    sentence = re.compile(r"\w+ \w+.*[.:?]$", re.DOTALL)
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed
        and sentence.search(node.value)
    ]  # fmt: skip
    assert found == []


def test_the_panel_fits_a_narrow_module_panel(panel: Any, slicer_harness: Harness) -> None:
    for section in panel.sections:
        assert section.widget.minimumSizeHint().width() <= 440, section.UI


def test_an_observer_that_is_left_behind_is_noticed() -> None:
    observed = vtk.vtkObject()
    watch = ObserverWatch([observed])
    kept = observed.AddObserver("ModifiedEvent", lambda *_: None)
    observed.RemoveObserver(observed.AddObserver("AnyEvent", lambda *_: None, 1.0))
    assert watch.left == [("vtkObject", kept)]
    watch.stop()
    observed.RemoveObserver(kept)
    assert observed.HasObserver("ModifiedEvent") == 0
