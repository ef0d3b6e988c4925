"""Training of ALDM in its stages: codec, switchable generator, diffusion, detail, each on the averaged one before it.

Lightning Fabric runs the loop. A run folder holds the config, a CSV log and a checkpoint, from which it goes on to
the same weights as if it had not stopped.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.systems.regression.many_to_many import AnyRegressionNetwork
from SITTranslateLib.training.engine.discriminators import PatchScales, critic_loss, generator_loss
from SITTranslateLib.training.engine.phantoms import Head
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.recipes.aldm.config import SYSTEMS, ALDMConfig, Stage, aldm_from_dict
from SITTranslateLib.training.recipes.aldm.data import Batch, batch_of
from SITTranslateLib.training.recipes.aldm.objective import ALDMObjective
from SITTranslateLib.training.recipes.aldm.phantoms import heads_of
from SITTranslateLib.training.recipes.aldm.tissue_mapping import FoundTissues, fit_painter

CHECKPOINT = "checkpoint.ckpt"
#: Images that the latents' mean and standard deviation are measured on.
MEASURED = 24
WARM_UP = 30


def rate_factor(stage: Stage) -> Any:
    """Share of a stage's rate at a step: a warm-up, then half a cosine down to 2 %."""

    def factor(step: int) -> float:
        done = min(1.0, step / max(1, stage.steps))
        return min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * done)))

    return factor


def network_of(config: ALDMConfig) -> nn.Module:
    """The network of a config, with fresh weights."""
    if config.system == "any_regression":
        return AnyRegressionNetwork(**config.network)
    return systems.create(config.system, config.network)


class ALDMTrainer:
    """The stages one after the other, and the average of the weights that each leaves behind."""

    def __init__(self, config: ALDMConfig, fabric: Fabric) -> None:
        self.config, self.fabric, self.step = config, fabric, 0
        fabric.seed_everything(config.course.seed)
        self.network = network_of(config).to(fabric.device)
        self.objective = ALDMObjective(self.network, config)
        self.stage = ""
        self._begin(next(iter(config.stages)))

    def _begin(self, stage: str) -> None:
        self.stage, settings = stage, self.config.stages[stage]
        parameters = self.objective.trained(stage)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(self.config.course.average), use_buffers=True
        )
        adam = torch.optim.Adam(parameters, lr=settings.rate, betas=(0.9, 0.99))
        self.rates = LambdaLR(adam, rate_factor(settings))
        self.adam: Any = self.fabric.setup_optimizers(adam)
        self.critic = self.critic_adam = None
        if stage == "ms_spade" and self.config.terms.adversarial:
            critic = PatchScales(3, 1, 16, 2)
            optimiser = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
            self.critic, self.critic_adam = self.fabric.setup(critic, optimiser)

    def run_step(self, batch: Batch) -> dict[str, float]:
        """One update of what the stage trains; losses by name."""
        torch.manual_seed(1_000_003 * (self.config.course.seed + 1) + self.step)
        self.network.train()
        self._settle_codebook(batch)
        # Not through Fabric's wrapper, which would round the answers to half precision as well.
        with self.fabric.autocast():
            outcome = self.objective(self.stage, batch)
        terms = dict(outcome.terms)
        for _, fake in outcome.judged.values():
            terms["adversarial"] = generator_loss(self.critic(fake))  # type: ignore[misc]
        total = torch.stack([getattr(self.config.terms, name, 1.0) * value for name, value in terms.items()]).sum()
        self.adam.zero_grad()
        self.fabric.backward(total)
        nn.utils.clip_grad_norm_(self.objective.trained(self.stage), 1.0)
        self.adam.step()
        self.rates.step()
        self.average.update_parameters(self.network)
        for real, fake in outcome.judged.values():
            loss = critic_loss(self.critic(real.detach()), self.critic(fake.detach()))  # type: ignore[misc]
            self.critic_adam.zero_grad()  # type: ignore[union-attr]
            self.fabric.backward(loss)
            self.critic_adam.step()  # type: ignore[union-attr]
        self.step += 1
        return {name: float(value.detach()) for name, value in terms.items()} | {"total": float(total.detach())}

    def _settle_codebook(self, batch: Batch) -> None:
        """Once the latents mean something, the codebook begins with them."""
        steps = self.config.stages[self.stage].steps
        if self.stage == "autoencoder" and self.config.at(self.step)[1] == round(self.config.course.settle * steps):
            assert isinstance(self.network, ALDMNetwork)
            self.network.codec.settle(self.network.codec.encode(batch.source))

    def next_stage(self, heads: list[Head], tissues: FoundTissues | None = None) -> None:
        """If the stage of the next step is another one: take over the averaged weights and begin it.

        Args:
            tissues: found in the heads, where they are kept; found anew if not given.
        """
        stage, _ = self.config.at(self.step)
        if stage == self.stage or self.step >= self.config.steps:
            return
        left = self.stage
        self.network.load_state_dict(averaged(self.average.state_dict()))
        if left == "autoencoder":
            measure_latents(self.network, heads, self.config, self.fabric.device)
            painter = getattr(self.network, "painter", None)
            if painter is not None:
                names = self.config.network["contrasts"]
                fit_painter(painter, heads, names, tissues or FoundTissues(heads), self.config.course.seed)
        self._begin(stage)

    # ---------------------------------------------------------------- resuming
    def state(self) -> dict[str, Any]:
        own = {"network": self.network, "adam": self.adam, "rates": self.rates, "average": self.average}
        critics = {} if self.critic is None else {"critic": self.critic, "critic_adam": self.critic_adam}
        return {**own, **critics, "step": self.step}

    def save(self, folder: Path) -> None:
        """Write the checkpoint beside the old one, then put it in its place, so that a kill loses nothing."""
        self.fabric.save(folder / "checkpoint.part", self.state())
        if self.fabric.is_global_zero:
            (folder / "checkpoint.part").replace(folder / CHECKPOINT)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run folder, if it has one."""
        if not (folder / CHECKPOINT).exists():
            return
        # The stage that the last step was of; the next one may begin after it.
        step = int(torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["step"])
        self._begin(self.config.at(max(0, step - 1))[0])
        state = self.state()
        self.fabric.load(folder / CHECKPOINT, state)
        self.step = int(state["step"])


@torch.no_grad()
def measure_latents(network: nn.Module, heads: list[Head], config: ALDMConfig, device: torch.device) -> None:
    """Set the codec's scale from clean whole heads of every contrast."""
    assert isinstance(network, ALDMNetwork)
    names = list(config.network["contrasts"])
    found = []
    for n in range(MEASURED):
        head, contrast = heads[n % len(heads)], names[n % len(names)]
        image = torch.from_numpy(head.slab(contrast, 0, head.classes.shape[0], clean=True))[None, None]
        found.append(network.codec.encode(image.to(device)).float())
    network.codec.measure(torch.cat(found))


