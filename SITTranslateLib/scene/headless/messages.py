"""Collection of VTK's messages, so that a test can fail on them."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class MessageCatcher:
    """Collects every VTK error and warning while it is active.

    Example:
        >>> with MessageCatcher() as messages:  # doctest: +SKIP
        ...     scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        >>> messages.errors  # doctest: +SKIP
        []
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._previous: Any = None

    def __enter__(self) -> MessageCatcher:
        import vtk

        window = vtk.vtkOutputWindow()
        window.SetDisplayModeToNever()

        @vtk.calldata_type(vtk.VTK_STRING)
        def on_error(_caller: Any, _event: str, text: str) -> None:
            self.errors.append(text.strip())

        @vtk.calldata_type(vtk.VTK_STRING)
        def on_warning(_caller: Any, _event: str, text: str) -> None:
            self.warnings.append(text.strip())

        window.AddObserver("ErrorEvent", on_error)
        window.AddObserver("WarningEvent", on_warning)
        self._previous = vtk.vtkOutputWindow.GetInstance()
        vtk.vtkOutputWindow.SetInstance(window)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import vtk

        vtk.vtkOutputWindow.SetInstance(self._previous)

    @property
    def all(self) -> list[str]:
        return self.errors + self.warnings
