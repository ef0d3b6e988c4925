"""Installing what the models need: asked once, declined cleanly, torch only through the PyTorch extension."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import slicer
from harness import Harness

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, slicer_harness: Harness) -> list[str]:
    """Questions that were asked; answered with yes."""
    questions: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: questions.append(text) or True)
    return questions


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, slicer_harness: Harness) -> Any:
    """Pretend that packages are not installed."""
    from SITTranslateLib.ui import installing

    def pretend(*names: str) -> None:
        monkeypatch.setattr(installing, "missing_packages", lambda _file: list(names))

    return pretend


def test_the_module_opens_without_any_of_them_and_offers_to_install(
    without: Any, slicer_harness: Harness, module: Any, scene: Any
) -> None:
    without("torch", "monai")
    opened = slicer_harness.open(module, "SITTranslate")
    apply = opened.panel.apply.ui
    assert not apply.installButton.isHidden()
    assert "torch, monai" in apply.messageLabel.text
    opened.cleanup()


def test_declining_changes_nothing(without: Any, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without("torch")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: False)
    panel.on_install()
    assert panel.apply.ui.messageLabel.text == "Nothing was installed."
    assert not panel.apply.ui.installButton.isHidden()


def test_torch_comes_from_the_extension_and_the_rest_from_pip(
    without: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from SITTranslateLib.ui import installing

    done: list[Any] = []

    class Logic:
        def torchInstalled(self) -> bool:
            return False

        def installTorch(self, **options: Any) -> None:
            done.append(("torch", options["askConfirmation"]))

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Logic))
    packaging = types.SimpleNamespace(
        pip_ensure=lambda lines, **options: done.append((lines, options["prompt_install"]))
    )
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    without("torch", "monai")
    installing.install(REQUIREMENTS)
    assert len(asked) == 1
    assert done[0] == ("torch", False)
    assert done[1][1] is False
    assert not any("torch" in line for line in done[1][0])


def test_slicer_5_10_without_its_packaging_still_installs(
    without: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from SITTranslateLib.ui import installing

    done: list[Any] = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", done.append, raising=False)
    monkeypatch.setattr(installing, "_is_satisfied", lambda line: not line.startswith("monai"))
    without("monai")
    installing.install(REQUIREMENTS)
    assert done == [["monai>=1.5"]]


def test_without_the_extension_it_is_offered_with_a_restart(
    without: Any, asked: list[str], panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    without("torch")
    panel.on_install()
    assert "restart Slicer" in panel.apply.ui.messageLabel.text


@pytest.mark.parametrize(("works", "words"), [(True, "restart Slicer"), (False, "could not be installed")])
def test_the_extension_is_installed_without_asking_again_and_without_a_restart(
    without: Any, asked: list[str], panel: Any, monkeypatch: pytest.MonkeyPatch, works: bool, words: str
) -> None:
    class Manager:
        interactive = True

        def __init__(self) -> None:
            self.calls: list[Any] = []

        def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False) -> bool:
            self.calls.append((name, restart, self.interactive))
            return works

    manager = Manager()
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    monkeypatch.setattr(type(slicer.app), "extensionsManagerModel", lambda _self: manager)
    without("torch")
    panel.on_install()
    assert manager.calls == [("PyTorch", False, False)]
    assert manager.interactive
    assert len(asked) == 1
    assert words in panel.apply.ui.messageLabel.text


def test_what_is_there_is_not_asked_for(asked: list[str], slicer_harness: Harness) -> None:
    from SITTranslateLib.ui import installing

    assert installing.missing_packages(REQUIREMENTS) == []
    installing.install(REQUIREMENTS)
    assert asked == []
