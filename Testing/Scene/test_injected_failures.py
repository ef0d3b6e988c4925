"""A failure after any node that a result adds leaves the serialised scene as it was, to the letter."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from synthetic_translation import in_steps

from SITTranslateLib import steps as steps_of
from SITTranslateLib.scene import replacing
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.result import add_translation
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.translation import Translation

ROWS = [{"name": "Ventricles", "change_percent": 12.5}]
#: Of what adds a result: the scene's code, steps, and context managers.
OWN_CODE = (str(Path(replacing.__file__).parent), steps_of.__file__, contextlib.__file__)


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
    """Raise at the first return from compiled code after which something is so, but not in an observer."""

    def look(frame: Any, event: str, _function: Any) -> None:
        if event == "c_return":
            # Asking calls compiled code too.
            sys.setprofile(None)
            if happened() and not in_an_observer(frame):
                raise InjectedError("injected")
            sys.setprofile(look)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


def in_an_observer(frame: Any) -> bool:
    """Whether code of others runs, called by VTK, which prints and forgets what they raise; or our own observer."""
    while frame.f_code is not test_a_failure_after_any_node_leaves_the_scene_as_it_was.__code__:
        if frame.f_code.co_name == "on_added" or not frame.f_code.co_filename.startswith(OWN_CODE):
            return True
        frame = frame.f_back
    return False


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
