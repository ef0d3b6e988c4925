"""One training loop for every recipe: steps, stages, checkpoints, log, preview, several processes.

A run folder holds the config, a CSV log and a checkpoint. A run that is started again goes on from its checkpoint to
the same weights as if it had not stopped: batches and random numbers follow from the step. Lightning Fabric runs it on
a CPU, a GPU or several processes.
"""

from __future__ import annotations

import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from lightning.fabric.strategies import DDPStrategy, Strategy
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.engine.schedule import averaged_weights

CHECKPOINT, CONFIG = "checkpoint.ckpt", "config.json"
#: Folder of the pictures of a run, and the steps at which the first are drawn, so that a mistake shows early.
PREVIEWS, FIRST_PREVIEWS = "previews", (1, 20, 50, 100)
#: So many steps in a row without a finite loss end a run.
MOST_LOST = 20
#: Share of the running mean of each loss that a step replaces.
NEW_SHARE = 0.05


@dataclass(frozen=True)
class RunOptions:
    """Use of the machine by a run; the weights depend on the config alone (up to the rounding of the device).

    Attributes:
        cache: where prepared maps and simulated phantoms are kept; the run's folder if None.
        accelerator, devices, nodes, precision: as Lightning Fabric takes them.
        workers: processes that simulate, where a recipe loads its data in the background.
        threads: CPU threads; torch's choice if None.
        save_every: steps between checkpoints.
    """

    cache: Path | None = None
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "bf16-mixed"
    workers: int = 1
    threads: int | None = None
    save_every: int = 200

    def launch(self) -> Fabric:
        """Fabric, its other processes started; under torchrun it joins those that are there."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        strategy: Strategy | str = "auto"
        if self.devices * self.nodes > 1:
            # SIT's intensity branch has no gradient at first, and a discriminator's step none in the generator.
            strategy = DDPStrategy(find_unused_parameters=True)
        fabric = Fabric(
            accelerator=self.accelerator,
            devices=self.devices,
            num_nodes=self.nodes,
            precision=self.precision,  # type: ignore[arg-type]
            strategy=strategy,
        )
        fabric.launch()
        return fabric


class Trainer(ABC):
    """Networks, optimiser and average of a run, and its loop; a recipe defines the batches and losses of a step.

    A subclass sets, in its ``__init__`` or for each stage in :meth:`begin_stage`:

    Attributes:
        network: what is trained and averaged.
        adam, rates: its optimiser (set up by Fabric) and the schedule of its rate.
        average: the average of its weights, which is shipped.
        step: updates done.
        stage: of the step that was done last, or is next in a new run; None in a recipe without stages.
    """

    #: Steps between rows of the log.
    log_every = 25
    network: Any
    adam: Any
    rates: LambdaLR
    average: AveragedModel

    #: Endless batches from a step on, the same at a step in every run of the config.
    batches: Callable[[int], Iterator[Any]]

    def __init__(self, config: Any, fabric: Fabric) -> None:
        self.config, self.fabric = config, fabric
        self.step, self.lost, self.stage = 0, 0, self.stage_of(0)
        fabric.seed_everything(config.seed)

    # ---------------------------------------------------------------- what a recipe supplies
    @abstractmethod
    def losses(self, batch: Any) -> Outcome:
        """The terms of a step, unweighted, and the pairs that its discriminators compare."""

    def weight_of(self, term: str) -> float:
        """The weight of a term in the total."""
        return 1.0

    def networks(self) -> dict[str, Any]:
        """Networks of a checkpoint, in addition to optimiser, schedule, average and step."""
        return {"network": self.network}

    def discriminate(self, outcome: Outcome) -> dict[str, float]:
        """Update the discriminators after the generator; their losses by name."""
        return {}

    def stage_of(self, step: int) -> Any:
        """The stage that a step belongs to; None in a recipe without stages."""
        return None

    def begin_stage(self, stage: Any) -> None:
        """Set the optimiser, schedule and average of a stage."""

    def end_stage(self, stage: Any) -> None:
        """Prepare the network for the stage after this one."""

    def draw_preview(self, batch: Any, path: Path) -> None:
        """Draw what the network gives for a batch; nothing by default."""

    # ---------------------------------------------------------------- one step
    def run_step(self, batch: Any) -> dict[str, float]:
        """One update; losses by name, none where a loss was not finite and nothing was changed."""
        self._seed_step()
        outcome = self.losses(batch)
        total = torch.stack([self.weight_of(name) * value for name, value in outcome.terms.items()]).sum()
        logged = outcome.logged | {name: float(value.detach()) for name, value in outcome.terms.items()}
        logged = self._over_processes(logged | {"total": float(total.detach())})
        if not self._finite(logged["total"]):
            self.step += 1
            self.rates.step()
            return {}
        self.adam.zero_grad()
        self.fabric.backward(total)
        norm = self.fabric.clip_gradients(self.network, self.adam, max_norm=1.0, error_if_nonfinite=False)
        # A gradient that is not finite would make every weight NaN.
        if norm is None or torch.isfinite(norm):
            self.adam.step()
        self.rates.step()
        self.average.update_parameters(getattr(self.network, "module", self.network))
        logged |= self.discriminate(outcome)
        self.step += 1
        return logged

    def _seed_step(self) -> None:
        torch.manual_seed(1_000_003 * (self.config.seed + 1) + self.step)

    def _finite(self, total: float) -> bool:
        """Whether a step may change weights: one without a finite loss is left out, many in a row are an error."""
        self.lost = 0 if math.isfinite(total) else self.lost + 1
        if self.lost > MOST_LOST:
            raise InputError(
                f"The training has had no finite loss for {MOST_LOST} steps: lower the rate, or its adversarial terms, "
                "and go on from the checkpoint before."
            )
        return not self.lost

    def _over_processes(self, logged: dict[str, float]) -> dict[str, float]:
        """The mean over all processes."""
        if self.fabric.world_size == 1:
            return logged
        mean = self.fabric.all_reduce(torch.tensor(list(logged.values()), device=self.fabric.device), reduce_op="mean")
        assert isinstance(mean, Tensor)
        return dict(zip(logged, mean.tolist(), strict=True))

    # ---------------------------------------------------------------- resuming
    def state(self) -> dict[str, Any]:
        """Contents of a checkpoint."""
        own = {"adam": self.adam, "rates": self.rates, "average": self.average, "step": self.step}
        return self.networks() | own

    def save(self, folder: Path) -> None:
        """Write the checkpoint beside the old one, then put it in its place, so that a kill loses nothing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.fabric.save(folder / "checkpoint.part", self.state())
        if self.fabric.is_global_zero:
            (folder / "checkpoint.part").replace(folder / CHECKPOINT)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run folder, if it has one."""
        if not (folder / CHECKPOINT).exists():
            return
        # The optimiser that was saved is that of the stage of the last step; the next one may begin after it.
        stage = self.stage_of(max(0, step_of(folder) - 1))
        if stage != self.stage:
            self.stage = stage
            self.begin_stage(stage)
        self.load(folder)

    def load(self, folder: Path) -> None:
        """Fill the networks, optimisers and average of this stage from the checkpoint."""
        state = self.state()
        self.fabric.load(folder / CHECKPOINT, state)
        self.step = int(state["step"])

    def enter_stage(self, folder: Path | None = None) -> bool:
        """Begin the stage of the next step if it is another one, with a checkpoint before; whether it is."""
        stage = self.stage_of(self.step)
        if stage == self.stage or self.step >= self.config.total:
            return False
        if folder is not None:
            self.save(folder)
            if self.fabric.is_global_zero:
                shutil.copyfile(folder / CHECKPOINT, folder / f"after-{self.stage}.ckpt")
        self.end_stage(self.stage)
        self.stage = stage
        # Discriminators of the stage begin with the same weights whatever the process did before.
        self._seed_step()
        self.begin_stage(stage)
        return True

    # ---------------------------------------------------------------- the loop
    def train(self, folder: Path, *, save_every: int = 200, until: int | None = None) -> None:
        """Run to the end of the config (or to a step), from the checkpoint of the folder if it has one.

        Raises:
            InputError: the folder holds a run of another config.
        """
        folder.mkdir(parents=True, exist_ok=True)
        check_same_config(folder, self.config.to_dict())
        self.resume(folder)
        first, last = self.fabric.is_global_zero, self.config.total if until is None else min(until, self.config.total)
        if first:
            (folder / CONFIG).write_text(json.dumps(self.config.to_dict(), indent=1), encoding="utf-8")
        log: CSVLogger | None = None
        running: dict[str, float] = {}
        batches = self.batches(self.step)
        with steps_with_progress(self.config.name, self.step, self.config.total, first) as advance:
            while self.step < last:
                if self.enter_stage(folder) or log is None:
                    # Each stage has losses of its own, and so columns of its own.
                    log, running = CSVLogger(folder, name="log", version=f"from-{self.step}"), {}
                batch = moved(next(batches), self.fabric.device)
                for name, value in self.run_step(batch).items():
                    running[name] = (1.0 - NEW_SHARE) * running.get(name, value) + NEW_SHARE * value
                if self.step % self.log_every == 0 and running:
                    log.log_metrics(dict(running), self.step)
                    log.save()
                advance(running)
                if first and (self.step in FIRST_PREVIEWS or self.step % save_every == 0):
                    self.draw_preview(batch, folder / PREVIEWS / f"step-{self.step:06d}.png")
                if self.step % save_every == 0:
                    self.save(folder)
        self.save(folder)

    def shipped_weights(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return {name: value.detach().cpu() for name, value in averaged_weights(self.average.state_dict()).items()}


def moved(batch: Any, device: torch.device) -> Any:
    """A batch (a dict of tensors, or anything with ``to``) on a device."""
    if isinstance(batch, dict):
        return {name: value.to(device) for name, value in batch.items()}
    return batch.to(device)


def step_of(folder: Path) -> int:
    """The step of a run folder's checkpoint; 0 without one."""
    file = folder / CHECKPOINT
    return int(torch.load(file, map_location="cpu", weights_only=True)["step"]) if file.exists() else 0


