"""The table of the suitability check, for ``sittranslate evaluate suitability`` (or ``gate``)."""

from __future__ import annotations

from rich.progress import track

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume
from SITTranslateLib.packages import find
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.contrast_classifiers import table
from SITTranslateLib.translate.contrast import thresholds

#: Anatomies of each label map.
HEADS = 4


def evaluate(request: EvaluationRequest) -> None:
    """Check simulated scans of the held-out label maps, real scans, and things that are no head, for a model.

    Raises:
        InputError: neither label maps nor scans.
    """
    if request.labels is None and request.scans is None:
        raise InputError("There is nothing to evaluate: give --labels, --scans, or both.")
    card = find(request.model).card
    parts: dict[str, list[table.Checked]] = {}
    if request.labels is not None:
        count = len(table.HELD_OUT) * HEADS * request.count * (len(table.KINDS) + 2)
        made = track(table.simulated_scans(request.labels, HEADS, request.count), "Simulated scans", total=count)
        parts["Simulated"] = [table.check(volume, kind, card) for volume, kind in made]
    if request.scans is not None:
        files = track(table.real_scans(request.scans), "Real scans")
        parts["Real"] = [
            table.check(read_volume(path), kind, card, path.name, table.source_of_file(path, request.scans))
            for path, kind in files
        ]
    parts["No head at all"] = [table.check(volume, kind, card) for volume, kind in table.strange_things()]
    text = table.write(parts, request.out)
    limits = thresholds()
    if not table.draw(parts, limits.warned_below, limits.refused_below, request.out):
        say("No picture: it needs matplotlib.", err=True)
    say(text)
