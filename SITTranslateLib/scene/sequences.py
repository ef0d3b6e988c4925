"""Steps and sweeps as a sequence for Slicer's sequence browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_BROWSER = "vtkMRMLSequenceBrowserNode"
#: Few frames that differ little: slow enough to see what each brings.
FRAMES_PER_SECOND = 4.0


@dataclass(frozen=True)
class Axis:
    """Quantity that differs between frames: a name, and the unit of its numbers (empty for none)."""

    name: str
    unit: str = ""


def available() -> bool:
    """Whether this Slicer was built with sequences."""
    import slicer

    return hasattr(slicer, "vtkMRMLSequenceNode") and hasattr(slicer, _BROWSER)


def add_browser(scene: Any, name: str) -> Any:
    """Browser that plays sequences together, at its first frame as soon as it has one."""
    browser = scene.AddNewNodeByClass(_BROWSER, scene.GenerateUniqueName(name))
    browser.SetPlaybackRateFps(FRAMES_PER_SECOND)
    return browser


def add_sequence(browser: Any, node: Any, name: str, axis: Axis, frames: Sequence[tuple[float, Any]]) -> Any:
    """A sequence that the browser plays in a node of the scene, which shows the first frame at once.

    Args:
        browser: of :func:`add_browser`.
        node: displays what is played; looks, name and attributes stay as they are.
        name: of the sequence.
        axis: what the frames differ in.
        frames: value on the axis, and a node of the same class outside the scene (see :func:`frame_like`).

    Returns:
        The ``vtkMRMLSequenceNode``.
    """
    scene = browser.GetScene()
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    sequence.SetIndexName(axis.name)
    sequence.SetIndexUnit(axis.unit)
    sequence.SetIndexTypeFromString("numeric")
    for value, frame in frames:
        sequence.SetDataNodeAtValue(frame, f"{value:g}")
    was = browser.StartModify()
    # This also takes the sequence in. Taken in before, Slicer would make a node of its own to play it in, and leave it.
    browser.AddProxyNode(node, sequence, False)
    # The node follows the browser, never the other way round.
    browser.SetSaveChanges(sequence, False)
    browser.SetOverwriteProxyName(sequence, False)
    browser.SetSelectedItemNumber(0)
    browser.EndModify(was)
    return sequence


def frame_like(node: Any) -> Any:
    """An empty node outside the scene, as a frame to be played in ``node``, which takes over its attributes too."""
    frame = node.GetScene().CreateNodeByClass(node.GetClassName())
    frame.UnRegister(None)
    frame.SetName(node.GetName())
    frame.SetDescription(node.GetDescription())
    for key in node.GetAttributeNames():
        frame.SetAttribute(key, node.GetAttribute(key))
    if frame.IsA("vtkMRMLVolumeNode"):
        frame.CopyOrientation(node)
    return frame


def browser_of(node: Any) -> Any:
    """Browser that plays frames in a node; None if there is none."""
    scene = node.GetScene()
    if scene is None:
        return None
    for index in range(scene.GetNumberOfNodesByClass(_BROWSER)):
        browser = scene.GetNthNodeByClass(index, _BROWSER)
        if browser.IsProxyNode(node.GetID()):
            return browser
    return None


def is_browser(node: Any) -> bool:
    """Whether a node plays sequences."""
    return bool(node.IsA(_BROWSER))


def played_by(browser: Any) -> Any:
    """The node in which a browser plays its first sequence; None if it was removed."""
    sequence = browser.GetMasterSequenceNode()
    return browser.GetProxyNode(sequence) if sequence is not None else None


def put_into_tool_bar(browser: Any) -> None:
    """Have Slicer's sequence tool bar play this one; outside the application there is none."""
    import slicer

    sequences: Any = getattr(slicer.modules, "sequences", None)
    if hasattr(sequences, "setToolBarActiveBrowserNode"):
        sequences.setToolBarActiveBrowserNode(browser)
        sequences.setToolBarVisible(True)
