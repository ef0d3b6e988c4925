"""Training the tissue network on random contrasts of deformed label maps; its weights come with the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.tissues import SPACING_MM
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.recipe import Recipe
from SITTranslateLib.training.engine.schedule import average_of
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer
from SITTranslateLib.training.recipes.segmentation.config import StructureConfig, config_from_dict
from SITTranslateLib.training.recipes.segmentation.data import batches, deformed_heads
from SITTranslateLib.training.recipes.segmentation.objective import rate_factor, soft_loss

WEIGHTS = "weights.safetensors"
Batch = dict[str, Tensor]


class StructureTrainer(Trainer):
    """The tissue network; from the config's ``settled`` step on its normalisation keeps its statistics.

    Args:
        data: batches from a step on.
    """

    def __init__(
        self, config: StructureConfig, fabric: Fabric, data: Callable[[int], Iterator[Batch]] | None = None
    ) -> None:
        super().__init__(config, fabric)
        if data is not None:
            self.batches = data
        network = TissueNetwork(config.widths)
        self.average = average_of(network, config.average)
        adam = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=1e-4)
        self.rates = LambdaLR(adam, lambda step: rate_factor(step, config))
        self.network, self.adam = fabric.setup(network, adam)

    def losses(self, batch: Batch) -> Outcome:
        """Cross-entropy and Dice of one block."""
        self.network.train(self.step < self.config.settled)
        return Outcome({"loss": soft_loss(self.network(batch["image"]), batch["truth"])})


class StructureRecipe(Recipe):
    """The tissue network, whose weights a run leaves in half precision."""

    next_step = f"the weights are {{out}}/{WEIGHTS}."

    def parse(self, raw: dict[str, Any], *, seed: int | None = None, steps: int | None = None) -> StructureConfig:
        return config_from_dict(raw, seed=seed, steps=steps)

    def network(self, config: StructureConfig) -> TissueNetwork:
        return TissueNetwork(config.widths)

    def trainer(
        self, config: StructureConfig, labels: Path, cache: Path, fabric: Fabric, options: RunOptions
    ) -> StructureTrainer:
        heads = deformed_heads(prepared_subjects(labels, config.maps, cache / "subjects"), config, cache)
        return StructureTrainer(config, fabric, partial(batches, heads, config))

    def write_results(self, trainer: Trainer, folder: Path) -> None:
        """The averaged weights in float16, counts as they are."""
        config = trainer.config
        weights = {
            name: (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in trainer.shipped_weights().items()
        }
        about = {"config": config.name, "seed": str(config.seed), "spacing_mm": str(SPACING_MM)}
        save_file(weights, folder / WEIGHTS, metadata=about)


RECIPE = StructureRecipe()
