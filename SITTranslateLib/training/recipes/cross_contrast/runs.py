"""One training run between two contrasts, from a config to weights."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.fabric import Fabric

from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.phantoms import Head, PhantomSet, simulated_heads
from SITTranslateLib.training.recipes.cross_contrast.config import CrossContrastConfig
from SITTranslateLib.training.recipes.cross_contrast.data import batches
from SITTranslateLib.training.recipes.cross_contrast.recipe import CrossContrastTrainer, train


def heads_of(pool: PhantomSet, labels: Path, cache: Path) -> list[Head]:
    """The heads of a pool; label maps are only read if one of them has still to be simulated."""
    folder = cache / f"heads-{pool.key}"
    there = all((folder / f"{index:03d}").is_dir() for index in range(pool.heads))
    subjects = [] if there else prepared_subjects(labels, pool.maps, cache / "subjects")
    return simulated_heads(subjects, pool, cache)


def run(
    config: CrossContrastConfig,
    labels: Path,
    folder: Path,
    *,
    cache: Path | None = None,
    accelerator: str = "auto",
    precision: str = "bf16-mixed",
    threads: int | None = None,
    save_every: int = 100,
) -> CrossContrastTrainer:
    """Train a config in ``folder``, going on from its checkpoint if there is one.

    Args:
        labels: folder of label maps.
        cache: where prepared maps and simulated heads are kept; the run's folder if not given.
        accelerator, precision: as Lightning Fabric takes them.
        threads: CPU threads; torch's choice if not given.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    heads = heads_of(config.heads, labels, cache or folder)
    trainer = CrossContrastTrainer(config, fabric)
    trainer.resume(folder)
    train(config, trainer, batches(heads, config, trainer.step), folder, every=save_every)
    return trainer
