"""Training SIT: follow-up pairs, the unpaired StarGAN host, or both, by the weights of the config.

Lightning Fabric runs the loop, so the same file trains on one CPU, a GPU, or several nodes. A run folder holds
checkpoints (every ``save_every`` steps, resumed when the folder is given again), a CSV log and the config.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from SITTranslateLib import systems
from SITTranslateLib.systems.sit.network import SITNetwork, SITParts
from SITTranslateLib.training.engine.preview import draw_preview
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.recipes.sit import objective as losses
from SITTranslateLib.training.recipes.sit.config import TrainingConfig
from SITTranslateLib.training.recipes.sit.discriminator import PatchCritic, gradient_penalty, hinge_critic

Batch = dict[str, Tensor]
CHECKPOINT = "checkpoint.ckpt"
#: Folder of the pictures of a run, and the steps at which the first are drawn, so that a mistake shows early.
PREVIEWS, FIRST_PREVIEWS = "previews", (1, 20, 50, 100)


def optimiser(network: SITNetwork, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam; the intensity head learns faster, since it wakes up late."""
    schedule = config.schedule
    head = [p for name, p in network.named_parameters() if name.startswith("intensity_head")]
    rest = [p for name, p in network.named_parameters() if not name.startswith("intensity_head")]
    groups = [{"params": rest}]
    if head:
        groups.append({"params": head, "lr": schedule.rate * schedule.intensity_rate_factor})  # type: ignore[dict-item]
    return torch.optim.Adam(groups, lr=schedule.rate, betas=schedule.betas)


def warm_up_and_cosine(steps: int) -> Callable[[int], float]:
    """Rate factor of a step: 50 steps of warm-up, then a cosine down to 2 %."""

    def factor(step: int) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        return min(1.0, (step + 1) / 50) * (0.02 + 0.98 * fall)

    return factor


