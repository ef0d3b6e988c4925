"""``sittranslate batch``: the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import Stopwatch, progress_bar, say

#: Files passed over of which each gets a line.
MOST_PASSED_OVER = 50


def run_batch(
    scans: Annotated[Path, typer.Argument(help="A BIDS dataset, or any folder of scans and series.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of an installed model, or a folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="BIDS derivative dataset; goes on if there.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Attribute, as age=+10; repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    scheduler: Annotated[str, typer.Option(help="Of a dask cluster: tcp://host:8786, or its file.")] = "",
    participant: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    session: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    suffix: Annotated[str, typer.Option(help="As T1w; else the model's source.")] = "",
    frames: Annotated[bool, typer.Option("--frames", help="Every frame of 4D files and sequences.")] = False,
    desc: Annotated[str, typer.Option(help="BIDS desc; else model and attributes.")] = "",
    fields: Annotated[bool, typer.Option(help="Motion, sampling, velocity.")] = True,
    structures: Annotated[bool, typer.Option(help="Volumes of structures (1.2 CPU-s a scan).")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of the network: float32 or bfloat16.")] = "float32",
    ensemble: Annotated[int, typer.Option(help="Answers for a map of uncertainty.")] = 1,
    seed: Annotated[int, typer.Option(help="Of systems that draw random numbers.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Translate scans that do not suit the model.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make results again that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
) -> None:
    """Translate many scans; skips what is done, and one failure never stops the rest.

    Exit code 0: all done; 1: some failed (see summary.html); 2: nothing could begin.
    """
    watch = Stopwatch()
    from SITTranslateLib.app.batch.dataset import check_output
    from SITTranslateLib.app.batch.job import Settings, finished
    from SITTranslateLib.app.batch.running import plan, run
    from SITTranslateLib.app.batch.scans import bids_suffix, find_scans
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.packages import find
    from SITTranslateLib.translate.request import checked_request, parse_settings

    package = find(model)
    request = checked_request(package.card, parse_settings(settings or []), ensemble)
    check_output(out, scans)
    passed_over: dict[str, str] = {}
    found = find_scans(
        scans,
        suffix or bids_suffix(package.card.source),
        participants=participant or (),
        sessions=session or (),
        all_frames=frames,
        leave_out=out,
        passed_over=passed_over,
    )
    for relative, reason in list(passed_over.items())[:MOST_PASSED_OVER]:
        say(f"passed over: {relative}: {reason}", err=True)
    if len(passed_over) > MOST_PASSED_OVER:
        say(f"passed over: {len(passed_over) - MOST_PASSED_OVER} more", err=True)
    chosen = Settings(
        model=str(package.folder.resolve()),
        model_sha256=package.sha256,
        request=tuple(request.items()),
        options=TranslationOptions(device, seed, precision, ensemble, force),
        fields=fields,
        structures=structures,
        threads=1 if scheduler else max(1, (os.cpu_count() or 1) // workers),
    )
    batch = plan(scans, out, found, package, chosen, desc)
    if dry_run:
        for job in batch.jobs:
            state = "done already" if not overwrite and finished(job) else "to do"
            frame = "" if job.scan.frame is None else f", frame {job.scan.frame}"
            say(f"{state}: {job.scan.relative}{frame} -> {job.scan.name.folder}/{job.id}.nii.gz")
        return
    try:
        with progress_bar("Batch") as progress:
            summary = run(batch, workers=workers, scheduler=scheduler, overwrite=overwrite, progress=progress)
    except KeyboardInterrupt:
        say(f"Stopped. What is done stays in {out}; the same command goes on.", err=True)
        raise typer.Exit(130) from None
    say(f"{summary.model}: {summary.asked}")
    for record in summary.in_order():
        if record.status in ("failed", "not run"):
            say(f"{record.status}: {record.source}: {record.reason}", err=True)
    say(f"{summary.counts()}. Table and report: {out / 'summary.csv'}, {out / 'summary.html'}")
    say(watch.report(), err=True)
    if summary.unfinished:
        raise typer.Exit(1)