def check_same_config(folder: Path, config: dict[str, Any]) -> None:
    """Refuse to go on with another config than the one that a run folder began with.

    A setting that the run did not record, as one that is newer, is not compared; nor is the number of steps, since a
    run may be lengthened.

    Raises:
        InputError: a setting differs; the first one is named with both values.
    """
    if not (folder / CHECKPOINT).exists() or not (folder / CONFIG).exists():
        return
    now = json.loads(json.dumps(config))
    if difference := _difference(read_config(folder), now):
        name, before, asked = difference
        raise InputError(
            f"The run '{folder.name}' began with {name} = {before}, and its config now says {asked}; go on with the "
            "config that it began with, or train in a new folder."
        )


def _difference(before: Any, now: Any, name: str = "") -> tuple[str, str, str] | None:
    """Name and both values of the first setting that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        shared = [key for key in before if key in now and key != "steps"]
        inner = (_difference(before[key], now[key], f"{name}.{key}".strip(".")) for key in shared)
        return next((found for found in inner if found), None)
    return None if before == now else (name, json.dumps(before), json.dumps(now))


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a run folder, in plain types.

    Raises:
        InputError: the folder holds no run.
    """
    if not (folder / CHECKPOINT).exists() or not (folder / CONFIG).exists():
        raise InputError(f"There is no training run in {folder}; train one first.")
    raw: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return raw


def finished_weights(folder: Path, steps: int) -> dict[str, Tensor]:
    """The averaged weights of a run that has reached so many steps.

    Raises:
        InputError: it has not.
    """
    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    if state["step"] < steps:
        raise InputError(f"The run in {folder} stopped at step {state['step']} of {steps}; go on first.")
    return averaged_weights(state["average"])
