"""Training on real pairs of scans, and the package of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.layers.blocks import ConvolutionBlock
from SITTranslateLib.systems.regression.multi_contrast import MultiContrastNetwork
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer
from SITTranslateLib.training.engine.visit_preparation import prepared
from SITTranslateLib.training.engine.visits import CONTRASTS, training_visits
from SITTranslateLib.training.recipes.real_contrasts import objective
from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.training.recipes.real_contrasts.samples import Batch, batches, training_visit

COVERAGE = "coverage.json"


class RealContrastsTrainer(Trainer):
    """A network between contrasts.

    Args:
        data: batches from a step on.
    """

    def __init__(self, config: RealContrastsConfig, fabric: Fabric, data: Callable[[int], Iterator[Batch]]) -> None:
        super().__init__(config, fabric)
        self.batches = data
        network = RECIPE.network(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # With the statistics of the batch normalisation, which become weights of the package.
        self.average = average_of(network, config.average, buffers=True, warm_up=10)
        adam = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
        self.rates = LambdaLR(adam, lambda step: objective.rate_factor(step, config))
        self.network, self.adam = fabric.setup(network, adam)

    def weight_of(self, term: str) -> float:
        return {"ssim": self.config.ssim, "scale": self.config.scale}.get(term, 1.0)

    def losses(self, batch: Batch) -> Outcome:
        return Outcome(objective.losses(self.network, batch))


class RealContrastsRecipe(Recipe):
    """A network between contrasts, trained on real scans; ``--labels`` is the folder of the scans."""

    config_class = RealContrastsConfig
    simulated = False

    def network(self, config: RealContrastsConfig) -> MultiContrastNetwork:
        """As it is trained, with batch normalisation."""
        return MultiContrastNetwork(**config.network, norm="batch")

    def trainer(
        self, config: RealContrastsConfig, labels: Any, cache: Path, fabric: Fabric, options: RunOptions
    ) -> RealContrastsTrainer:
        visits = training_visits(config.fold)
        drawn = [training_visit(prepared(v, Path(labels), cache / "prepared"), v.stripped) for v in visits]
        # Two visits of one person are worth one and a half.
        chances = [v.weight / sum(v.subject == other.subject for other in visits) ** 0.5 for v in visits]
        return RealContrastsTrainer(config, fabric, partial(batches, drawn, chances, config))

    def run(self, config: RealContrastsConfig, labels: Any, folder: Path, options: RunOptions | None = None) -> Trainer:
        """Train in the precision of the config; see :meth:`Recipe.run`."""
        precision = "bf16-mixed" if config.bfloat16 else "32-true"
        return super().run(config, labels, folder, replace(options or RunOptions(), precision=precision))

    def finish(self, network: nn.Module) -> nn.Module:
        """With its batch normalisation multiplied into the convolutions."""
        for block in list(network.eval().modules()):
            if isinstance(block, ConvolutionBlock) and isinstance(block[1], nn.BatchNorm2d):
                block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()  # type: ignore[type-var]
        return network

    def finished(self, folder: Path, *, step: int | None = None) -> tuple[RealContrastsConfig, MultiContrastNetwork]:
        """See :meth:`Recipe.finished`; ``coverage.json`` in the folder calibrates the uncertainty."""
        config, network = super().finished(folder, step=step)
        factors = folder / COVERAGE
        if factors.is_file():
            by_target = json.loads(factors.read_text(encoding="utf-8"))
            network.coverage = tuple(float(by_target[contrast]) for contrast in CONTRASTS)
            config = replace(config, coverage=network.coverage)
        return config, network

    def towards(
        self, network: MultiContrastNetwork, source: str, target: str
    ) -> tuple[MultiContrastNetwork, dict[str, float]]:
        """See :meth:`Recipe.towards`; every contrast to every other."""
        if not {source, target} <= set(network.contrasts):
            raise InputError(f"A network of these runs does not translate {source} to {target}.")
        return network, {}

    def package(
        self, config: RealContrastsConfig, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        sources = [card["source"], *card.get("further_sources", [])]
        return config.network | {"targets": list(card["targets"]), "sources": sources}, weights

    def evaluate(self, request: EvaluationRequest) -> None:
        from SITTranslateLib.training.recipes.real_contrasts.evaluate import evaluate

        evaluate(request)


RECIPE = RealContrastsRecipe()
