"""One training run of Plasticine, from a config to weights."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.fabric import Fabric

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import find, load
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.recipes.plasticine.config import PlasticineConfig
from SITTranslateLib.training.recipes.plasticine.data import Batches
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingHead, AgeingPool, ageing_heads, are_there
from SITTranslateLib.training.recipes.plasticine.recipe import PlasticineTrainer, train


def heads_of(pool: AgeingPool, labels: Path, cache: Path) -> list[AgeingHead]:
    """The heads of a pool; label maps are only read if one of them has still to be simulated."""
    subjects = [] if are_there(pool, cache) else prepared_subjects(labels, pool.maps, cache / "subjects")
    return ageing_heads(subjects, pool, cache)


def tissue_weights() -> dict[str, torch.Tensor] | None:
    """Weights of the tissue network that comes with the library; None where it has none."""
    from SITTranslateLib.segmentation.maps import WEIGHTS, tissue_network

    return dict(tissue_network().state_dict()) if WEIGHTS.is_file() else None


def motion_weights(config: PlasticineConfig) -> dict[str, torch.Tensor] | None:
    """Weights of the deformation network that a config takes over from a package; None if it takes none.

    What moves a head is found in the source alone, so that one motion serves every target.

    Raises:
        PackageError: no such package.
        InputError: its motion is of another source, of another attribute, or by another unit of it.
    """
    if not config.motion:
        return None
    package = find(config.motion)
    theirs, prefix = package.card.system.parameters, "deformation."
    for name in ("source", "attribute", "scale"):
        if theirs.get(name) != config.network.get(name):
            raise InputError(f"The motion of '{config.motion}' is not for this config: its {name} is another.")
    weights = load(package)
    return {name.removeprefix(prefix): v for name, v in weights.items() if name.startswith(prefix)}


def run(
    config: PlasticineConfig,
    labels: Path,
    folder: Path,
    *,
    cache: Path | None = None,
    tissues: dict[str, torch.Tensor] | None = None,
    accelerator: str = "auto",
    precision: str = "bf16-mixed",
    threads: int | None = None,
    save_every: int = 200,
) -> PlasticineTrainer:
    """Train a config in ``folder``, going on from its checkpoint if there is one.

    Args:
        labels: folder of label maps.
        cache: where prepared maps and simulated heads are kept; the run's folder if not given.
        tissues: weights of the tissue network; stages whose maps are predicted need them.
        accelerator, precision: as Lightning Fabric takes them.
        threads: CPU threads; torch's choice if not given.

    Raises:
        InputError: a stage needs the tissue network and there is none, or the motion to take over does not fit.
        PackageError: there is no package of that motion.
    """
    if config.needs_tissue_network and tissues is None:
        raise InputError("A stage of this config takes predicted maps; the tissue network's weights are not there.")
    motion = motion_weights(config)
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    heads = heads_of(config.heads, labels, cache or folder)
    trainer = PlasticineTrainer(config, fabric)
    if motion is not None:
        trainer.take_motion(motion)
    trainer.resume(folder)
    if tissues is not None:
        trainer.take_tissues(tissues)
    network = getattr(trainer.network, "structure", None)
    train(config, trainer, Batches(heads, config, network), folder, every=save_every)
    return trainer
