"""Training SIT: follow-up pairs, the unpaired StarGAN host, or both, by the weights of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.sit.network import SITNetwork, SITParts
from SITTranslateLib.systems.sit.structures import parcellation_sha256
from SITTranslateLib.training.engine.grid import SPACING_MM, training_axes
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.losses import Outcome, masked_mean
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of, warm_up_and_cosine
from SITTranslateLib.training.engine.trainer import CHECKPOINT, RunOptions, Trainer, moved
from SITTranslateLib.training.recipes.sit import objective
from SITTranslateLib.training.recipes.sit.bids_dataset import ScanDataset, known_scans
from SITTranslateLib.training.recipes.sit.config import TrainingConfig
from SITTranslateLib.training.recipes.sit.data import SimulatedPairs, batches
from SITTranslateLib.training.recipes.sit.discriminator import (
    AttributeDiscriminator,
    gradient_penalty,
    hinge_discriminator,
)
from SITTranslateLib.training.recipes.sit.prescribed import PrescribedHeads, aged, begin_with_tables
from SITTranslateLib.training.recipes.sit.preview import draw_preview
from SITTranslateLib.training.recipes.sit.torchio_subjects import scans_of_subjects, subjects_of_file

Batch = dict[str, Tensor]


def optimiser(network: SITNetwork, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam; the intensity head learns faster, since it wakes up late."""
    schedule = config.schedule
    head = [p for name, p in network.named_parameters() if name.startswith("intensity_head")]
    rest = [p for name, p in network.named_parameters() if not name.startswith("intensity_head")]
    groups = [{"params": rest}]
    if head:
        groups.append({"params": head, "lr": schedule.rate * schedule.intensity_rate_factor})  # type: ignore[dict-item]
    return torch.optim.Adam(groups, lr=schedule.rate, betas=schedule.betas)


class SITTrainer(Trainer):
    """Generator, and the discriminator of the StarGAN host if a weight asks for it.

    Args:
        data: batches from a step on.
        axes: 3x3 of the training grid, mm.
        begin: sets weights to begin with.
    """

    log_every = 20

    def __init__(
        self,
        config: TrainingConfig,
        fabric: Fabric,
        data: Callable[[int], Iterator[Batch]],
        axes: np.ndarray,
        begin: Callable[[SITNetwork], None] | None = None,
    ) -> None:
        super().__init__(config, fabric)
        self.batches, self.axes = data, axes
        network = systems.create(config.system, config.network)
        assert isinstance(network, SITNetwork)
        if begin is not None:
            begin(network)
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.attributes = len(network.attributes)
        adam = optimiser(network, config)
        self.rates = LambdaLR(adam, warm_up_and_cosine(config.schedule.steps))
        self.average = average_of(network, config.schedule.average)
        self.network, self.adam = fabric.setup(network, adam)
        self.discriminator: Any = None
        if config.losses.need_discriminator:
            judge = AttributeDiscriminator(self.attributes, spectral=config.losses.adversarial > 0)
            judge_adam = torch.optim.Adam(judge.parameters(), lr=config.schedule.critic_rate, betas=(0.5, 0.999))
            self.discriminator, self.discriminator_adam = fabric.setup(judge, judge_adam)

    def networks(self) -> dict[str, Any]:
        if self.discriminator is None:
            return super().networks()
        return super().networks() | {"critic": self.discriminator, "critic_adam": self.discriminator_adam}

    def train(self, folder: Path, *, save_every: int = 200, until: int | None = None) -> None:
        if self.discriminator is not None and not (folder / CHECKPOINT).exists():
            for batch in islice(self.batches(0), self.config.schedule.critic_first):
                given = moved(batch, self.fabric.device)
                self._step_discriminator(self._regression(self.discriminator(given["other"])[1], given))
        super().train(folder, save_every=save_every, until=until)

    def weight_of(self, term: str) -> float:
        return float(getattr(self.config.losses, term))

    def losses(self, batch: Batch) -> Outcome:
        """The terms of the generator, after a step of the discriminator (if there is one)."""
        network = self.network
        if self.config.prescribed is not None:
            # The bare module, in float32: Fabric's wrapper would round decades and probabilities to half precision.
            network = self.network.module
            batch = aged(network, batch, self.axes)
        live = self.step >= self.config.schedule.geometry_first * self.config.schedule.steps
        use_intensity = live or self.config.network["variant"] == "it"
        # Where the structures of a scan are known, the velocity is all that is needed of it.
        given = {"features": batch["features"]} if "features" in batch else {}
        parts: SITParts = network(batch.get("source"), batch["code"], self.axes, use_intensity, **given)
        logged = self._update_discriminator(batch, parts.translated.detach()) if self.discriminator is not None else {}
        return Outcome(self._terms(batch, parts, use_intensity), logged=logged)

    def _terms(self, batch: Batch, parts: SITParts, use_intensity: bool) -> dict[str, Tensor]:
        weights = self.config.losses
        if self.config.prescribed is not None:
            return objective.prescribed_terms(self.network.module, parts, batch, self.axes)
        terms = objective.anatomy_terms(parts, self.axes, batch["mask"], lambda name: getattr(weights, name) > 0)
        if weights.follow_up or weights.motion or weights.change:
            terms |= objective.follow_up_terms(parts, batch, batch["mask"])
        if self.discriminator is not None:
            patches, after = self.discriminator(parts.translated)
            _, before = self.discriminator(batch["source"])
            terms["adversarial"] = -patches.mean()
            change, requested = batch["code"][:, : self.attributes], batch["code"][:, self.attributes :]
            terms["attribute"] = ((after - before.detach() - change) * requested).abs().mean()
        if weights.cycle:
            back = torch.cat((-batch["code"][:, : self.attributes], batch["code"][:, self.attributes :]), dim=1)
            returned: SITParts = self.network(parts.translated, back, self.axes, use_intensity)
            terms["cycle"] = masked_mean((returned.translated - batch["source"]).abs(), batch["mask"])
        return {name: value for name, value in terms.items() if getattr(weights, name) > 0}

    def _update_discriminator(self, batch: Batch, fake: Tensor) -> dict[str, float]:
        schedule = self.config.schedule
        # Real scans of other people with their own attributes: never the follow-up of the same scan.
        real_patches, real_values = self.discriminator(batch["other"])
        fake_patches, _ = self.discriminator(fake)
        # An autoencoder's critic only reads attributes.
        adversarial = self.config.losses.adversarial > 0
        realism = hinge_discriminator(real_patches, fake_patches) * float(adversarial)
        regression = self._regression(real_values, batch)
        total = realism + regression
        if adversarial and self.step % schedule.penalty_every == 0:
            # The bare module, in float32: Fabric guards its wrapper against a gradient taken inside the step.
            penalty = gradient_penalty(self.discriminator.module, batch["other"])
            total = total + schedule.penalty * schedule.penalty_every * penalty
        self._step_discriminator(total)
        return {
            "discriminator_realism": float(realism.detach()),
            "discriminator_regression": float(regression.detach()) / schedule.critic_weight_of_regression,
        }

    def _regression(self, values: Tensor, batch: Batch) -> Tensor:
        # Weighted alike before and beside realism: Adam's steps would jump where gradients suddenly grow.
        weight = self.config.schedule.critic_weight_of_regression
        return weight * nn.functional.mse_loss(values, batch["other_values"])

    def _step_discriminator(self, loss: Tensor) -> None:
        self.discriminator_adam.zero_grad()
        self.fabric.backward(loss)
        self.discriminator_adam.step()

    def draw_preview(self, batch: Batch, path: Path) -> None:
        if "source" in batch:
            draw_preview(self.average.module, batch, self.axes, path)


