"""Off-screen slice and 3D views, drawn by Slicer's own displayable managers.

A view observes its MRML view node exactly as Slicer's widgets do. Only the image of a slice view is put on the screen
here, because Slicer does that in a Qt widget.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.opengl import require_opengl

Pixels = NDArray[np.uint8]

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLColorLegendDisplayableManager",
)


class View:
    """An off-screen window with Slicer's displayable managers on it.

    Attributes:
        node: the MRML view node that it shows.
        annotations: renderer above everything, for text.
    """

    def __init__(self, app: Application, size: tuple[int, int]) -> None:
        require_opengl()
        import slicer
        import vtk

        self.app = app
        self.renderer = vtk.vtkRenderer()
        # Layer 1 is where Slicer draws what lies above the image; layer 2 is ours, for text.
        self.annotations = vtk.vtkRenderer()
        self.annotations.SetLayer(2)
        self.annotations.InteractiveOff()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.ShowWindowOff()
        self.window.SetAlphaBitPlanes(1)
        self.window.SetMultiSamples(4)
        self.window.SetNumberOfLayers(3)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)
        self.node: Any = None
        self._resize(size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.window.GetSize()
        return int(width), int(height)

    def grab(self) -> Pixels:
        """Image of the view, ``(height, width, 3)``, first row on top."""
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        self.window.Render()
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(self.window)
        reader.SetInputBufferTypeToRGB()
        reader.ReadFrontBufferOff()
        reader.ShouldRerenderOff()
        reader.Update()
        image = reader.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1].copy()

    def close(self) -> None:
        """Let go of the node and of the OpenGL context."""
        self.managers.SetMRMLDisplayableNode(None)
        self.window.Finalize()

    def _resize(self, size: tuple[int, int]) -> None:
        self.window.SetSize(*size)
        self.interactor.UpdateSize(*size)

    def _manage(self, factory: Any, names: tuple[str, ...]) -> None:
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers.Initialize(factory, self.renderer)
        self.window.AddRenderer(self.annotations)


class SliceView(View):
    """A slice view; shows the node of the layout if one with this name exists, else makes its own."""

    def __init__(self, app: Application, name: str, size: tuple[int, int] = (600, 600)) -> None:
        super().__init__(app, size)
        import slicer
        import vtk

        self.renderer.GetActiveCamera().ParallelProjectionOn()
        overlay = vtk.vtkRenderer()
        overlay.SetLayer(1)
        overlay.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(overlay)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._manage(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), SLICE_MANAGERS)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(app.logic)
        app.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        self.node = app.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        if self.node is None:
            self.node = self.logic.AddSliceNode(name)
        else:
            # AddSliceNode would return an orphan where the layout has made the node already.
            self.logic.SetSliceNode(self.node)
        self.node.SetMappedInLayout(1)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.resize(size)

    @property
    def composite(self) -> Any:
        """Its ``vtkMRMLSliceCompositeNode``: which volumes it shows."""
        return self.logic.GetSliceCompositeNode()

    def resize(self, size: tuple[int, int]) -> None:
        self._resize(size)
        self.logic.ResizeSliceNode(*size)

    def fit(self) -> None:
        """Show the whole background volume."""
        self.logic.FitSliceToBackground()

    def grab(self) -> Pixels:
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        if connection is not None and not self.renderer.HasViewProp(self._actor):
            self.renderer.AddViewProp(self._actor)
        self._actor.SetVisibility(connection is not None)
        return super().grab()

    def close(self) -> None:
        super().close()
        self.app.logic.GetSliceLogics().RemoveItem(self.logic)


class ThreeDView(View):
    """A 3D view; shows the node of the layout if one with this name exists, else makes its own."""

    def __init__(self, app: Application, name: str, size: tuple[int, int] = (600, 600)) -> None:
        super().__init__(app, size)
        import slicer

        self._manage(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), THREE_D_MANAGERS)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(app.logic)
        app.logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        self.node = app.scene.GetSingletonNode(name, "vtkMRMLViewNode")
        if self.node is None:
            self.node = self.logic.AddViewNode(name)
        self.node.SetMappedInLayout(1)
        self.managers.SetMRMLDisplayableNode(self.node)

    def resize(self, size: tuple[int, int]) -> None:
        self._resize(size)

    @property
    def camera(self) -> Any:
        return self.renderer.GetActiveCamera()

    def look(self, azimuth: float, elevation: float, zoom: float = 1.0) -> None:
        """View from the front (anterior), turned by degrees; ``zoom`` > 1 enlarges."""
        import slicer

        box, letters = self.node.GetBoxVisible(), self.node.GetAxisLabelsVisible()
        self.node.SetBoxVisible(0)
        self.node.SetAxisLabelsVisible(0)
        self.window.Render()
        manager = self.managers.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager")
        manager.GetCameraNode().RotateTo(slicer.vtkMRMLCameraNode.Anterior)
        self.camera.Azimuth(azimuth)
        self.camera.Elevation(elevation)
        self.camera.OrthogonalizeViewUp()
        self.renderer.ResetCamera()
        self.camera.Zoom(zoom)
        self.node.SetBoxVisible(box)
        self.node.SetAxisLabelsVisible(letters)
        self.renderer.ResetCameraClippingRange()

    def close(self) -> None:
        super().close()
        self.app.logic.GetViewLogics().RemoveItem(self.logic)
