"""Out of memory: the panel says so, offers the CPU, and the offer works."""

from __future__ import annotations

from typing import Any

from harness import Harness
from walking import choose

from SITTranslateLib.host.client import HostError
from SITTranslateLib.host.protocol import Failure


def test_the_cpu_is_offered_and_pressing_it_translates(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    choose(slicer_harness, panel, head_node)
    refusal = HostError(Failure.OUT_OF_MEMORY, "There is too little free memory.", "details", offer="cpu")
    panel.session.failed.emit(refusal)
    ui = panel.apply.ui
    assert ui.messageLabel.text == "There is too little free memory."
    assert not ui.cpuButton.isHidden()
    ui.cpuButton.click()
    assert panel.model.device == "cpu"
    assert panel.session.running
    assert ui.cpuButton.isHidden()
    slicer_harness.wait(lambda: not panel.session.running, what="the translation on the CPU")
    assert panel.session.shown is not None, ui.messageLabel.text
