"""The options of a translation reach its record from the panel, from its sweep and from the module's logic."""

from __future__ import annotations

from typing import Any

from harness import Harness
from walking import translate

from SITTranslateLib.options import TranslationOptions

OPTIONS = TranslationOptions(device="cpu", seed=5, precision="bfloat16", ensemble=2, force=True)


def test_from_the_logic_and_on_to_the_frames_of_its_sweep(
    panel: Any, widget: Any, slicer_harness: Harness, head_node: Any
) -> None:
    panel.model.select("tiny-ageing")
    nodes = widget.logic.translate(
        head_node, "tiny-ageing", {"age": 5}, device="cpu", seed=5, precision="bfloat16", ensemble=2, force=True
    )
    shown = panel.session.shown
    assert shown.nodes is nodes and shown.translation.provenance.options == OPTIONS
    frames: list[Any] = []
    panel.session.host.finished.connect(lambda _job, result: frames.append(result))
    panel.sweep.run("age", [0.0, 10.0])
    slicer_harness.wait(lambda: panel.sweep.browser is not None, what="the sweep")
    assert [frame.provenance.options for frame in frames] == [OPTIONS, OPTIONS]


def test_from_the_panel(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    panel.model.set_device("cpu")
    panel.model.set_precision("bfloat16")
    shown = translate(slicer_harness, panel, head_node)
    assert shown.translation.provenance.options == TranslationOptions(device="cpu", precision="bfloat16", force=True)
    panel.model.set_precision("float32")
