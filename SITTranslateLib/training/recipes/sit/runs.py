"""One training run from a config to weights: label maps, pairs, loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, Strategy
from torch import Tensor

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.recipes.sit.bids_dataset import OwnScans, known_scans
from SITTranslateLib.training.recipes.sit.config import TrainingConfig, config_from_dict
from SITTranslateLib.training.recipes.sit.data import SimulatedPairs, batches, training_axes
from SITTranslateLib.training.recipes.sit.recipe import CHECKPOINT, SITTrainer, train
from SITTranslateLib.training.recipes.sit.torchio_subjects import scans_of_subjects, subjects_of_file


def launched_fabric(
    accelerator: str = "auto", *, devices: int = 1, nodes: int = 1, precision: str = "bf16-mixed"
) -> Fabric:
    """Fabric, its other processes started; under torchrun it joins those that are there."""
    strategy: Strategy | str = "auto"
    if devices * nodes > 1:
        # The intensity branch has no gradient while it sleeps, and the critic's turn leaves the generator alone.
        strategy = DDPStrategy(find_unused_parameters=True)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        precision=precision,  # type: ignore[arg-type]
        strategy=strategy,
    )
    fabric.launch()
    return fabric


def run(
    config: TrainingConfig,
    labels: Path | Any,
    folder: Path,
    *,
    cache: Path | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: str = "bf16-mixed",
    workers: int = 1,
    threads: int | None = None,
) -> SITTrainer:
    """Train a config in ``folder``, going on from its checkpoint if there is one.

    Args:
        labels: folder of label maps; where the config has ``[scans]``, of one's own scans (BIDS, or with a table), or
            a ``torchio.SubjectsDataset``, or a Python file that names one ``subjects``.
        cache: where prepared maps and pairs are kept; the run's folder if not given.
        accelerator, devices, nodes, precision: as Lightning Fabric takes them.
        workers: processes that simulate.
        threads: CPU threads; torch's choice if not given.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = launched_fabric(accelerator, devices=devices, nodes=nodes, precision=precision)
    kept = cache or folder
    scales = tuple(config.network["scales"])
    pairs: SimulatedPairs | OwnScans
    if config.scans is not None:
        attributes, image = config.network["attributes"], config.scans.suffix
        if isinstance(labels, Path) and labels.suffix == ".py":
            labels = subjects_of_file(labels)
        of = known_scans if isinstance(labels, Path) else scans_of_subjects
        scans = of(labels, attributes, image)
        pairs = OwnScans(scans, config.scans, scales, kept)
    else:
        subjects = prepared_subjects(labels, config.data.training_maps, kept / "subjects")
        pairs = SimulatedPairs(subjects, config.data, scales, kept)  # type: ignore[arg-type]
    start = SITTrainer.step_of(folder)
    endless = batches(
        pairs,
        batch=config.schedule.batch,
        seed=config.schedule.seed,
        start=start,
        workers=workers,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    moved = ({name: value.to(fabric.device) for name, value in batch.items()} for batch in endless)
    return train(config, moved, training_axes(), folder, fabric=fabric)


def finished_run(folder: Path) -> tuple[TrainingConfig, dict[str, Tensor]]:
    """Config and averaged weights of a run.

    Raises:
        InputError: the folder holds no finished run.
    """
    if not (folder / CHECKPOINT).exists() or not (folder / "config.json").exists():
        raise InputError(f"There is no training run in {folder}; train one first.")
    config = config_from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    if state["step"] < config.schedule.steps:
        raise InputError(
            f"The run in {folder} stopped at step {state['step']} of {config.schedule.steps}; go on first."
        )
    prefix = "module."
    weights = {name.removeprefix(prefix): v for name, v in state["average"].items() if name.startswith(prefix)}
    return config, weights


def finished_network(folder: Path) -> SITNetwork:
    """The network of a finished run with its averaged weights, ready to translate."""
    config, weights = finished_run(folder)
    network = systems.create(config.system, config.network)
    network.load_state_dict(weights)
    assert isinstance(network, SITNetwork)
    return network.eval()
