"""Additional maps of a model, to lay over the source, and the steps of its sampling as a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import colours, display, sequences, volumes
from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.volume import Volume

#: More different whole numbers than this are a measurement and no labels.
MOST_LABELS = 64
#: Name of the node that the steps of a sampling are played in, among the nodes of the extras.
STEPS = "steps"
#: Marks a new node as the run's: node, role and meaning, and the name of an extra if it is one.
Keep = Callable[..., Any]


def add_extras(
    scene: Any, extras: Mapping[str, Volume], steps: Sequence[str], name: str, inside: NDArray[np.bool_], keep: Keep
) -> dict[str, Any]:
    """Nodes of the maps, by the model's names.

    Args:
        extras: maps on the scan's grid.
        steps: names of those that are scans, for :func:`add_steps`.
        name: of the scan.
        inside: the head.
        keep: called with every new node.
    """
    nodes = {}
    for extra, volume in extras.items():
        if extra not in steps:
            node = add_extra_node(scene, volume, f"{name}: {extra}", inside)
            nodes[extra] = keep(node, "extra", f"Additional map of the model: {extra}.", extra)
    return nodes


def add_steps(
    scene: Any, steps: Mapping[str, Volume], name: str, grey: tuple[float, float], keep: Keep
) -> dict[str, Any]:
    """The scan as it was taken to be after each step: one volume node that a sequence browser plays them in.

    Args:
        steps: by the model's names, in order; on the scan's grid, in the units of the translated scan.
        name: of scan and model.
        grey: lowest and highest grey level, as the translated scan is shown.
        keep: called with every new node.

    Returns:
        That node by :data:`STEPS`, or, where Slicer has no sequences, a volume node for each; nothing without steps.
    """
    meaning = "What the model took the translated scan to be after each step of its sampling."
    if not steps:
        return {}
    if not sequences.available():
        return {
            step: keep(_scan_node(scene, volume, f"{name} {step} ({SYNTHETIC})", grey), "extra", meaning, step)
            for step, volume in steps.items()
        }
    node = _scan_node(scene, next(iter(steps.values())), f"{name} step ({SYNTHETIC})", grey)
    # Before the frames are made: they take over the marks.
    keep(node, "step", meaning)
    frames = []
    for number, (step, volume) in enumerate(steps.items(), start=1):
        frame = sequences.frame_like(node)
        frame.SetName(step)
        frame.SetAndObserveImageData(volumes.image_from_array(volume.array))
        frames.append((number, frame))
    browser = sequences.add_browser(scene, f"{name} steps browser")
    keep(sequences.add_sequence(browser, node, f"{name} steps", sequences.Axis("step"), frames), "step", meaning)
    keep(browser, "step", meaning, STEPS)
    return {STEPS: node}


def _scan_node(scene: Any, volume: Volume, name: str, grey: tuple[float, float]) -> Any:
    return volumes.add_volume_node(scene, volume, name, levels=grey)


def add_extra_node(scene: Any, volume: Volume, name: str, inside: NDArray[np.bool_]) -> Any:
    """A map or, where the values are whole numbers from 0, a label map.

    Args:
        volume: values on the scan's grid.
        name: of the node.
        inside: the head; a map is 0 outside it.
    """
    if is_labels(volume.array):
        node = volumes.add_volume_node(scene, volume, name, "vtkMRMLLabelMapVolumeNode")
        node.GetDisplayNode().SetAndObserveColorNodeID(colours.label_table(scene).GetID())
        return node
    low, high = range_of(volume.array, inside)
    # One-sided maps are transparent at 0; on two-sided ones 0 is a value.
    shown = volume.with_array(display.within(volume.array, inside) if low < 0 else volume.array * inside)
    node = volumes.add_volume_node(scene, shown, name, levels=(low, high))
    display.show_map(scene, node, colours.VOLUME if low < 0 else colours.HOW_MUCH, low, high)
    display.add_legend(node, name.rsplit(": ", 1)[-1], f"%5.{display.decimals(max(high, 1e-6))}f")
    return node


def is_labels(array: NDArray[np.floating]) -> bool:
    """Whether the values are labels: few whole numbers, none below 0."""
    if float(array.min()) < 0 or float(array.max()) > 255 or bool((array != np.rint(array)).any()):
        return False
    return np.unique(array).size <= MOST_LABELS


def range_of(array: NDArray[np.floating], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """From 0 to the robust peak inside the head; symmetric where values lie on both sides of 0."""
    peak = max(display.robust_peak(array, inside, 99.5), 1e-6)
    values = array[inside] if inside.any() else array
    return (-peak if float(np.percentile(values, 1)) < -0.05 * peak else 0.0), peak