class SITTrainer:
    """Generator, critic, their optimisers and the average of the weights that is shipped."""

    def __init__(self, config: TrainingConfig, fabric: Fabric, axes: np.ndarray) -> None:
        self.config, self.fabric, self.axes = config, fabric, axes
        fabric.seed_everything(config.schedule.seed)
        network = systems.create(config.system, config.network)
        assert isinstance(network, SITNetwork)
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.attributes = len(network.attributes)
        adam = optimiser(network, config)
        self.rates = LambdaLR(adam, warm_up_and_cosine(config.schedule.steps))
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.schedule.average))
        self.network, self.adam = fabric.setup(network, adam)
        self.critic: Any = None
        if config.losses.need_critic:
            critic = PatchCritic(self.attributes)
            critic_adam = torch.optim.Adam(critic.parameters(), lr=config.schedule.critic_rate, betas=(0.5, 0.999))
            self.critic, self.critic_adam = fabric.setup(critic, critic_adam)
        self.step = 0

    # ---------------------------------------------------------------- one step
    def run_step(self, batch: Batch) -> dict[str, float]:
        """One update of the critic (if there is one) and of the generator; the losses by name."""
        live = self.step >= self.config.schedule.geometry_first * self.config.schedule.steps
        use_intensity = live or self.config.network["variant"] == "it"
        parts: SITParts = self.network(batch["source"], batch["code"], self.axes, use_intensity)
        logged = self._update_critic(batch, parts.translated.detach()) if self.critic is not None else {}
        terms = self._terms(batch, parts, use_intensity)
        weights = self.config.losses
        total = torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()
        self.adam.zero_grad()
        self.fabric.backward(total)
        self.fabric.clip_gradients(self.network, self.adam, max_norm=1.0, error_if_nonfinite=False)
        self.adam.step()
        self.rates.step()
        self.average.update_parameters(self.network.module)
        self.step += 1
        logged |= {name: float(value.detach()) for name, value in terms.items()} | {"total": float(total.detach())}
        return self._over_processes(logged)

    def _over_processes(self, logged: dict[str, float]) -> dict[str, float]:
        """The mean over all processes of what each saw of the step."""
        if self.fabric.world_size == 1:
            return logged
        values = torch.tensor(list(logged.values()), device=self.fabric.device)
        mean = self.fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return dict(zip(logged, mean.tolist(), strict=True))

    def _terms(self, batch: Batch, parts: SITParts, use_intensity: bool) -> dict[str, Tensor]:
        weights = self.config.losses
        terms = losses.anatomy_terms(parts, self.axes, batch["mask"], lambda name: getattr(weights, name) > 0)
        if weights.follow_up or weights.motion or weights.change:
            terms |= losses.follow_up_terms(parts, batch, batch["mask"])
        if self.critic is not None:
            patches, after = self.critic(parts.translated)
            _, before = self.critic(batch["source"])
            terms["adversarial"] = -patches.mean()
            wanted = batch["code"][:, : self.attributes]
            asked = batch["code"][:, self.attributes :]
            terms["attribute"] = ((after - before.detach() - wanted) * asked).abs().mean()
        if weights.cycle:
            back = torch.cat((-batch["code"][:, : self.attributes], batch["code"][:, self.attributes :]), dim=1)
            returned: SITParts = self.network(parts.translated, back, self.axes, use_intensity)
            terms["cycle"] = losses.masked_mean((returned.translated - batch["source"]).abs(), batch["mask"])
        return {name: value for name, value in terms.items() if getattr(weights, name) > 0}

    def _update_critic(self, batch: Batch, fake: Tensor) -> dict[str, float]:
        assert self.critic is not None
        schedule = self.config.schedule
        # Real scans of other people with their own attributes: never the follow-up of the scan in hand.
        real_patches, real_values = self.critic(batch["other"])
        fake_patches, _ = self.critic(fake)
        realism = hinge_critic(real_patches, fake_patches)
        regression = nn.functional.mse_loss(real_values, batch["other_values"])
        total = realism + schedule.critic_weight_of_regression * regression
        if self.step % schedule.penalty_every == 0:
            # The bare module, in float32: Fabric guards its wrapper against a gradient taken inside the step.
            penalty = gradient_penalty(self.critic.module, batch["other"])
            total = total + schedule.penalty * schedule.penalty_every * penalty
        self.critic_adam.zero_grad()
        self.fabric.backward(total)
        self.critic_adam.step()
        return {"critic_realism": float(realism.detach()), "critic_regression": float(regression.detach())}

    # ---------------------------------------------------------------- resuming
    def state(self) -> dict[str, Any]:
        state = {
            "network": self.network,
            "adam": self.adam,
            "rates": self.rates,
            "average": self.average,
            "step": self.step,
        }
        return state | ({"critic": self.critic, "critic_adam": self.critic_adam} if self.critic is not None else {})

    def save(self, folder: Path) -> None:
        """Write the checkpoint beside the old one, then put it in its place, so that a kill loses nothing."""
        self.fabric.save(folder / "checkpoint.part", self.state())
        if self.fabric.is_global_zero:
            (folder / "checkpoint.part").replace(folder / CHECKPOINT)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run folder, if it has one."""
        if (folder / CHECKPOINT).exists():
            state = self.state()
            self.fabric.load(folder / CHECKPOINT, state)
            self.step = int(state["step"])

    @staticmethod
    def step_of(folder: Path) -> int:
        """The step of a run folder's checkpoint; 0 without one."""
        file = folder / CHECKPOINT
        return int(torch.load(file, map_location="cpu", weights_only=True)["step"]) if file.exists() else 0

    def shipped_weights(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return {name: value.detach().cpu() for name, value in self.average.module.state_dict().items()}


def train(
    config: TrainingConfig,
    batches: Iterator[Batch],
    axes: np.ndarray,
    folder: Path,
    *,
    fabric: Fabric,
    save_every: int = 200,
    log_every: int = 20,
) -> SITTrainer:
    """Run a config to its end, resuming from ``folder`` if it holds a checkpoint.

    Args:
        batches: endless, and at step n the same batch in every run of the same config.
        axes: 3x3 of the training grid.
        save_every, log_every: steps between checkpoints with a preview picture, and between rows of the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = SITTrainer(config, fabric, axes)
    trainer.resume(folder)
    if fabric.is_global_zero:
        (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
    log = CSVLogger(folder, name="log", version=f"from-{trainer.step}", flush_logs_every_n_steps=20)
    with steps_with_progress(config.name, trainer.step, config.schedule.steps, fabric.is_global_zero) as advance:
        running: dict[str, Any] = {}
        while trainer.step < config.schedule.steps:
            batch = next(batches)
            for name, value in trainer.run_step(batch).items():
                running[name] = value if name not in running else 0.95 * running[name] + 0.05 * value
            if trainer.step % log_every == 0:
                log.log_metrics(running, trainer.step)
            advance(running)
            if fabric.is_global_zero and (trainer.step in FIRST_PREVIEWS or trainer.step % save_every == 0):
                draw_preview(trainer.average.module, batch, axes, folder / PREVIEWS / f"step-{trainer.step:06d}.png")
            if trainer.step % save_every == 0:
                trainer.save(folder)
    trainer.save(folder)
    log.save()
    return trainer
