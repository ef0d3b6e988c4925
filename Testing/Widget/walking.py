"""Steps that a user takes in the panel."""

from __future__ import annotations

from typing import Any

from harness import Harness


def choose(harness: Harness, panel: Any, node: Any) -> None:
    """Pick the scan and the tiny model, and wait for the gate."""
    panel.input.set_node(node)
    panel.model.select("tiny-ageing")
    harness.wait(lambda: panel.input.ui.fitLabel.text != "", what="the gate's answer")
    if panel.input.why_not():
        panel.input.ui.forceCheckBox.setChecked(True)


def translate(harness: Harness, panel: Any, node: Any, age: float = 20.0) -> Any:
    choose(harness, panel, node)
    panel.attributes.set_values({"age": age})
    assert panel.apply.ui.applyButton.enabled, panel.apply.ui.stageLabel.text
    panel.apply.ui.applyButton.click()
    harness.wait(lambda: not panel.session.running, what="the translation")
    assert panel.session.shown is not None, panel.apply.ui.messageLabel.text
    return panel.session.shown


def start(harness: Harness, panel: Any, node: Any) -> None:
    """Press Apply; the run goes on."""
    choose(harness, panel, node)
    panel.apply.ui.applyButton.click()
    assert panel.session.running
