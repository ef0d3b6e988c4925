"""``sittranslate evaluate contrasts``: real patients, each by a network trained on none of their scans."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.engine.visits import Visit
from SITTranslateLib.training.recipes.real_contrasts import calibration, fading, summary, systems, table


def evaluate(request: EvaluationRequest, *, bfloat16: bool = False) -> None:
    """Write tables of similarity, lesions, volumes and uncertainty, after each fold, and print them.

    Args:
        request: its runs are named for the folds that they leave out, or for the row that they are in a table of
            systems (any recipe's run on real visits, or a package).
        bfloat16: of the networks' convolutions.

    Raises:
        InputError: no runs or no scans, or a fold that leaves nobody out.
    """
    if request.scans is None:
        raise InputError("There is nothing to evaluate: give --scans with the folder of real scans.")
    out, folds = request.out, table.folds_of(request.runs)
    cases = table.Cases(request.scans, request.kept / "prepared")
    rows: list[table.Row] = []
    residuals: list[calibration.Residuals] = []
    clusters: list[fading.Fading] = []
    tissues: dict[str, NDArray[np.int8]] = {}

    def keep(visit: Visit, case: table.Standardised, source: str, answer: table.Answer) -> None:
        if visit.name not in tissues:
            contrast = "T1w" if "T1w" in case.images else source
            tissues[visit.name] = calibration.tissues_of(case.images[contrast][0, 0].numpy(), np.eye(4))
        for target in case.scans:
            if target != source:
                residuals.append(calibration.residuals_of(visit, case, source, target, answer, tissues[visit.name]))
                if case.lesions.any():
                    clusters.append(fading.fading_of(visit.scanner, case, source, target, answer))

    out.mkdir(parents=True, exist_ok=True)
    for fold, folder in folds.items():
        rows += table.rows_of_fold(fold, table.load_weights(folder), cases, bfloat16=bfloat16, use=keep)
        summary.write(rows, out)
        calibration.write(residuals, out)
        fading.write(clusters, out)
    written = ["contrasts.md", "fading.md", "uncertainty.md"] if folds else []
    named = {name: folder for name, folder in request.runs.items() if name not in folds}
    if named:
        systems.write(list(systems.rows_of(systems.entries_of(named), cases)), out)
        written.append("systems.md")
    for name in written:
        say((out / name).read_text(encoding="utf-8"))