class SITRecipe(Recipe):
    """On one device or several, on simulated follow-up pairs or on scans of a user's own."""

    parallel = True

    config_class = TrainingConfig

    def parse(self, raw: dict[str, Any], *, seed: int | None = None, steps: int | None = None) -> TrainingConfig:
        config = self.config_class.from_dict(raw, seed=seed, steps=steps)
        if config.network.get("structures") != "current":
            return config
        return replace(config, network=config.network | {"structures": parcellation_sha256()})

    def trainer(
        self, config: TrainingConfig, labels: Path | Any, cache: Path, fabric: Fabric, options: RunOptions
    ) -> SITTrainer:
        """The trainer with its data.

        Args:
            labels: folder of label maps; where the config has ``[scans]``, a BIDS dataset, a folder with a table, a
                ``torchio.SubjectsDataset``, or a Python file that names one ``subjects``.
        """
        if config.prescribed is not None:
            heads = PrescribedHeads(labels, config.prescribed, cache)
            return SITTrainer(config, fabric, partial(heads.batches, config.seed), training_axes(), begin_with_tables)
        scales = tuple(config.network["scales"])
        pairs: SimulatedPairs | ScanDataset
        if config.scans is not None:
            if isinstance(labels, Path) and labels.suffix == ".py":
                labels = subjects_of_file(labels)
            scans_of = known_scans if isinstance(labels, Path) else scans_of_subjects
            scans = scans_of(labels, config.network["attributes"], config.scans.suffix)
            pairs = ScanDataset(scans, config.scans, scales, cache)
        else:
            subjects = prepared_subjects(labels, config.data.training_maps, cache / "subjects")
            pairs = SimulatedPairs(subjects, config.data, scales, cache)  # type: ignore[arg-type]

        def data(start: int) -> Iterator[Batch]:
            return batches(
                pairs,
                batch=config.schedule.batch,
                seed=config.seed,
                start=start,
                workers=options.workers,
                rank=fabric.global_rank,
                ranks=fabric.world_size,
            )

        return SITTrainer(config, fabric, data, training_axes(config.data.spacing_mm))

    def package(
        self, config: TrainingConfig, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        if config.data.spacing_mm != SPACING_MM:
            raise InputError(f"A run on voxels of {config.data.spacing_mm:g} mm is a trial: train on 2 mm to publish.")
        return super().package(config, weights, card)

    def evaluate(self, request: EvaluationRequest) -> None:
        from SITTranslateLib.training.recipes.sit.evaluate import evaluate

        evaluate(request)


RECIPE = SITRecipe()
