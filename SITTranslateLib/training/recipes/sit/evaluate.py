"""SIT's tables: held-out simulated pairs, and real scans aged by a model package."""

from __future__ import annotations

import json

from SITTranslateLib.errors import InputError
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.sit import real_scans, report, table


def evaluate(request: EvaluationRequest) -> None:
    """Write and print the tables that the request has data for.

    Raises:
        InputError: it has none.
    """
    simulated = request.labels is not None and request.runs
    if not simulated and request.scans is None:
        raise InputError("There is nothing to evaluate: give --labels and --run, or --scans.")
    if simulated:
        _simulated(request)
    if request.scans is not None:
        rows = real_scans.age_scans(request.scans, request.model)
        real_scans.write(rows, request.out)
        say(real_scans.as_markdown(rows))


def _simulated(request: EvaluationRequest) -> None:
    assert request.labels is not None
    runs = {name: recipes.finished(folder)[1:] for name, folder in request.runs.items()}
    networks = {name: network for name, (_, network) in runs.items()}
    spacings = {config.data.spacing_mm for config, _ in runs.values()}
    if len(spacings) > 1:
        raise InputError("The runs were trained on voxels of different sizes: evaluate each size by itself.")
    subjects = prepared_subjects(request.labels, report.HELD_OUT, request.kept / "subjects")
    made = report.table_of(report.held_out_pairs(subjects, request.count, spacings.pop()), networks)
    made.write(request.out, "sit", report.SCANNER_TITLES)
    for name in networks:
        figures = json.dumps(made.card_figures(name, table.CARD, report.SCANNER_TITLES), indent=1)
        (request.out / f"figures-{name}.json").write_text(figures, encoding="utf-8")
    say(made.markdown(report.SCANNER_TITLES))
