"""Training Plasticine: renderer, then deformation network, in the stages of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.packages import find, load
from SITTranslateLib.systems.layers.samplers import noised, weights
from SITTranslateLib.systems.plasticine.paper import PaperPlasticineNetwork
from SITTranslateLib.systems.plasticine.renderer import to_diffusion
from SITTranslateLib.training.engine.grid import training_axes
from SITTranslateLib.training.engine.losses import Outcome, masked_mean
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of, warm_up_and_cosine
from SITTranslateLib.training.engine.trainer import CHECKPOINT, RunOptions, Trainer
from SITTranslateLib.training.recipes.plasticine import paper_objective as paper
from SITTranslateLib.training.recipes.plasticine.config import PlasticineConfig, Stage
from SITTranslateLib.training.recipes.plasticine.data import Batch, Batches
from SITTranslateLib.training.recipes.plasticine.objective import deformation_terms, rendering_loss
from SITTranslateLib.training.recipes.plasticine.phantoms import phantoms_of

SQUARINGS = 4
#: How much faster the renderer's intensity of each tissue learns.
INTENSITY_RATE = 20.0


class PlasticineTrainer(Trainer):
    """The networks, the optimiser of the stage that is on, and the average of the weights that is shipped.

    Args:
        data: the batches of a step and stage, for the network of this trainer.
        tissues: weights of the tissue network.
        motion: weights of a deformation network to begin with.

    Raises:
        InputError: the motion comes from a network of another size.
    """

    def __init__(
        self,
        config: PlasticineConfig,
        fabric: Fabric,
        data: Callable[[Any], Batches] | None = None,
        tissues: Mapping[str, Tensor] | None = None,
        motion: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, fabric)
        self.axes, self.tissues = training_axes(), tissues
        network: Any = self.network_of(config)
        if tissues is not None:
            network.structure.load_state_dict(tissues)
        if motion is not None:
            try:
                network.deformation.load_state_dict(motion)
            except RuntimeError as error:
                raise InputError("The motion to take over comes from a network of another size.") from error
        if hasattr(network, "structure"):
            network.structure.eval()
        self.network = network.to(fabric.device)
        self.data = None if data is None else data(getattr(self.network, "structure", None))
        self.average = average_of(self.network, config.average)
        self.begin_stage(self.stage)

    @staticmethod
    def network_of(config: PlasticineConfig) -> nn.Module:
        """The network of a config, with fresh weights."""
        return systems.create(config.system, config.network)

    def batches(self, start: int) -> Iterator[Batch]:  # type: ignore[override]
        """Endless batches from a step on."""
        assert self.data is not None
        step = start
        while True:
            yield self.data.at(step, self.config.stages[self.stage_of(step)])
            step += 1

    # ---------------------------------------------------------------- stages
    def stage_of(self, step: int) -> int:
        return int(self.config.stage_at(step)[0])

    def begin_stage(self, stage: int) -> None:
        """A stage's own optimiser, for the network that it trains."""
        settings = self.config.stages[stage]
        part = self.network.deformation if settings.train == "deformation" else self.network.renderer
        # A tissue's intensity is a weight of order 1, which steps of Adam's size would take a thousand of to reach.
        quick = [p for name, p in part.named_parameters() if name.startswith("paint.")]
        rest = [p for name, p in part.named_parameters() if not name.startswith("paint.")]
        groups: list[dict[str, Any]] = [{"params": rest}]
        if quick:
            groups.append({"params": quick, "lr": INTENSITY_RATE * settings.rate})
        adam = torch.optim.Adam(groups, lr=settings.rate, betas=(0.9, 0.99))
        self.adam = self.fabric.setup_optimizers(adam)
        self.rates = LambdaLR(adam, warm_up_and_cosine(settings.steps))

    # ---------------------------------------------------------------- one step
    def losses(self, batch: Batch) -> Outcome:
        """The terms of the network whose stage it is."""
        stage = self.config.stages[self.stage]
        with self.fabric.autocast():
            if isinstance(self.network, PaperPlasticineNetwork):
                return self._as_the_paper(batch, stage)
            return self.deform(batch, stage) if stage.train == "deformation" else self._render(batch, stage)

    def weight_of(self, term: str) -> float:
        return float(getattr(self.config.stages[self.stage].terms, term, 1.0))

    def _as_the_paper(self, batch: Batch, stage: Stage) -> Outcome:
        if stage.train == "deformation":
            return Outcome(paper.deformation_terms(self.network, batch, self.step, stage.terms))
        return Outcome(paper.rendering_terms(self.network, batch, self.step))

    def _render(self, batch: Batch, stage: Stage) -> Outcome:
        clean = to_diffusion(batch["clean"])
        if stage.train == "regression":
            rendered = to_diffusion(self.network.regress(batch["seen"]))
        else:
            hardest = bool(torch.rand(()) < stage.hardest)
            level = torch.full((1,), self.network.start) if hardest else torch.rand(1)
            noisy = noised(clean, torch.randn_like(clean), level)
            rendered = self.network.renderer(noisy, batch["seen"], level.to(clean.device))
        return Outcome({stage.train: rendering_loss(rendered, clean, batch["mask"], stage.brain_weight)})

    def deform(self, batch: Batch, stage: Stage) -> Outcome:
        """The terms of the deformation, and how far it is from the simulation's own motion (mm)."""
        network, terms = self.network.deformation, stage.terms
        source = torch.cat((batch["source"], batch["structure"]), dim=1)
        features = network.features(source)
        outcome = Outcome()
        if network.together is not None and "target_structure" in batch:
            target = torch.cat((batch["target"], batch["target_structure"]), dim=1)
            noise = self._predicted_noise(batch["target"], batch["target_structure"])
            full = network.features(source, target, noise)
            outcome.terms["alignment"] = (features.float() - full.float()).square().mean()
            features = full
        velocity = network.velocity(features, self.axes)
        with torch.autocast(velocity.device.type, enabled=False):
            velocity = velocity * batch["holds_data"] * (batch["years"].view(-1, 1, 1, 1, 1) / self.network.scale)
            forth = bool(torch.rand(()) < 0.5)
            time = -1.0 if forth else 1.0
            sampling = tensors.exponential(velocity, self.axes * 2.0, time=time, steps=SQUARINGS)
            outcome.terms |= deformation_terms(velocity, sampling, forth, batch, self.axes, terms)
        if forth:
            # The truth is logged, whether or not it is learned from.
            truth, mask = (nn.functional.avg_pool3d(batch[name], 2) for name in ("sampling", "mask"))
            error, identity = (float(masked_mean(_length(f), mask)) for f in (sampling.detach() - truth, truth))
            outcome.logged |= {"miss_mm": error, "identity_mm": identity}
        return outcome

    @torch.no_grad()
    def _predicted_noise(self, target: Tensor, structure: Tensor) -> Tensor:
        """Noise that the renderer predicts in the noised target, which the switch shows beside the target."""
        clean, level = to_diffusion(target), torch.rand(1) * 0.9 + 0.05
        noisy = noised(clean, torch.randn_like(clean), level)
        rendered = self.network.renderer(noisy, structure, level.to(clean.device))
        signal, sigma = (weight.to(clean.device) for weight in weights(level))
        return (noisy - signal * rendered) / sigma

    # ---------------------------------------------------------------- resuming
    def load(self, folder: Path) -> None:
        """As the checkpoint has it, but for the tissue network: that of the library may be a newer one."""
        saved = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
        for module, name, prefix in ((self.network, "network", ""), (self.average, "average", "module.")):
            trained = {n: v for n, v in saved[name].items() if not n.startswith(f"{prefix}structure.")}
            module.load_state_dict(trained, strict=False)
        self.adam.load_state_dict(saved["adam"])
        self.rates.load_state_dict(saved["rates"])
        self.step = int(saved["step"])


