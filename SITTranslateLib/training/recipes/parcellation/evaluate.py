"""``sittranslate evaluate prescribed --scans FOLDER``: prescribed change against manual labels."""

from __future__ import annotations

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation import prescribed_table as table
from SITTranslateLib.training.engine.recipe import EvaluationRequest


def evaluate(request: EvaluationRequest) -> None:
    """Make the table.

    Raises:
        InputError: no folder of scans with labels.
    """
    if request.scans is None:
        raise InputError("There is nothing to evaluate: give --scans, a folder of *_T1w with *_labels.")
    table.write([table.prescribed_scan(*pair) for pair in table.scans_in(request.scans)], request.out)
