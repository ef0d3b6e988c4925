"""Training the two segmentation networks on random contrasts of deformed label maps; their weights are shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.maps import WEIGHTS as TISSUE_WEIGHTS
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.structures import CLASS_COUNT
from SITTranslateLib.segmentation.tissues import SPACING_MM
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer
from SITTranslateLib.training.recipes.segmentation import parcellation_data, tissue_data
from SITTranslateLib.training.recipes.segmentation.config import (
    ParcellationConfig,
    SegmentationConfig,
    StructureConfig,
)
from SITTranslateLib.training.recipes.segmentation.objective import rate_factor, sided_loss, soft_loss
from SITTranslateLib.training.recipes.segmentation.varied_heads import heads_of

WEIGHTS = "weights.safetensors"
Batch = dict[str, Tensor]
Batches = Callable[[int], Iterator[Batch]]


@dataclass(frozen=True)
class Task:
    """What one of the networks has of its own.

    Attributes:
        config: its config.
        network: the untrained network of a config.
        loss: of logits and batch.
        rate: factor of a step and config.
        batches: of a config, a folder of label maps and a cache.
    """

    config: type[SegmentationConfig]
    network: Callable[[Any], TissueNetwork]
    loss: Callable[[Tensor, Batch], Tensor]
    rate: Callable[[int, Any], float]
    batches: Callable[[Any, Path, Path], Batches]


def parcellation_network(config: ParcellationConfig) -> TissueNetwork:
    """The tissue network with a head of its own: classes, and one logit of the side.

    Raises:
        InputError: there are no weights to begin with where the config says.
    """
    network = TissueNetwork(config.widths, CLASS_COUNT + 1)
    if config.start:
        file = TISSUE_WEIGHTS if config.start == "tissues" else Path(config.start)
        if not file.is_file():
            raise InputError(f"There are no weights '{file.name}' to begin with; give a file or leave 'start' empty.")
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        stored = {n: v.float() if v.is_floating_point() else v for n, v in load_file(file).items()}
        network.load_state_dict({n: v for n, v in stored.items() if v.shape == shapes.get(n)}, strict=False)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]


def _tissue_batches(config: StructureConfig, labels: Path, cache: Path) -> Batches:
    subjects = prepared_subjects(labels, config.maps, cache / "subjects")
    return partial(tissue_data.batches, tissue_data.deformed_heads(subjects, config, cache), config)


def _parcellation_batches(config: ParcellationConfig, labels: Path, cache: Path) -> Batches:
    return partial(parcellation_data.batches, heads_of(config, labels, cache), config)


TASKS: dict[str, Task] = {
    "structure": Task(
        StructureConfig,
        lambda config: TissueNetwork(config.widths),
        lambda logits, batch: soft_loss(logits, batch["truth"]),
        lambda step, config: rate_factor(step, config.steps, 0.05, restart=config.settled),
        _tissue_batches,
    ),
    "parcellation": Task(
        ParcellationConfig,
        parcellation_network,
        lambda logits, batch: sided_loss(logits, batch["truth"], batch["right"]),
        lambda step, config: rate_factor(step, config.steps, 0.03),
        _parcellation_batches,
    ),
}


class SegmentationTrainer(Trainer):
    """A segmentation network; from the config's ``settled`` step on its normalisation keeps its statistics.

    Args:
        data: batches from a step on.
    """

    def __init__(self, config: SegmentationConfig, fabric: Fabric, data: Batches) -> None:
        super().__init__(config, fabric)
        self.batches, self.task = data, TASKS[config.system]
        network = self.task.network(config)
        self.average = average_of(network, config.average)
        adam = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=1e-4)
        self.rates = LambdaLR(adam, lambda step: self.task.rate(step, config))
        self.network, self.adam = fabric.setup(network, adam)

    def losses(self, batch: Batch) -> Outcome:
        """Cross-entropy and Dice of one example."""
        self.network.train(self.step < self.config.settled)
        return Outcome({"loss": self.task.loss(self.network(batch["image"]), batch)})


class SegmentationRecipe(Recipe):
    """The tissue and the parcellation network, whose weights a run leaves in half precision."""

    next_step = f"the weights are {{out}}/{WEIGHTS}."

    def parse(self, raw: Mapping[str, Any], *, seed: int | None = None, steps: int | None = None) -> SegmentationConfig:
        return TASKS[raw["system"]].config.from_dict(raw, seed=seed, steps=steps)

    def network(self, config: SegmentationConfig) -> TissueNetwork:
        return TASKS[config.system].network(config)

    def trainer(
        self, config: SegmentationConfig, labels: Path, cache: Path, fabric: Fabric, options: RunOptions
    ) -> SegmentationTrainer:
        return SegmentationTrainer(config, fabric, TASKS[config.system].batches(config, labels, cache))

    def evaluate(self, request: EvaluationRequest) -> None:
        if request.system != "parcellation":
            return super().evaluate(request)
        from SITTranslateLib.training.recipes.segmentation.evaluate import evaluate

        return evaluate(request)

    def write_results(self, trainer: Trainer, folder: Path) -> None:
        """The averaged weights in float16, counts as they are."""
        config = trainer.config
        weights = {
            name: (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in trainer.shipped_weights().items()
        }
        about = {"config": config.name, "seed": str(config.seed), "spacing_mm": str(SPACING_MM)}
        save_file(weights, folder / WEIGHTS, metadata=about)


RECIPE = SegmentationRecipe()
