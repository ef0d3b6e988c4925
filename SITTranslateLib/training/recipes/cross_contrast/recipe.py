"""Training between two contrasts: SA-UNIT, SASAN and the paired regression, by the weights of the config.

Lightning Fabric runs the loop. A run folder holds the config, a CSV log and a checkpoint, from which it goes on to
the same weights as if it had not stopped (up to the random numbers of UNIT's latent, which are drawn from the step).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
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
from SITTranslateLib.systems.layers.blocks import baked, spatial
from SITTranslateLib.training.engine.discriminators import PatchScales, critic_loss, generator_loss
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.recipes.cross_contrast.config import (
    SYSTEMS,
    CrossContrastConfig,
    cross_contrast_from_dict,
)
from SITTranslateLib.training.recipes.cross_contrast.objective import OBJECTIVES

Batch = dict[str, Tensor]
CHECKPOINT = "checkpoint.ckpt"


def linear_decay(steps: int) -> Any:
    """Rate factor of a step: a warm-up of 50 steps, constant for the first half, then linear down to 2 %."""

    def factor(step: int) -> float:
        return min((step + 1) / 50, 1.0) * min(1.0, max(0.02, 2.0 * (1.0 - step / steps)))

    return factor


#: So many steps in a row without a finite loss end a run.
MOST_LOST = 20


class CrossContrastTrainer:
    """Objective, discriminators, optimisers, and the average of the weights that is shipped."""

    def __init__(self, config: CrossContrastConfig, fabric: Fabric) -> None:
        self.config, self.fabric, self.step, self.lost = config, fabric, 0, 0
        course = config.course
        fabric.seed_everything(course.seed)
        network = systems.create(config.system, config.network)
        axes = spatial(config.network.get("dims", 2.5))
        if axes == 2:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(course.average), use_buffers=True)
        attention = [p for n, p in network.named_parameters() if n.startswith("attention.")]
        rest = [p for n, p in network.named_parameters() if not n.startswith("attention.")]
        groups: list[dict[str, Any]] = [{"params": rest}] + ([{"params": attention}] if attention else [])
        adam = torch.optim.Adam(groups, lr=course.rate, betas=course.betas)
        decay = linear_decay(course.steps)

        def attention_rate(step: int) -> float:
            return decay(step) * (1.0 if step < course.attention_first else course.attention_rate)

        self.rates = LambdaLR(adam, [decay] + ([attention_rate] if attention else []))
        self.objective, self.adam = fabric.setup(OBJECTIVES[config.system](network, config), adam)
        self.network = network
        self.critics: dict[str, Any] = {}
        self.critic_adams: dict[str, Any] = {}
        for name, critic in self._make_critics(axes).items():
            optimiser = torch.optim.Adam(critic.parameters(), lr=course.critic_rate, betas=(0.5, 0.999))
            self.critics[name], self.critic_adams[name] = fabric.setup(critic, optimiser)

    def _make_critics(self, axes: int) -> dict[str, nn.Module]:
        terms, course, network = self.config.terms, self.config.course, self.config.network
        channels = int(network.get("slices", 3)) if network.get("dims", 2.5) == 2.5 else 1
        critics: dict[str, nn.Module] = {}
        if terms.adversarial:
            for name in (self.config.source, self.config.target):
                critics[name] = PatchScales(
                    axes, channels, course.critic_width, course.critic_scales, spectral=course.critic_spectral
                )
        if terms.class_adversarial:
            foreground = int(network.get("classes", 6)) - 1
            critics["classes"] = PatchScales(axes, foreground, 8, groups=foreground, spectral=course.critic_spectral)
        if terms.latent_adversarial:
            code = int(network.get("widths", (16, 32, 64))[2])
            critics["latent"] = PatchScales(axes, code, course.critic_width, spectral=course.critic_spectral)
        return critics

    # ---------------------------------------------------------------- one step
    def run_step(self, batch: Batch) -> dict[str, float]:
        """One update of the generator and of each discriminator that has something to judge; losses by name."""
        torch.manual_seed(1_000_003 * (self.config.course.seed + 1) + self.step)
        outcome: Outcome = self.objective(batch, self.step)
        terms = dict(outcome.terms)
        course = self.config.course
        awake = min(1.0, max(0, self.step - course.usual_first) / max(1.0, course.ramp * course.steps))
        for name, (_, fake) in outcome.judged.items():
            kind = self._term_of(name)
            terms[kind] = terms.get(kind, torch.zeros(())) + awake * generator_loss(self.critics[name](fake))
        total = torch.stack([getattr(self.config.terms, name) * value for name, value in terms.items()]).sum()
        logged = {name: float(value.detach()) for name, value in terms.items()}
        if not self._sound(float(total.detach())):
            self.step += 1
            self.rates.step()
            return {}
        self.adam.zero_grad()
        self.fabric.backward(total)
        norm = self.fabric.clip_gradients(self.objective, self.adam, max_norm=1.0, error_if_nonfinite=False)
        # A gradient that is not finite would end the run without a word: every weight becomes NaN.
        if norm is None or torch.isfinite(norm):
            self.adam.step()
        self.rates.step()
        self.average.update_parameters(self.network)
        for name, (real, fake) in outcome.judged.items():
            loss = critic_loss(self.critics[name](real.detach()), self.critics[name](fake.detach()))
            self.critic_adams[name].zero_grad()
            self.fabric.backward(loss)
            self.critic_adams[name].step()
            logged[f"critic_{name}"] = float(loss.detach())
        self.step += 1
        return logged | {"total": float(total.detach())}

    def _sound(self, total: float) -> bool:
        """Whether a step may change weights: one without a finite loss is left out, many in a row are an error."""
        self.lost = 0 if math.isfinite(total) else self.lost + 1
        if self.lost > MOST_LOST:
            raise InputError(
                f"The training has had no finite loss for {MOST_LOST} steps: lower the rate, or its adversarial terms, "
                "and go on from the checkpoint before."
            )
        return not self.lost

    @staticmethod
    def _term_of(critic: str) -> str:
        return {"classes": "class_adversarial", "latent": "latent_adversarial"}.get(critic, "adversarial")

    # ---------------------------------------------------------------- resuming
    def state(self) -> dict[str, Any]:
        critics = {f"critic_{n}": c for n, c in self.critics.items()}
        adams = {f"critic_adam_{n}": a for n, a in self.critic_adams.items()}
        own = {"objective": self.objective, "adam": self.adam, "rates": self.rates, "average": self.average}
        return {**own, **critics, **adams, "step": self.step}

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


def train(
    config: CrossContrastConfig, trainer: CrossContrastTrainer, batches: Iterator[Batch], folder: Path, *, every: int
) -> None:
    """Run a trainer to the end of its config, with a checkpoint every so many steps."""
    folder.mkdir(parents=True, exist_ok=True)
    fabric = trainer.fabric
    if fabric.is_global_zero:
        (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
    log = CSVLogger(folder, name="log", version=f"from-{trainer.step}", flush_logs_every_n_steps=1)
    with steps_with_progress(config.name, trainer.step, config.course.steps, fabric.is_global_zero) as advance:
        running: dict[str, float] = {}
        while trainer.step < config.course.steps:
            batch = {name: value.to(fabric.device) for name, value in next(batches).items()}
            for name, value in trainer.run_step(batch).items():
                running[name] = 0.95 * running.get(name, value) + 0.05 * value
            if trainer.step % 50 == 0:
                log.log_metrics(dict(running), trainer.step)
            advance(running)
            if trainer.step % every == 0:
                trainer.save(folder)
    trainer.save(folder)


def is_run_between_contrasts(folder: Path) -> bool:
    """Whether a run folder is one of this file's."""
    file = folder / "config.json"
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("system") in SYSTEMS


def finished(folder: Path, *, step: int | None = None) -> tuple[CrossContrastConfig, nn.Module]:
    """Config and network of a run with its averaged weights, spectral normalisation multiplied out, ready to run.

    Raises:
        InputError: no run there, or one that has not reached its end (or the ``step`` that is enough).
    """
    if not (folder / CHECKPOINT).exists() or not (folder / "config.json").exists():
        raise InputError(f"There is no training run in {folder}; train one first.")
    config = cross_contrast_from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    if state["step"] < (config.course.steps if step is None else step):
        raise InputError(f"The run in {folder} stopped at step {state['step']} of {config.course.steps}; go on first.")
    network = systems.create(config.system, config.network)
    prefix = "module."
    network.load_state_dict({n.removeprefix(prefix): v for n, v in state["average"].items() if n.startswith(prefix)})
    return config, baked(network.eval())
