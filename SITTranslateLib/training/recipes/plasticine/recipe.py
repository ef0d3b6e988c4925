"""Training Plasticine: renderer, then deformation network, stage by stage as the config has them.

Lightning Fabric runs the loop. A run folder holds the config, a CSV log and a checkpoint, from which it goes on to the
same weights as if it had not stopped: batches and random numbers follow from the step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.layers.samplers import noised, weights
from SITTranslateLib.systems.plasticine.paper import PaperPlasticineNetwork
from SITTranslateLib.systems.plasticine.renderer import to_diffusion
from SITTranslateLib.training.engine.losses import masked_mean
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.recipes.plasticine import paper_objective as paper
from SITTranslateLib.training.recipes.plasticine.config import SYSTEMS, PlasticineConfig, Stage, plasticine_from_dict
from SITTranslateLib.training.recipes.plasticine.data import Batch, Batches
from SITTranslateLib.training.recipes.plasticine.objective import deformation_terms, painting_loss
from SITTranslateLib.training.recipes.sit.data import training_axes
from SITTranslateLib.training.recipes.sit.recipe import warm_up_and_cosine

CHECKPOINT = "checkpoint.ckpt"
SQUARINGS = 4
#: How much faster the renderer's brightness of each tissue learns.
PAINT_RATE = 20.0


class PlasticineTrainer:
    """The networks, the optimiser of the stage that is on, and the average of the weights that is shipped."""

    def __init__(self, config: PlasticineConfig, fabric: Fabric, tissues: dict[str, Tensor] | None = None) -> None:
        self.config, self.fabric, self.step, self.axes = config, fabric, 0, training_axes()
        fabric.seed_everything(config.seed)
        network: Any = systems.create(config.system, config.network)
        if tissues is not None:
            network.structure.load_state_dict(tissues)
        if hasattr(network, "structure"):
            network.structure.eval()
        self.network = network.to(fabric.device)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        self._begin(config.stage_at(0)[0])

    def _begin(self, number: int) -> None:
        """A stage's own optimiser, for the network that it trains."""
        self.stage_number, stage = number, self.config.stages[number]
        part = self.network.deformation if stage.train == "deformation" else self.network.renderer
        # A tissue's brightness is a weight of order 1, which steps of Adam's size would take a thousand of to reach.
        quick = [p for name, p in part.named_parameters() if name.startswith("paint.")]
        rest = [p for name, p in part.named_parameters() if not name.startswith("paint.")]
        groups: list[dict[str, Any]] = [{"params": rest}]
        if quick:
            groups.append({"params": quick, "lr": PAINT_RATE * stage.rate})
        adam = torch.optim.Adam(groups, lr=stage.rate, betas=(0.9, 0.99))
        self.adam: Any = self.fabric.setup_optimizers(adam)
        self.rates = LambdaLR(adam, warm_up_and_cosine(stage.steps))

    # ---------------------------------------------------------------- one step
    def run_step(self, batch: Batch) -> dict[str, float]:
        """One update of the network whose stage it is; losses by name."""
        number, _ = self.config.stage_at(self.step)
        if number != self.stage_number:
            self._begin(number)
        stage = self.config.stages[number]
        torch.manual_seed(1_000_003 * (self.config.seed + 1) + self.step)
        with self.fabric.autocast():
            if isinstance(self.network, PaperPlasticineNetwork):
                total, logged = self._as_the_paper(batch, stage)
            elif stage.train == "deformation":
                total, logged = self._deform(batch, stage)
            else:
                total, logged = self._render(batch, stage)
        self.adam.zero_grad()
        self.fabric.backward(total)
        part = self.network.deformation if stage.train == "deformation" else self.network.renderer
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        self.adam.step()
        self.rates.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return logged | {"total": float(total.detach())}

    def _as_the_paper(self, batch: Batch, stage: Stage) -> tuple[Tensor, dict[str, float]]:
        if stage.train == "deformation":
            found = paper.deformation_terms(self.network, batch, self.step, stage.terms)
            weighted = [getattr(stage.terms, name) * value for name, value in found.items()]
        else:
            found = paper.painting_terms(self.network, batch, self.step)
            weighted = list(found.values())
        return torch.stack(weighted).sum(), {name: float(value.detach()) for name, value in found.items()}

    def _render(self, batch: Batch, stage: Stage) -> tuple[Tensor, dict[str, float]]:
        clean = to_diffusion(batch["clean"])
        if stage.train == "regression":
            painted = to_diffusion(self.network.regress(batch["seen"]))
        else:
            hardest = bool(torch.rand(()) < stage.hardest)
            level = torch.full((1,), self.network.start) if hardest else torch.rand(1)
            noisy = noised(clean, torch.randn_like(clean), level)
            painted = self.network.renderer(noisy, batch["seen"], level.to(clean.device))
        loss = painting_loss(painted, clean, batch["mask"], stage.brain_weight)
        return loss, {stage.train: float(loss.detach())}

    def _deform(self, batch: Batch, stage: Stage) -> tuple[Tensor, dict[str, float]]:
        network, terms = self.network.deformation, stage.terms
        source = torch.cat((batch["source"], batch["structure"]), dim=1)
        features = network.features(source)
        found: dict[str, Tensor] = {}
        if network.together is not None and "target_structure" in batch:
            target = torch.cat((batch["target"], batch["target_structure"]), dim=1)
            noise = self._found_noise(batch["target"], batch["target_structure"])
            full = network.features(source, target, noise)
            found["alignment"] = (features.float() - full.float()).square().mean()
            features = full
        velocity = network.velocity(features, self.axes)
        with torch.autocast(velocity.device.type, enabled=False):
            velocity = velocity * batch["holds_data"] * (batch["years"].view(-1, 1, 1, 1, 1) / self.network.scale)
            forth = bool(torch.rand(()) < 0.5)
            time = -1.0 if forth else 1.0
            sampling = tensors.exponential(velocity, self.axes * 2.0, time=time, steps=SQUARINGS)
            found |= deformation_terms(velocity, sampling, forth, batch, self.axes, terms)
        total = torch.stack([getattr(terms, name) * value for name, value in found.items()]).sum()
        logged = {name: float(value.detach()) for name, value in found.items()}
        if forth:
            # The truth is watched, whether or not it is learned from.
            truth, mask = (nn.functional.avg_pool3d(batch[name], 2) for name in ("sampling", "mask"))
            miss, nothing = (float(masked_mean(_length(f), mask)) for f in (sampling.detach() - truth, truth))
            logged |= {"miss_mm": miss, "do_nothing_mm": nothing}
        return total, logged

    @torch.no_grad()
    def _found_noise(self, target: Tensor, structure: Tensor) -> Tensor:
        """Noise that the renderer finds in the noised target, which the switch shows beside the target."""
        clean, level = to_diffusion(target), torch.rand(1) * 0.9 + 0.05
        noisy = noised(clean, torch.randn_like(clean), level)
        painted = self.network.renderer(noisy, structure, level.to(clean.device))
        signal, sigma = (weight.to(clean.device) for weight in weights(level))
        return (noisy - signal * painted) / sigma

    # ---------------------------------------------------------------- resuming
    def state(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "adam": self.adam,
            "rates": self.rates,
            "average": self.average,
            "step": self.step,
        }

    def save(self, folder: Path) -> None:
        """Write the checkpoint beside the old one, then put it in its place, so that a kill loses nothing."""
        self.fabric.save(folder / "checkpoint.part", self.state())
        (folder / "checkpoint.part").replace(folder / CHECKPOINT)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run folder, if it has one."""
        if not (folder / CHECKPOINT).exists():
            return
        saved = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
        # The optimiser that was saved is that of the stage of the last step.
        self.step = int(saved["step"])
        self._begin(self.config.stage_at(max(self.step - 1, 0))[0])
        for module, prefix in ((self.network, ""), (self.average, "module.")):
            trained = {n: v for n, v in saved[_name(module)].items() if not n.startswith(f"{prefix}structure.")}
            module.load_state_dict(trained, strict=False)
        self.adam.load_state_dict(saved["adam"])
        self.rates.load_state_dict(saved["rates"])

    def take_tissues(self, weights: dict[str, Tensor]) -> None:
        """Put a trained tissue network into the network and into the average that is shipped."""
        for network in (self.network, self.average.module):
            network.structure.load_state_dict(weights)  # type: ignore[union-attr]

    def take_motion(self, weights: dict[str, Tensor]) -> None:
        """Begin with a trained deformation network.

        Raises:
            InputError: it is of another size.
        """
        for network in (self.network, self.average.module):
            try:
                network.deformation.load_state_dict(weights)  # type: ignore[union-attr]
            except RuntimeError as error:
                raise InputError("The motion to take over comes from a network of another size.") from error


def _name(module: nn.Module) -> str:
    return "average" if isinstance(module, AveragedModel) else "network"


def _length(field: Tensor) -> Tensor:
    return field.square().sum(dim=1, keepdim=True).sqrt()


def train(
    config: PlasticineConfig, trainer: PlasticineTrainer, batches: Batches, folder: Path, *, every: int = 200
) -> None:
    """Run a trainer to the end of its config, with a checkpoint every so many steps."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
    running: dict[str, float] = {}
    log, logged = None, -1
    with steps_with_progress(config.name, trainer.step, config.steps) as advance:
        while trainer.step < config.steps:
            number, _ = config.stage_at(trainer.step)
            if number != logged:
                # Each stage has columns of its own.
                log, logged, running = CSVLogger(folder, name="log", version=f"from-{trainer.step}"), number, {}
            stage = config.stages[number]
            batch = {n: v.to(trainer.fabric.device) for n, v in batches.at(trainer.step, stage).items()}
            for name, value in trainer.run_step(batch).items():
                running[name] = 0.95 * running.get(name, value) + 0.05 * value
            if trainer.step % 50 == 0 and log is not None:
                log.log_metrics(dict(running), trainer.step)
                log.save()
            advance(running)
            if trainer.step % every == 0:
                trainer.save(folder)
    trainer.save(folder)


def is_plasticine_run(folder: Path) -> bool:
    """Whether a run folder is one of this file's."""
    file = folder / "config.json"
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("system") in SYSTEMS


def finished(folder: Path) -> tuple[PlasticineConfig, Any]:
    """Config and network of a finished run with its averaged weights, ready to translate.

    Raises:
        InputError: no run there, or one that has not reached its end.
    """
    if not (folder / CHECKPOINT).exists() or not (folder / "config.json").exists():
        raise InputError(f"There is no training run in {folder}; train one first.")
    config = plasticine_from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    if state["step"] < config.steps:
        raise InputError(f"The run in {folder} stopped at step {state['step']} of {config.steps}; go on first.")
    network = systems.create(config.system, config.network)
    prefix = "module."
    network.load_state_dict({n.removeprefix(prefix): v for n, v in state["average"].items() if n.startswith(prefix)})
    return config, network.eval()
