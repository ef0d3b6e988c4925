"""A failure after any node that a result adds leaves the serialised scene as it was, to the letter."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import vtk
from synthetic_translation import in_steps

from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.result import add_translation
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.translation import Translation

ROWS = [{"name": "Ventricles", "change_percent": 12.5}]


class InjectedError(RuntimeError):
    """Put in by the test."""


def serialised(scene: Any) -> str:
    """The scene as it would be saved, without the time of saving."""
    scene.SetSaveToXMLString(1)
    scene.Commit()
    text: str = scene.GetSceneXMLString()
    scene.SetSaveToXMLString(0)
    assert "<MRML" in text
    return re.sub(r'\b(?:date|timestamp)="[^"]*"', "", text)


@contextmanager
def failing_when(happened: Callable[[], bool]) -> Iterator[None]:
    """Raise at the first return from a method of VTK after which something is so.

    Not within such a method: what an observer raises, VTK prints and forgets, whoever observes the scene.
    """
    within: list[Any] = []

    def look(_frame: Any, event: str, function: Any) -> None:
        if not event.startswith("c_") or not isinstance(getattr(function, "__self__", None), vtk.vtkObjectBase):
            return
        if event == "c_call":
            within.append(function)
            return
        within.pop()
        if not within and event == "c_return":
            # Asking calls compiled code too.
            sys.setprofile(None)
            if happened():
                raise InjectedError("injected")
            sys.setprofile(look)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("steps", [(), (0.5, 1.0)], ids=["", "with steps"])
@pytest.mark.parametrize("empty", [True, False], ids=["into an empty scene", "beside an earlier result"])
def test_a_failure_after_any_node_leaves_the_scene_as_it_was(
    empty: bool, steps: tuple[float, ...], app: Application, translation: Translation
) -> None:
    scene = app.scene
    if steps:
        translation = in_steps(translation, steps)
    source = None
    if not empty:
        source = add_volume_node(scene, translation.source, "MR head")
        add_translation(translation, source, rows=ROWS)
    before, count = serialised(scene), scene.GetNumberOfNodes()
    injected = 0
    # Panels and views follow the scene too; an error in one of them must not be taken for ours.
    follower = scene.AddObserver(scene.NodeAddedEvent, lambda *_: scene.GetNumberOfNodes())
    # One more node each time, until the result is complete before the failure comes.
    for limit in range(1, 200):
        try:
            with failing_when(lambda limit=limit: scene.GetNumberOfNodes() >= count + limit):
                add_translation(translation, source, rows=ROWS)
        except InjectedError:
            injected += 1
            assert serialised(scene) == before, f"after node {limit}"
            continue
        break
    scene.RemoveObserver(follower)
    print(f"{injected} failures injected")
    assert injected > 20
    assert scene.GetNumberOfNodes() > count + 20
    assert serialised(scene) != before
