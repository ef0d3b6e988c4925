"""``sittranslate evaluate SYSTEM``: its tables, each with the do-nothing row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.errors import InputError


def evaluate(
    system: Annotated[str, typer.Argument(help="The system whose tables to make: sit.")],
    labels: Annotated[Path, typer.Option(help="Folder of head label maps; those held out of training are used.")],
    out: Annotated[Path, typer.Option(help="Folder for the table.")],
    run: Annotated[list[str], typer.Option(help="NAME=FOLDER of a finished run; may be repeated.")],
    pairs: Annotated[int, typer.Option(help="Pairs a label map and scanner.")] = 4,
    cache: Annotated[Path | None, typer.Option(help="Where prepared label maps are kept.")] = None,
) -> None:
    """Tables of a system on held-out simulated scans, on a known and on an unseen scanner."""
    if system != "sit":
        raise InputError(f"There are no tables for the system '{system}' yet; use: sit.")
    import json

    from rich.console import Console
    from rich.markdown import Markdown

    from SITTranslateLib.evaluation import sit_report, sit_table
    from SITTranslateLib.training.pairs import SHAPE
    from SITTranslateLib.training.runs import finished_network, prepared_subjects

    networks = {name: finished_network(Path(folder)) for name, _, folder in (entry.partition("=") for entry in run)}
    subjects = prepared_subjects(labels, sit_report.HELD_OUT, (cache or out) / "subjects")
    summary = sit_report.run(sit_report.held_out_pairs(subjects, pairs, SHAPE), networks, out)
    for name in networks:
        figures = json.dumps(sit_report.card_figures(summary, name), indent=1)
        (out / f"figures-{name}.json").write_text(figures, encoding="utf-8")
    Console().print(Markdown(sit_table.as_markdown(summary)))
    typer.echo(f"Written to {out}")
