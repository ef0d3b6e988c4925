"""Sweep of one attribute as sequences: translated scan, motion and volume change play together."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.scene.display import within
from SITTranslateLib.scene.presentation import put_with
from SITTranslateLib.scene.ranges import volume_percent
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.sequences import Axis, add_browser, add_sequence, frame_like
from SITTranslateLib.scene.transaction import all_or_nothing
from SITTranslateLib.scene.transforms import DRAWN_MM, grid_transform, thinning
from SITTranslateLib.scene.volumes import making_image
from SITTranslateLib.translation import Translation


class Sweep:
    """Collects the frames of a sweep, then adds them to the scene at once.

    Each frame is a copy of a node of the result that is shown, with other voxels or another field, so that a frame
    looks exactly as the result does.
    """

    def __init__(self, attribute: str, unit: str) -> None:
        self.attribute, self.unit = attribute, unit
        self._frames: list[tuple[float, Translation]] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, value: float, translation: Translation) -> None:
        self._frames.append((value, translation))

    def adding(self, result: SceneResult) -> Generator[None, None, Any]:
        """Sequences and their browser, which shows them in the result's own nodes, in steps; all, or nothing."""
        scene = slicer.mrmlScene
        roles = {"translated": result.translated, "motion": result.motion, "jacobian": result.jacobian,
                 "change": result.change}  # fmt: skip
        head = result.head()
        with all_or_nothing(scene) as transaction:
            browser = add_browser(scene, f"Sweep of {self.attribute} ({SYNTHETIC})")
            made = [browser]
            for role, node in roles.items():
                if node is None:
                    continue
                frames = []
                for value, translation in self._frames:
                    frame = yield from transaction.paused(_making_frame(node, role, translation, head))
                    frames.append((value, frame))
                name = f"{node.GetName()} by {self.attribute}"
                made.append(add_sequence(browser, node, name, Axis(self.attribute, self.unit), frames))
            for node in made:
                put_with(scene, result, node)
        return browser


def _making_frame(
    node: Any, role: str, translation: Translation, head: NDArray[np.bool_]
) -> Generator[None, None, Any]:
    """A node outside the scene, like ``node`` but of another translation; in steps."""
    frame = frame_like(node)
    if role == "motion":
        if translation.motion is not None:
            drawn = yield from thinning(translation.motion, DRAWN_MM, head)
            frame.SetAndObserveTransformToParent(grid_transform(drawn))
        return frame
    volume = {"translated": translation.translated, "jacobian": translation.jacobian,
              "change": translation.intensity_change}[role]  # fmt: skip
    if volume is not None:
        array = volume.array

        def values(part: slice) -> NDArray[np.float32]:
            if role == "translated":
                return array[part]
            return within(volume_percent(array[part]) if role == "jacobian" else array[part], head[part])

        image = yield from making_image(array.shape, values)
        frame.SetAndObserveImageData(image)
    return frame