def averaged(state: dict[str, Any]) -> dict[str, Any]:
    """The weights within an averaged model's state."""
    prefix = "module."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def train(
    config: ALDMConfig,
    trainer: ALDMTrainer,
    heads: list[Head],
    folder: Path,
    *,
    every: int,
    until: int | None = None,
    kept: Path | None = None,
) -> None:
    """Run a trainer to the end of its config (or to a step), with a checkpoint every so many steps.

    Args:
        kept: where the tissues found in the heads are kept, if anywhere.
    """
    tissues = FoundTissues(heads, kept)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
    log = CSVLogger(folder, name="log", version=f"from-{trainer.step}", flush_logs_every_n_steps=1)
    last = config.steps if until is None else min(until, config.steps)
    with steps_with_progress(config.name, trainer.step, config.steps, trainer.fabric.is_global_zero) as advance:
        running: dict[str, float] = {}
        while trainer.step < last:
            if config.at(trainer.step)[0] != trainer.stage:
                trainer.save(folder)
                # A copy: whoever stops it before the next checkpoint goes on from this one.
                shutil.copyfile(folder / CHECKPOINT, folder / f"after-{trainer.stage}.ckpt")
                trainer.next_stage(heads, tissues)
                running = {}
            batch = batch_of(heads, config, trainer.step, tissues.shares).to(trainer.fabric.device)
            for name, value in trainer.run_step(batch).items():
                running[name] = 0.95 * running.get(name, value) + 0.05 * value
            if trainer.step % 25 == 0:
                log.log_metrics(dict(running), trainer.step)
            advance(running)
            if trainer.step % every == 0:
                trainer.save(folder)
    trainer.save(folder)


def run(
    config: ALDMConfig,
    labels: Path,
    folder: Path,
    *,
    cache: Path | None = None,
    accelerator: str = "auto",
    precision: str = "bf16-mixed",
    threads: int | None = None,
    save_every: int = 100,
) -> ALDMTrainer:
    """Train a config in ``folder``, going on from its checkpoint if there is one.

    Args:
        labels: folder of label maps.
        cache: where prepared maps and simulated heads are kept; the run's folder if not given.
        accelerator, precision: as Lightning Fabric takes them.
        threads: CPU threads; torch's choice if not given.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    heads = heads_of(config.heads, labels, cache or folder)
    trainer = ALDMTrainer(config, fabric)
    trainer.resume(folder)
    kept = (cache or folder) / f"contrast-heads-{config.heads.key}"
    train(config, trainer, heads, folder, every=save_every, kept=kept)
    return trainer


def is_aldm_run(folder: Path) -> bool:
    """Whether a run folder is one of this file's."""
    file = folder / "config.json"
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("system") in SYSTEMS


def finished(folder: Path, *, step: int | None = None) -> tuple[ALDMConfig, nn.Module]:
    """Config and network of a run with its averaged weights, ready to run.

    Raises:
        InputError: no run there, or one that has not reached its end (or the ``step`` that is enough).
    """
    if not (folder / CHECKPOINT).exists() or not (folder / "config.json").exists():
        raise InputError(f"There is no training run in {folder}; train one first.")
    config = aldm_from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    if state["step"] < (config.steps if step is None else step):
        raise InputError(f"The run in {folder} stopped at step {state['step']} of {config.steps}; go on first.")
    network = network_of(config)
    network.load_state_dict(averaged(state["average"]))
    return config, network.eval()