def _length(field: Tensor) -> Tensor:
    return field.square().sum(dim=1, keepdim=True).sqrt()


def tissue_weights(config: PlasticineConfig) -> dict[str, Tensor] | None:
    """Weights of the library's tissue network; None for a network that has none, or a library without it.

    Raises:
        InputError: a stage needs its maps and the library has no weights.
    """
    from SITTranslateLib.segmentation.maps import WEIGHTS, tissue_network

    if config.network.get("guide", "structure") == "structure" and config.system == "plasticine" and WEIGHTS.is_file():
        return dict(tissue_network().state_dict())
    if config.needs_tissue_network:
        raise InputError("A stage of this config takes predicted maps; the tissue network's weights are not there.")
    return None


def motion_weights(config: PlasticineConfig) -> dict[str, Tensor] | None:
    """Weights of the deformation network that a config takes over from a package; None if it takes none.

    The motion of a head follows from the source alone, so one motion serves every target.

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
    return {name.removeprefix(prefix): v for name, v in load(package).items() if name.startswith(prefix)}


class PlasticineRecipe(Recipe):
    """Plasticine, its paper's form and a regression of its size on ageing phantoms; the renderer on real visits."""

    config_class = PlasticineConfig
    spacing_mm = 2.0
    without_diffusion = True

    def trainer(
        self, config: PlasticineConfig, labels: Path, cache: Path, fabric: Fabric, options: RunOptions
    ) -> PlasticineTrainer:
        tissues, motion = tissue_weights(config), motion_weights(config)
        phantoms = phantoms_of(config.heads, labels, cache)
        return PlasticineTrainer(config, fabric, lambda network: Batches(phantoms, config, network), tissues, motion)

    def package(
        self, config: PlasticineConfig, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """Without what the switch lets in, which is for training alone."""
        kept = {name: tensor for name, tensor in weights.items() if not name.startswith("deformation.together.")}
        return config.network | {"switch": False}, kept

    def evaluate(self, request: EvaluationRequest) -> None:
        from SITTranslateLib.training.recipes.plasticine.evaluate import evaluate

        evaluate(request)


RECIPE = PlasticineRecipe()
