"""``sittranslate evaluate SYSTEM``: its tables, each with the identity baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import say, training_rooms


def evaluate(
    system: Annotated[
        str,
        typer.Argument(help="Whose tables to make: sit, prescribed, change, lesions, stroke, parcellation, gate..."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
    labels: Annotated[Path | None, typer.Option(help="Folder of head label maps; the held-out ones are used.")] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(help="METHOD@SEED=FOLDER of a finished run; may be repeated, seeds are averaged."),
    ] = None,
    pairs: Annotated[int, typer.Option(help="Pairs a label map and scanner.")] = 4,
    cache: Annotated[Path | None, typer.Option(help="Where prepared label maps are kept.")] = None,
    scans: Annotated[Path | None, typer.Option(help="Folder of real scans *_T1w with *_labels (OASIS-30).")] = None,
    model: Annotated[str, typer.Option(help="Model package for the real scans.")] = "brain-ageing-t1w",
    between: Annotated[
        str | None, typer.Option(help="sa-unit and sasan: SOURCE>TARGET; T1w>T2w and T1w>CT if not given.")
    ] = None,
    fluid: Annotated[
        float, typer.Option(help="sa-unit and sasan: normalisation.fluid of the card that the runs are for.")
    ] = 0.0,
    segmenter: Annotated[
        Path | None, typer.Option(help="sa-unit and sasan: finished run of the target's fixed segmenter.")
    ] = None,
) -> None:
    """Tables of a system: held-out simulated scans (--labels, --run), real scans (--scans, --model)."""
    training_rooms("evaluate")
    from SITTranslateLib.training.engine.recipe import EvaluationRequest
    from SITTranslateLib.training.recipes import table_of

    runs = {name: Path(folder) for name, _, folder in (entry.partition("=") for entry in run or [])}
    request = EvaluationRequest(
        system.replace("-", "_"), out, labels, runs, pairs, cache, scans, model, between, fluid, segmenter
    )
    table_of(system)(request)
    say(f"Written to {out}")
