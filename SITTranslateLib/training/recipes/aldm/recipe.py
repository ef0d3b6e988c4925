"""ALDM training in stages: codec, switchable generator, diffusion, detail, each from the previous average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.aldm.denoiser import ResidualDenoiser
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.systems.regression.many_to_many import AnyRegressionNetwork
from SITTranslateLib.training.engine.discriminators import Discriminators, PatchScales
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.phantoms import Phantom
from SITTranslateLib.training.engine.real_heads import real_heads
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of, averaged_weights, warm_up_and_cosine
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer
from SITTranslateLib.training.recipes.aldm.config import ALDMConfig
from SITTranslateLib.training.recipes.aldm.data import Batch, batch_of
from SITTranslateLib.training.recipes.aldm.objective import ALDMObjective
from SITTranslateLib.training.recipes.aldm.phantoms import phantoms_of
from SITTranslateLib.training.recipes.aldm.tissue_mapping import FoundTissues, fit_tissue_mapping

#: Images that the latents' mean and standard deviation are measured on.
MEASURED = 24
WARM_UP = 30


def network_of(config: ALDMConfig) -> nn.Module:
    """The network of a config, with fresh weights."""
    if config.system == "any_regression":
        return AnyRegressionNetwork(**config.network)
    return systems.create(config.system, config.network)


class ALDMTrainer(Trainer):
    """The stages one after the other, and the average of the weights that each leaves behind.

    Args:
        heads: phantoms that are learned from.
        tissues: found in them; found anew if not given.
    """

    def __init__(
        self, config: ALDMConfig, fabric: Fabric, heads: list[Phantom], tissues: FoundTissues | None = None
    ) -> None:
        super().__init__(config, fabric)
        self.heads, self.tissues = heads, tissues or FoundTissues(heads)
        self.network = network_of(config).to(fabric.device)
        self.objective = ALDMObjective(self.network, config)
        self.begin_stage(self.stage)

    def batches(self, start: int) -> Iterator[Batch]:  # type: ignore[override]
        """Endless batches from a step on."""
        step = start
        while True:
            yield batch_of(self.heads, self.config, step, self.tissues.shares)
            step += 1

    def networks(self) -> dict[str, Any]:
        return super().networks() | self.discriminators.state()

    def weight_of(self, term: str) -> float:
        return float(getattr(self.config.terms, term, 1.0))

    def losses(self, batch: Batch) -> Outcome:
        """The terms of the stage."""
        self.network.train()
        self._settle_codebook(batch)
        # Not through Fabric's wrapper, which would round the answers to half precision as well.
        with self.fabric.autocast():
            outcome: Outcome = self.objective(self.stage, batch)
        for name, (_, fake) in outcome.judged.items():
            outcome.terms["adversarial"] = self.discriminators.generator_loss(name, fake)
        return outcome

    def discriminate(self, outcome: Outcome) -> dict[str, float]:
        return self.discriminators.update(outcome.judged)

    def _settle_codebook(self, batch: Batch) -> None:
        """Once the latents mean something, the codebook begins with them."""
        name, step = self.config.stage_at(self.step)
        if name == "autoencoder" and step == round(self.config.schedule.settle * self.config.stages[name].steps):
            self.network.codec.settle(self.network.codec.encode(batch.source))

    # ---------------------------------------------------------------- stages
    def stage_of(self, step: int) -> str:
        return str(self.config.stage_at(step)[0])

    def begin_stage(self, stage: str) -> None:
        settings = self.config.stages[stage]
        self.average = average_of(self.network, self.config.schedule.average, buffers=True)
        adam = torch.optim.Adam(self.objective.trained(stage), lr=settings.rate, betas=(0.9, 0.99))
        self.rates = LambdaLR(adam, warm_up_and_cosine(settings.steps, WARM_UP))
        self.adam = self.fabric.setup_optimizers(adam)
        judges = stage == "ms_spade" and self.config.terms.adversarial
        self.discriminators = Discriminators(self.fabric, {"images": PatchScales(3, 1, 16, 2)} if judges else {})

    def end_stage(self, stage: str) -> None:
        """Take over the averaged weights; after the codec, measure its latents and fit the tissue mapping; after the
        generator, measure what it misses."""
        self.network.load_state_dict(averaged_weights(self.average.state_dict()))
        if stage == "ms_spade" and isinstance(self.network.denoiser, ResidualDenoiser):
            steps = self.config.stages[stage].steps
            batches = islice(self.batches(self.step - steps), min(steps, MEASURED))
            missed = torch.cat([self.objective.residual(batch.to(self.fabric.device)) for batch in batches])
            self.network.denoiser.spread.copy_(missed.square().mean(dim=(0, 2, 3, 4), keepdim=True).sqrt().clamp(1e-4))
        if stage != "autoencoder":
            return
        measure_latents(self.network, self.heads, self.config, self.fabric.device)
        mapping = getattr(self.network, "painter", None)
        if mapping is not None:
            names = self.config.network["contrasts"]
            fit_tissue_mapping(mapping, self.heads, names, self.tissues, self.config.seed)


@torch.no_grad()
def measure_latents(network: nn.Module, heads: list[Phantom], config: ALDMConfig, device: torch.device) -> None:
    """Set the codec's scale from clean whole heads of every contrast."""
    assert isinstance(network, ALDMNetwork)
    names = list(config.network["contrasts"])
    latents = []
    for n in range(MEASURED):
        head = heads[n % len(heads)]
        there = [name for name in names if name in head.scans]
        contrast = there[n % len(there)]
        image = torch.from_numpy(head.slab(contrast, 0, head.classes.shape[0], clean=True))[None, None]
        latents.append(network.codec.encode(image.to(device)).float())
    network.codec.measure(torch.cat(latents))


class ALDMRecipe(Recipe):
    """ALDM and the regression that it is compared with, on phantoms in all contrasts."""

    config_class = ALDMConfig
    spacing_mm = 2.0
    without_diffusion = True

    def network(self, config: ALDMConfig) -> nn.Module:
        return network_of(config)

    def trainer(
        self, config: ALDMConfig, labels: Path, cache: Path, fabric: Fabric, options: RunOptions
    ) -> ALDMTrainer:
        fold = config.heads.fold
        if fold:
            heads = real_heads(fold, Path(labels), cache, config.network["contrasts"], coarse=True)
        else:
            heads = phantoms_of(config.heads, labels, cache)
        kept = cache / (f"real-heads-{fold}" if fold else f"contrast-heads-{config.heads.key}")
        tissues = FoundTissues(heads, kept)
        return ALDMTrainer(config, fabric, heads, tissues)

    def package(
        self, config: ALDMConfig, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """Everything, for the targets that the card offers, by the index that its attribute gives."""
        return config.network | {"targets": card["targets"]}, weights

    def towards(self, network: Any, source: str, target: str) -> tuple[Any, dict[str, float]]:
        """The request that names both contrasts; see :meth:`Recipe.towards`."""
        if not {source, target} <= set(network.targets):
            raise InputError(f"A network of these runs does not translate {source} to {target}.")
        index = network.targets.index
        return network, {"target": float(index(target)), "source": float(index(source) + 1)}

    def evaluate(self, request: EvaluationRequest) -> None:
        from SITTranslateLib.training.recipes.aldm.evaluate import evaluate

        evaluate(request)


RECIPE = ALDMRecipe()
