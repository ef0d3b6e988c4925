"""``sittranslate train`` and ``sittranslate publish``: from label maps to a model package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    config: Annotated[str, typer.Argument(help="A config (.toml) or the name of a built-in one.")],
    labels: Annotated[
        Path,
        typer.Option(help="Folder of head label maps (*_01.nii.gz ...), or of own scans, or torchio subjects (.py)."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; a run that is there goes on.")],
    seed: Annotated[int | None, typer.Option(help="Instead of the config's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the config's.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where simulated pairs are kept; shared between runs.")] = None,
    accelerator: Annotated[str, typer.Option(help="As Lightning Fabric names it: auto, cpu, cuda.")] = "auto",
    devices: Annotated[int, typer.Option(help="Devices a node.")] = 1,
    nodes: Annotated[int, typer.Option(help="Nodes; start the same command on each, as Fabric's launcher asks.")] = 1,
    precision: Annotated[str, typer.Option(help="bf16-mixed, 16-mixed or 32-true.")] = "bf16-mixed",
    workers: Annotated[int, typer.Option(help="Processes that simulate.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the training.")] = None,
) -> None:
    """Train a translator on simulated pairs; stop it at any time and start it again."""
    from SITTranslateLib.training.cross_contrast_config import is_cross_contrast

    if is_cross_contrast(config):
        _train_cross_contrast(config, labels, out, cache, accelerator, precision, threads, seed=seed, steps=steps)
        return
    from SITTranslateLib.training.structure import is_structure

    if is_structure(config):
        _train_structure(config, labels, out, cache, accelerator, precision, threads, seed=seed, steps=steps)
        return
    from SITTranslateLib.training.plasticine_config import is_plasticine

    if is_plasticine(config):
        _train_plasticine(config, labels, out, cache, accelerator, precision, threads, seed=seed, steps=steps)
        return
    from SITTranslateLib.training.aldm_config import is_aldm

    if is_aldm(config):
        _train_aldm(config, labels, out, cache, accelerator, precision, threads, seed=seed, steps=steps)
        return
    from SITTranslateLib.training.config import read_config
    from SITTranslateLib.training.runs import run

    trainer = run(
        read_config(config, seed=seed, steps=steps),
        labels,
        out,
        cache=cache,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
        precision=precision,
        workers=workers,
        threads=threads,
    )
    typer.echo(f"{trainer.step} steps done; the run lies in {out}. Next: sittranslate publish {out} --card ...")


def _train_cross_contrast(
    config: str,
    labels: Path,
    out: Path,
    cache: Path | None,
    accelerator: str,
    precision: str,
    threads: int | None,
    **overrides: int | None,
) -> None:
    from SITTranslateLib.training.cross_contrast_config import read_cross_contrast
    from SITTranslateLib.training.cross_contrast_runs import run

    trainer = run(
        read_cross_contrast(config, **overrides),
        labels,
        out,
        cache=cache,
        accelerator=accelerator,
        precision=precision,
        threads=threads,
    )
    typer.echo(f"{trainer.step} steps done; the run lies in {out}. Next: sittranslate publish {out} --card ...")


def _train_structure(
    config: str,
    labels: Path,
    out: Path,
    cache: Path | None,
    accelerator: str,
    precision: str,
    threads: int | None,
    **overrides: int | None,
) -> None:
    from SITTranslateLib.training.structure import read_structure, run

    trainer = run(
        read_structure(config, **overrides),
        labels,
        out,
        cache=cache,
        accelerator=accelerator,
        precision=precision,
        threads=threads,
    )
    typer.echo(f"{trainer.step} steps done; the weights are {out}/weights.safetensors.")


def _train_plasticine(
    config: str,
    labels: Path,
    out: Path,
    cache: Path | None,
    accelerator: str,
    precision: str,
    threads: int | None,
    **overrides: int | None,
) -> None:
    from SITTranslateLib.training.plasticine_config import read_plasticine
    from SITTranslateLib.training.plasticine_runs import run, tissue_weights

    read = read_plasticine(config, **overrides)
    trainer = run(
        read,
        labels,
        out,
        cache=cache,
        tissues=tissue_weights() if read.network.get("guide", "structure") == "structure" else None,
        accelerator=accelerator,
        precision=precision,
        threads=threads,
    )
    typer.echo(f"{trainer.step} steps done; the run lies in {out}. Next: sittranslate publish {out} --card ...")


def _train_aldm(
    config: str,
    labels: Path,
    out: Path,
    cache: Path | None,
    accelerator: str,
    precision: str,
    threads: int | None,
    **overrides: int | None,
) -> None:
    from SITTranslateLib.training.aldm import run
    from SITTranslateLib.training.aldm_config import read_aldm

    trainer = run(
        read_aldm(config, **overrides),
        labels,
        out,
        cache=cache,
        accelerator=accelerator,
        precision=precision,
        threads=threads,
    )
    typer.echo(f"{trainer.step} steps done; the run lies in {out}. Next: sittranslate publish {out} --card ...")


def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    card: Annotated[str, typer.Option(help="The card's text (.toml) or the name of a built-in one.")],
    out: Annotated[Path, typer.Option(help="Folder of the package; replaced if there.")],
    data: Annotated[str, typer.Option(help="What it was trained on, in a sentence.")],
    figures: Annotated[
        Path | None, typer.Option(help="Measured figures (JSON list), as 'evaluate' writes them.")
    ] = None,
) -> None:
    """Make a model package of a finished run."""
    from SITTranslateLib.training.publishing import publish as write

    config, weights = _finished(run)
    measured: list[dict[str, Any]] = json.loads(figures.read_text(encoding="utf-8")) if figures else []
    package = write(config, weights, out, card=card, data=data, figures=measured)
    typer.echo(f"Model package '{package.name}' {package.card.version}: {package.folder}")


def _finished(run: Path) -> tuple[Any, Any]:
    """Config and weights to ship of a run of any system."""
    from SITTranslateLib.training.cross_contrast import finished, is_run_between_contrasts

    if is_run_between_contrasts(run):
        config, network = finished(run)
        return config, network.state_dict()
    from SITTranslateLib.training import plasticine

    if plasticine.is_plasticine_run(run):
        made, painter = plasticine.finished(run)
        return made, painter.state_dict()
    from SITTranslateLib.training import aldm

    if aldm.is_aldm_run(run):
        trained, translator = aldm.finished(run)
        return trained, translator.state_dict()
    from SITTranslateLib.training.runs import finished_run

    return finished_run(run)
