"""The base classes of scripted modules, as much as this module uses of them."""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path
from typing import Any

import slicer


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        """As ``slicer.util.reloadScriptedModule``: the file runs again; a new widget is set up, but **not entered**."""
        path = sys.modules[self.moduleName].__file__
        spec = importlib.util.spec_from_file_location(self.moduleName, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.moduleName] = module
        spec.loader.exec_module(module)
        for child in self.parent.children():
            if hasattr(child, "hide"):
                child.hide()
        getattr(slicer.modules, f"{self.moduleName}Widget").cleanup()
        while self.layout.count():
            self.layout.takeAt(0)
        widget = getattr(module, f"{self.moduleName}Widget")(self.parent)
        setattr(slicer.modules, f"{self.moduleName}Widget", widget)
        widget.setup()


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node.SetName(scene.GenerateUniqueName(self.moduleName))
            node = scene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def runTest(self) -> None:
        pass

    def delayDisplay(self, message: str, *_: Any) -> None:
        print(Path(__file__).stem, message)
