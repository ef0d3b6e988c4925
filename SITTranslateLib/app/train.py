"""``sittranslate train`` and ``sittranslate publish``: from label maps to a model package."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from SITTranslateLib.app.terminal import say
from SITTranslateLib.errors import InputError


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
    training = _training_of(config, seed=seed, steps=steps)
    options: dict[str, Any] = {"cache": cache, "accelerator": accelerator, "precision": precision, "threads": threads}
    if training.in_parallel:
        options |= {"devices": devices, "nodes": nodes, "workers": workers}
    elif devices * nodes > 1:
        raise InputError("This system trains on one device; leave --devices and --nodes out.")
    trainer = training.run(training.config, labels, out, **options, **training.more)
    say(f"{trainer.step} steps done; {training.then.format(out=out)}")


@dataclass(frozen=True)
class _Training:
    """How a config is trained: what was read of it, by which function, and what to do with the run."""

    config: Any
    run: Callable[..., Any]
    more: dict[str, Any] = field(default_factory=dict)
    in_parallel: bool = False
    then: str = "the run lies in {out}. Next: sittranslate publish {out} --card ..."


def _training_of(config: str, **wanted: int | None) -> _Training:
    """The training that a config asks for; a room of networks is imported only where it is."""
    from SITTranslateLib.training.recipes.cross_contrast.config import is_cross_contrast, read_cross_contrast

    if is_cross_contrast(config):
        from SITTranslateLib.training.recipes.cross_contrast import runs as cross_contrast_runs

        return _Training(read_cross_contrast(config, **wanted), cross_contrast_runs.run)
    from SITTranslateLib.training.recipes.segmentation import recipe as structure

    if structure.is_structure(config):
        read = structure.read_structure(config, **wanted)
        return _Training(read, structure.run, then="the weights are {out}/weights.safetensors.")
    from SITTranslateLib.training.recipes.plasticine.config import is_plasticine, read_plasticine

    if is_plasticine(config):
        from SITTranslateLib.training.recipes.plasticine import runs as plasticine_runs

        plan = read_plasticine(config, **wanted)
        guided = plan.network.get("guide", "structure") == "structure"
        return _Training(plan, plasticine_runs.run, {"tissues": plasticine_runs.tissue_weights() if guided else None})
    from SITTranslateLib.training.recipes.aldm.config import is_aldm, read_aldm

    if is_aldm(config):
        from SITTranslateLib.training.recipes.aldm import recipe as aldm

        return _Training(read_aldm(config, **wanted), aldm.run)
    from SITTranslateLib.training.recipes.sit import runs
    from SITTranslateLib.training.recipes.sit.config import read_config

    return _Training(read_config(config, **wanted), runs.run, in_parallel=True)


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
    from SITTranslateLib.training.engine.publishing import publish as write

    config, weights = _finished(run)
    measured: list[dict[str, Any]] = json.loads(figures.read_text(encoding="utf-8")) if figures else []
    package = write(config, weights, out, card=card, data=data, figures=measured)
    say(f"Model package '{package.name}' {package.card.version}: {package.folder}")


def _finished(run: Path) -> tuple[Any, Any]:
    """Config and weights to ship of a run of any system."""
    from SITTranslateLib.training.recipes.cross_contrast.recipe import finished, is_run_between_contrasts

    if is_run_between_contrasts(run):
        config, network = finished(run)
        return config, network.state_dict()
    from SITTranslateLib.training.recipes.plasticine import recipe as plasticine

    if plasticine.is_plasticine_run(run):
        made, painter = plasticine.finished(run)
        return made, painter.state_dict()
    from SITTranslateLib.training.recipes.aldm import recipe as aldm

    if aldm.is_aldm_run(run):
        trained, translator = aldm.finished(run)
        return trained, translator.state_dict()
    from SITTranslateLib.training.recipes.sit.runs import finished_run

    return finished_run(run)
