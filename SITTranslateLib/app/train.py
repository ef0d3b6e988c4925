"""``sittranslate train`` and ``sittranslate publish``: from label maps to a model package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from SITTranslateLib.app.terminal import say, training_rooms


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
    recipes = training_rooms("train").recipes
    from SITTranslateLib.training.engine.trainer import RunOptions

    recipe, plan = recipes.read(config, seed=seed, steps=steps)
    options = RunOptions(cache, accelerator, devices, nodes, precision, workers, threads)
    trainer = recipe.run(plan, labels, out, options)
    say(f"{trainer.step} steps done; {recipe.next_step.format(out=out)}")


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
    recipes = training_rooms("publish").recipes
    from SITTranslateLib.training.engine.publishing import publish as write

    recipe, config, network = recipes.finished(run)
    measured: list[dict[str, Any]] = json.loads(figures.read_text(encoding="utf-8")) if figures else []
    package = write(recipe, config, network.state_dict(), out, card=card, data=data, figures=measured)
    say(f"Model package '{package.name}' {package.card.version}: {package.folder}")
