"""The tables of the gate, for ``sittranslate evaluate gate``."""

from __future__ import annotations

from pathlib import Path

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.progress import say


def evaluate_gate(out: Path, labels: Path | None, scans: Path | None, model: str, draws: int) -> None:
    """Simulated scans of the held-out label maps, and real ones, before the gate of a model."""
    from rich.progress import track

    from SITTranslateLib.files import read_volume
    from SITTranslateLib.packages import find
    from SITTranslateLib.training.recipes.contrast_classifiers import table as gate
    from SITTranslateLib.translate.contrast import thresholds

    if labels is None and scans is None:
        raise InputError("There is nothing to evaluate: give --labels, --scans, or both.")
    card = find(model).card
    parts: dict[str, list[gate.Seen]] = {}
    if labels is not None:
        count = len(gate.HELD_OUT) * 4 * draws * (len(gate.KINDS) + 2)
        made = track(gate.simulated_scans(labels, 4, draws), "Simulated scans", total=count)
        parts["Simulated"] = [gate.at_the_gate(volume, kind, card) for volume, kind in made]
    if scans is not None:
        found = gate.real_scans(scans)
        parts["Real"] = [
            gate.at_the_gate(read_volume(path), kind, card, path.name) for path, kind in track(found, "Real scans")
        ]
    drawn = [gate.at_the_gate(volume, kind, card) for volume, kind in gate.strange_things()]
    gate.write(parts | {"No head at all": drawn}, out)
    limits = thresholds()
    if not gate.draw(parts, limits.warned_below, limits.refused_below, out):
        say("No picture: it needs matplotlib.", err=True)
    say((out / "gate.md").read_text(encoding="utf-8"))
