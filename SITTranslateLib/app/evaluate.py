"""``sittranslate evaluate SYSTEM``: its tables, each with the do-nothing row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import say
from SITTranslateLib.errors import InputError


def evaluate(
    system: Annotated[
        str, typer.Argument(help="The system whose tables to make: sit, sa-unit, sasan, aldm, plasticine; or gate.")
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
    if system in ("sa-unit", "sasan"):
        from SITTranslateLib.training.recipes.cross_contrast.evaluate import evaluate_contrasts

        usual = "T1w>T2w" if system == "sa-unit" else "T1w>CT"
        evaluate_contrasts(run or [], out, labels, cache or out, segmenter, scans, between or usual, fluid)
        say(f"Written to {out}")
        return
    if system == "gate":
        from SITTranslateLib.training.recipes.contrast_classifiers.evaluate import evaluate_gate

        evaluate_gate(out, labels, scans, model, pairs)
        return
    if system == "plasticine":
        from SITTranslateLib.training.recipes.plasticine.evaluate import evaluate_plasticine

        evaluate_plasticine(run or [], out, labels, cache or out, pairs)
        say(f"Written to {out}")
        return
    if system == "aldm":
        from SITTranslateLib.training.recipes.aldm.evaluate import evaluate_aldm

        evaluate_aldm(run or [], out, labels, cache or out, scans, pairs)
        say(f"Written to {out}")
        return
    if system != "sit":
        raise InputError(
            f"There are no tables for the system '{system}'; use sit, sa-unit, sasan, aldm, plasticine or gate."
        )
    if (labels is None or not run) and scans is None:
        raise InputError("There is nothing to evaluate: give --labels and --run, or --scans.")
    if labels is not None and run:
        _on_simulated_scans(labels, out, run, pairs, cache)
    if scans is not None:
        _on_real_scans(scans, out, model)
    say(f"Written to {out}")


def _on_simulated_scans(labels: Path, out: Path, run: list[str], pairs: int, cache: Path | None) -> None:
    from SITTranslateLib.training.recipes.sit import report as sit_report
    from SITTranslateLib.training.recipes.sit import table as sit_table
    from SITTranslateLib.training.recipes.sit.data import SHAPE
    from SITTranslateLib.training.recipes.sit.runs import finished_network, prepared_subjects

    networks = {name: finished_network(Path(folder)) for name, _, folder in (entry.partition("=") for entry in run)}
    subjects = prepared_subjects(labels, sit_report.HELD_OUT, (cache or out) / "subjects")
    summary = sit_report.run(sit_report.held_out_pairs(subjects, pairs, SHAPE), networks, out)
    for name in networks:
        figures = json.dumps(sit_report.card_figures(summary, name), indent=1)
        (out / f"figures-{name}.json").write_text(figures, encoding="utf-8")
    say(sit_table.as_markdown(sit_table.over_seeds(summary)))


def _on_real_scans(scans: Path, out: Path, model: str) -> None:
    from rich.progress import track

    from SITTranslateLib.training.recipes.sit import real_scans as ageing
    from SITTranslateLib.translate.model import load_model

    loaded = load_model(model)
    files = sorted(scans.glob("*_T1w.nii.gz"))
    jobs = [(file, years) for file in files for years in (-20.0, 20.0)]
    rows = [
        ageing.age_scan(
            loaded, file.name.split("_")[0], file, file.with_name(file.name.replace("T1w", "labels")), years
        )
        for file, years in track(jobs, "Ageing real scans")
    ]
    ageing.write(rows, out)
    say(ageing.as_markdown(rows))
