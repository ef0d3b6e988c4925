# ruff: noqa: E402
"""The module in the harness: real ``.ui`` files, real scene, real worker process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Unit" / "host")]
pytest.importorskip("slicer", reason="slicer-core is not installed: pip install '.[scene]'")
pytest.importorskip("PySide6", reason="PySide6 is not installed: pip install '.[test]'")

import tiny_package
import tissues_once
from harness import Harness, harness
from harness.observers import ObserverWatch

from SITTranslateLib.host.client import HostClient
from SITTranslateLib.scene.headless.messages import MessageCatcher

LASTING = (
    "vtkMRMLLayoutNode", "vtkMRMLSliceNode", "vtkMRMLViewNode", "vtkMRMLCrosshairNode", "vtkMRMLSelectionNode",
    "vtkMRMLInteractionNode",
)  # fmt: skip
MODULE = HERE.parents[1] / "SITTranslate" / "SITTranslate.py"


@pytest.fixture(scope="module")
def slicer_harness() -> Iterator[Harness]:
    shared = harness()
    yield shared
    shared.leave()


@pytest.fixture(autouse=True)
def _nothing_left(slicer_harness: Harness) -> Iterator[None]:
    """A test fails if it leaves observers of the scene, of the nodes that every scene has, or of the application."""
    slicer_harness.app.clear()
    scene = slicer_harness.app.scene
    collection = scene.GetNodes()
    nodes = [collection.GetItemAsObject(index) for index in range(collection.GetNumberOfItems())]
    # Those that stay when a scene is closed; to hold any other node would keep it from its end.
    lasting = [scene, *(node for node in nodes if node.GetClassName() in LASTING)]
    del nodes
    watch = ObserverWatch(lasting)
    del lasting
    yield
    watch.stop()
    assert not watch.left, "still observed"
    # What a module's class connects when Slicer starts stays; its widget lets go of the application.
    connections = slicer_harness.slicer_app.__dict__.get("_connections", [])
    assert "aboutToQuit" not in [name for name, *_ in connections], "still connected"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder of models with the tiny one in it."""
    folder = tmp_path_factory.mktemp("models")
    tiny_package.write(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_structures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding structures takes the worker longer than all else; the tests of it ask for it."""
    if "panel" in request.fixturenames or "widget" in request.fixturenames or "slicer_harness" in request.fixturenames:
        request.getfixturevalue("slicer_harness")
        from SITTranslateLib.ui.structures_section import StructuresSection

        monkeypatch.setattr(StructuresSection, "automatic", False)


@pytest.fixture(autouse=True)
def _own_models(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(models))


@pytest.fixture
def scene(slicer_harness: Harness) -> Iterator[Any]:
    """An empty scene; VTK must not complain while a test runs."""
    slicer_harness.app.clear()
    with MessageCatcher() as messages:
        yield slicer_harness.app.scene
        slicer_harness.close()
        slicer_harness.app.clear()
    assert messages.errors == []


@pytest.fixture
def head_node(scene: Any) -> Any:
    from SITTranslateLib.scene.volumes import add_volume_node

    head = tiny_package.head()
    return add_volume_node(scene, head, "head")


@pytest.fixture
def module(slicer_harness: Harness) -> Any:
    return slicer_harness.load(MODULE)[0]


@pytest.fixture
def widget(slicer_harness: Harness, module: Any, scene: Any) -> Iterator[Any]:
    """The module's widget, open."""
    opened = slicer_harness.open(module, "SITTranslate")
    yield opened
    opened.exit()
    opened.cleanup()
    opened.parent.close()


@pytest.fixture
def panel(widget: Any) -> Any:
    return widget.panel


class SharedHost(HostClient):
    """One warm worker for all tests; closing it only lets go of what the test connected."""

    def close(self) -> None:
        for signal in (self.stage, self.progress, self.warning, self.finished, self.failed, self.gone):
            signal.disconnect()
        for job in list(self._jobs.values()):
            self.cancel(job)

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def shared_host() -> Iterator[SharedHost]:
    host = SharedHost(tissues_once.start)
    yield host
    host.end()


@pytest.fixture(autouse=True)
def _warm(
    slicer_harness: Harness, shared_host: SharedHost, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Sessions use the shared worker, unless a test asks for its own (``@pytest.mark.usefixtures("own_host")``)."""
    if "own_host" not in request.fixturenames:
        from SITTranslateLib.host import client
        from SITTranslateLib.ui import results

        monkeypatch.setattr(results, "HostClient", lambda: shared_host)

        def refuse(*_: Any, **__: Any) -> None:
            pytest.fail("this test starts a worker of its own: it needs the fixture own_host")

        monkeypatch.setattr(client, "WorkerProcess", refuse)


@pytest.fixture(autouse=True)
def _says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered with yes, unless a test answers otherwise."""
    import slicer.util

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: True)


@pytest.fixture
def own_host() -> None:
    """Marks a test that starts and ends its own worker."""
