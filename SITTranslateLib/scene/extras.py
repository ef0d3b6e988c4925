"""What a model says besides the translation (attention, segmentation, uncertainty), as maps to lay over the source."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import colours, display, volumes
from SITTranslateLib.volume import Volume

#: More different whole numbers than this are a measurement and no labels.
MOST_LABELS = 64


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
    node = volumes.add_volume_node(scene, volume.with_array(volume.array * inside), name)
    low, high = range_of(volume.array, inside)
    display.show_map(scene, node, "shrank or expanded" if low < 0 else "little or much", low, high)
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
