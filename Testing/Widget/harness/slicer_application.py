# ruff: noqa: N815 - the names are Slicer's
"""``qt``, ``ctk``, ``slicer.app`` and module loading, as Slicer offers them to a scripted module."""

from __future__ import annotations

import importlib.util
import sys
import time
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, Signal

from harness import ctk_widgets, mrml_widgets, pythonqt
from harness.layout_manager import LayoutManager
from harness.ui_files import UiLoader
from SITTranslateLib.scene.headless.application import Application, application

REPOSITORY = Path(__file__).resolve().parents[3]
OWN_MODULES = Path(__file__).with_name("slicer_modules")


@pythonqt.speaks_pythonqt
class SlicerApp(QObject):
    """``slicer.app``: only what exists there; anything else is an AttributeError, as in Slicer."""

    startupCompleted = Signal()
    aboutToQuit = Signal()

    def __init__(self, app: Application, layout_manager: LayoutManager) -> None:
        super().__init__()
        self._app, self._layout_manager = app, layout_manager
        self.temporaryPath = str(app.folder)

    def testingEnabled(self) -> bool:
        return True

    def topLevelWidgets(self) -> list[Any]:
        return list(QtWidgets.QApplication.topLevelWidgets())

    def layoutManager(self) -> LayoutManager:
        return self._layout_manager

    def applicationLogic(self) -> Any:
        return self._app.logic

    def mrmlScene(self) -> Any:
        return self._app.scene

    def processEvents(self, *_: Any) -> None:
        QtWidgets.QApplication.processEvents()

    def setOverrideCursor(self, _cursor: Any) -> None:
        pass

    def restoreOverrideCursor(self) -> None:
        pass

    def extensionsManagerModel(self) -> Any:
        return None

    def userSettings(self) -> Any:
        return QtCore.QSettings()


class ModuleParent:
    """What Slicer hands to the module class as ``parent``."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = path.stem
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self.contributors: list[str] = []
        self.icon: Any = None
        self.hidden = False


class Harness:
    """The stand-ins, installed once in this process."""

    def __init__(self) -> None:
        self.qt_app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["SITTranslateTest"])
        self.app = application()
        self._containers: list[Any] = []
        # PySide6 finds the meta-objects of their classes deleted once widgets are collected.
        self._opened: list[Any] = []
        QtCore.QCoreApplication.setOrganizationName("SITTranslateTest")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(self.app.folder))
        pythonqt.use_properties_as_attributes()
        self.layout_manager = LayoutManager(self.app, views=True)
        self.slicer_app = SlicerApp(self.app, self.layout_manager)
        self._install_qt()
        self._headless: Any = None

    def enter(self) -> None:
        """``slicer`` has widgets and a window, until :meth:`leave`."""
        if self._headless is None:
            self._headless = slicer.app
            self._install_slicer()
            self.layout_manager.follow()

    def leave(self) -> None:
        """No window follows the scene any more."""
        self.layout_manager.part()
        slicer.app, self._headless = self._headless, None

    def load(self, path: Path) -> tuple[Any, ModuleParent]:
        """Import a module file and make its module class, as Slicer's factory does."""
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        parent = ModuleParent(path)
        instance = getattr(module, path.stem)(parent)
        setattr(slicer.modules, path.stem.lower(), parent)
        setattr(slicer.modules, f"{path.stem}Instance", instance)
        return module, parent

    def open(self, module: Any, name: str) -> Any:
        """The module's widget, set up and entered, in a container that can be shown; the event loop has run once."""
        container = mrml_widgets.qSlicerWidget()
        container.setLayout(QtWidgets.QVBoxLayout())
        container.setMRMLScene(slicer.mrmlScene)
        self._containers.append(container)
        widget = getattr(module, f"{name}Widget")(container)
        self._opened.append(widget)
        setattr(slicer.modules, f"{name}Widget", widget)
        widget.setup()
        widget.enter()
        self.qt_app.processEvents()
        return widget

    def close(self) -> None:
        """Part every opened widget from the scene: destroyed widgets of Slicer no longer follow it."""
        while self._containers:
            for widget in self._containers.pop().findChildren(QtWidgets.QWidget):
                if hasattr(widget, "setMRMLScene"):
                    widget.setMRMLScene(None)

    def wait(self, condition: Callable[[], bool], seconds: float = 400.0, what: str = "it") -> None:
        """Run the event loop until a condition holds; the limit is for what never happens."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
            self.qt_app.processEvents()
            time.sleep(0.005)

    def _install_qt(self) -> None:
        qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
        for source in (QtCore, QtGui, QtWidgets):
            for name in dir(source):
                if not name.startswith("_"):
                    setattr(qt, name, getattr(source, name))
        qt.QUiLoader = UiLoader
        # PythonQt cannot declare these in Python: a module that tries must fail here as well.
        for name in ("Signal", "Slot", "Property"):
            delattr(qt, name)
        for cls in ctk_widgets.WIDGETS:
            setattr(ctk, cls.__name__, cls)
        sys.modules["qt"], sys.modules["ctk"] = qt, ctk

    def _install_slicer(self) -> None:
        for cls in mrml_widgets.WIDGETS:
            setattr(slicer, cls.__name__, cls)
        slicer.app = self.slicer_app
        if str(OWN_MODULES) not in slicer.__path__:
            slicer.__path__.append(str(OWN_MODULES))


def harness() -> Harness:
    """The harness of this process, entered."""
    shared = _harness()
    shared.enter()
    return shared


@cache
def _harness() -> Harness:
    return Harness()
