"""Slicer's application logic with the module logics that a translation needs, on the ``slicer-core`` wheel.

The order of the calls matters: a module logic wants its application logic before its scene, the colour logic wants
a home before default colours, and reading a bundle wants a cache folder.
"""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from SITTranslateLib.host.folders import private_folder
from SITTranslateLib.scene.headless.opengl import choose_offscreen_window
from SITTranslateLib.scene.layout import enter_layout

LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Models": "vtkSlicerModelsLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Sequences": "vtkSlicerSequencesLogic",
}


class Application:
    """One per process, through :func:`application`: Slicer's factories are singletons.

    Attributes:
        scene: the MRML scene, also ``slicer.mrmlScene``.
        logic: ``vtkSlicerApplicationLogic``.
        logics: module logics by name, also ``slicer.modules.<name>.logic()``.
    """

    def __init__(self, folder: Path) -> None:
        import slicer
        import vtk

        choose_offscreen_window()
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
        self.folder = folder
        self.scene = slicer.vtkMRMLScene()
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.logic = self._application_logic()
        self.logics: dict[str, Any] = {}
        for name, cls in LOGICS.items():
            if hasattr(slicer, cls):
                self._add_logic(name, getattr(slicer, cls)())
        self._keep_bundle_reader()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._layout_logic: Any = None
        self._publish()

    def clear(self) -> None:
        """Empty the scene, as closing it does; views, crosshair and colours stay."""
        self.scene.Clear(False)

    def show_layout(self, *, table: bool = False) -> None:
        """Make the view nodes of our layout; Slicer's layout manager does it in the application."""
        import slicer

        if self._layout_logic is None:
            self._layout_logic = slicer.vtkMRMLLayoutLogic()
            self._layout_logic.SetMRMLApplicationLogic(self.logic)
            self._layout_logic.SetMRMLScene(self.scene)
        enter_layout(self.scene, table=table)

    def _application_logic(self) -> Any:
        import slicer
        import vtk

        home = self.folder / "home"
        # Slicer looks for the user's colour files below its share folder.
        (home / "share" / "ColorFiles").mkdir(parents=True, exist_ok=True)
        logic = slicer.vtkSlicerApplicationLogic()
        logic.SetHomeDirectory(str(home))
        logic.SetShareDirectory("share")
        logic.SetMRMLScene(self.scene)
        logic.SetTemporaryPath(str(self.folder))
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        logic.GetColorLogic().SetMRMLScene(self.scene)
        logic.GetColorLogic().AddDefaultColorNodes()
        for factory in (
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        ):
            factory.GetInstance().SetMRMLApplicationLogic(logic)
        return logic

    def _add_logic(self, name: str, logic: Any) -> None:
        logic.SetMRMLApplicationLogic(self.logic)
        logic.SetMRMLScene(self.scene)
        self.logic.SetModuleLogic(name, logic)
        self.logics[name] = logic

    def _keep_bundle_reader(self) -> None:
        """Storage nodes and ``ReadFromMRB`` need a data manager with a cache folder."""
        import slicer

        remote = slicer.vtkMRMLRemoteIOLogic()
        remote.SetMRMLScene(self.scene)
        remote.SetMRMLApplicationLogic(self.logic)
        cache_folder = self.folder / "cache"
        cache_folder.mkdir(exist_ok=True)
        # Slicer empties a cache folder only where this file marks it as one.
        (cache_folder / ".slicer-cache").touch()
        remote.GetCacheManager().SetRemoteCacheDirectory(str(cache_folder))
        manager = slicer.vtkDataIOManagerLogic()
        manager.SetMRMLScene(self.scene)
        manager.SetMRMLApplicationLogic(self.logic)
        manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
        remote.AddDataIOToScene()
        self._remote, self._manager = remote, manager

    def _publish(self) -> None:
        """The names that scripts find in Slicer: ``slicer.mrmlScene``, ``slicer.modules``, ``slicer.app``."""
        import slicer

        def nothing(*_: Any) -> None:
            return None

        slicer.mrmlScene = self.scene
        slicer.modules = SimpleNamespace(
            **{
                name.lower(): SimpleNamespace(logic=(lambda logic=logic: logic), name=name, path="")
                for name, logic in self.logics.items()
            }
        )
        slicer.app = SimpleNamespace(
            applicationLogic=lambda: self.logic,
            temporaryPath=str(self.folder),
            mrmlScene=lambda: self.scene,
            pauseRender=nothing,
            resumeRender=nothing,
            processEvents=nothing,
            setRenderPaused=nothing,
            layoutManager=nothing,
            commandOptions=lambda: SimpleNamespace(testingEnabled=True, noMainWindow=True),
        )


@cache
def application() -> Application:
    """The application of this process, made at the first call; its temporary folder goes when the process ends."""
    folder = private_folder("sittranslate-scene-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Application(folder)
