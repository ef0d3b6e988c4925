"""Training between two contrasts: SA-UNIT, SASAN and the paired regression, by the weights of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.layers.blocks import baked, spatial
from SITTranslateLib.training.engine.discriminators import Discriminators, PatchScales
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.phantoms import phantoms_of
from SITTranslateLib.training.engine.real_heads import real_heads
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of, linear_decay
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer
from SITTranslateLib.training.recipes.cross_contrast.config import CrossContrastConfig
from SITTranslateLib.training.recipes.cross_contrast.data import batches
from SITTranslateLib.training.recipes.cross_contrast.objective import OBJECTIVES

Batch = dict[str, Tensor]
#: The term of each discriminator that is not of an image.
_TERMS = {"classes": "class_adversarial", "latent": "latent_adversarial"}


class CrossContrastTrainer(Trainer):
    """Objective and discriminators of a config.

    Args:
        data: batches from a step on.
    """

    def __init__(
        self, config: CrossContrastConfig, fabric: Fabric, data: Callable[[int], Iterator[Batch]] | None = None
    ) -> None:
        super().__init__(config, fabric)
        if data is not None:
            self.batches = data
        schedule = config.schedule
        network = systems.create(config.system, config.network)
        axes = spatial(config.network.get("dims", 2.5))
        if axes == 2:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = average_of(network, schedule.average, buffers=True)
        attention = [p for n, p in network.named_parameters() if n.startswith("attention.")]
        rest = [p for n, p in network.named_parameters() if not n.startswith("attention.")]
        groups: list[dict[str, Any]] = [{"params": rest}] + ([{"params": attention}] if attention else [])
        adam = torch.optim.Adam(groups, lr=schedule.rate, betas=schedule.betas)
        decay = linear_decay(schedule.steps)

        def attention_rate(step: int) -> float:
            return decay(step) * (1.0 if step < schedule.attention_first else schedule.attention_rate)

        self.rates = LambdaLR(adam, [decay] + ([attention_rate] if attention else []))
        self.objective, self.adam = fabric.setup(OBJECTIVES[config.system](network, config), adam)
        self.network = network
        self.discriminators = Discriminators(fabric, self._discriminators(axes), schedule.critic_rate)

    def _discriminators(self, axes: int) -> dict[str, nn.Module]:
        terms, schedule, network = self.config.terms, self.config.schedule, self.config.network
        channels = int(network.get("slices", 3)) if network.get("dims", 2.5) == 2.5 else 1
        width, spectral = schedule.critic_width, schedule.critic_spectral
        made: dict[str, nn.Module] = {}
        if terms.adversarial:
            for name in (self.config.source, self.config.target):
                made[name] = PatchScales(axes, channels, width, schedule.critic_scales, spectral=spectral)
        if terms.class_adversarial:
            foreground = int(network.get("classes", 6)) - 1
            made["classes"] = PatchScales(axes, foreground, 8, groups=foreground, spectral=spectral)
        if terms.latent_adversarial:
            code = int(network.get("widths", (16, 32, 64))[2])
            made["latent"] = PatchScales(axes, code, width, spectral=spectral)
        return made

    def networks(self) -> dict[str, Any]:
        return {"objective": self.objective} | self.discriminators.state()

    def weight_of(self, term: str) -> float:
        return float(getattr(self.config.terms, term))

    def losses(self, batch: Batch) -> Outcome:
        """The objective's terms and, once they are due, the adversarial ones."""
        outcome: Outcome = self.objective(batch, self.step)
        schedule = self.config.schedule
        awake = min(1.0, max(0, self.step - schedule.usual_first) / max(1.0, schedule.ramp * schedule.steps))
        for name, (_, fake) in outcome.judged.items():
            term = _TERMS.get(name, "adversarial")
            loss = awake * self.discriminators.generator_loss(name, fake)
            outcome.terms[term] = outcome.terms.get(term, torch.zeros(())) + loss
        return outcome

    def discriminate(self, outcome: Outcome) -> dict[str, float]:
        return self.discriminators.update(outcome.judged)


class CrossContrastRecipe(Recipe):
    """On phantoms or real visits, paired or unpaired; a package is one direction of the run, that of its card."""

    config_class = CrossContrastConfig

    def trainer(
        self, config: CrossContrastConfig, labels: Path, cache: Path, fabric: Fabric, options: RunOptions
    ) -> CrossContrastTrainer:
        if config.heads.fold:
            contrasts = (config.source, config.target)
            phantoms = real_heads(config.heads.fold, Path(labels), cache, contrasts, paired=config.paired)
        else:
            phantoms = phantoms_of(config.heads, labels, cache)
        return CrossContrastTrainer(config, fabric, partial(batches, phantoms, config))

    def finish(self, network: nn.Module) -> nn.Module:
        """With spectral normalisation multiplied out."""
        return baked(network.eval())

    def package(
        self, config: CrossContrastConfig, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """One direction of the network.

        Raises:
            InputError: the run does not translate that way.
        """
        prefixes, parameters = _of_direction(config, card["source"], card["targets"][0])
        chosen = {name: tensor for name, tensor in weights.items() if prefixes is None or name.startswith(prefixes)}
        return parameters | ({"spectral": []} if "spectral" in parameters else {}), chosen

    def towards(self, network: Any, source: str, target: str) -> tuple[Any, dict[str, float]]:
        """Set a network of both directions to one; see :meth:`Recipe.towards`."""
        network, contrasts = copy(network), getattr(network, "contrasts", ((), ()))
        if source in contrasts[0] and target in contrasts[1]:
            network.contrasts = (source,), (target,)
        elif (source, target) in getattr(network, "directions", ()):
            network.directions = [(source, target)]
        else:
            return super().towards(network, source, target)
        return network, {}

    def evaluate(self, request: EvaluationRequest) -> None:
        from SITTranslateLib.training.recipes.cross_contrast.evaluate import evaluate

        evaluate(request)


def _of_direction(
    config: CrossContrastConfig, source: str, target: str
) -> tuple[tuple[str, ...] | None, dict[str, Any]]:
    """Prefixes of the weights of a direction (None for all), and the network's parameters."""
    network = dict(config.network)
    if config.system == "sa_unit" and source in network["encoders"] and target in network["generators"]:
        parts = (f"encoders.{source}.", "shared_in.", "shared_out.", f"generators.{target}.")
        return parts, network | {"encoders": [source], "generators": [target]}
    if config.system == "sasan" and f"{source}>{target}" in network["directions"]:
        attention = "shared" if network.get("share_attention") else source
        prefixes = f"attention.{attention}.", f"synthesis.{source}_to_{target}."
        return prefixes, network | {"directions": [f"{source}>{target}"]}
    if config.system == "regression" and (source, target) == (network["source"], network["target"]):
        return None, network
    raise InputError(f"This run does not translate {source} to {target}.")


RECIPE = CrossContrastRecipe()
