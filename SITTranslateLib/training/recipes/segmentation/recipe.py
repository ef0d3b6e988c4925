"""Training of the tissue network on random contrasts of deformed label maps; the weights come with the library."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.tissues import CLASS_OF_LABEL, CLASSES, SPACING_MM, normalised
from SITTranslateLib.simulation import Subject, brain_mask
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.simulation.random_contrast import random_contrast
from SITTranslateLib.simulation.rendering import place
from SITTranslateLib.training.engine.config import config_file
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.volume import Grid

SYSTEM = "structure"
CHECKPOINT = "checkpoint.ckpt"
#: Voxels (K, J, I) of 1 mm of a head.
SHAPE = (208, 232, 192)


@dataclass(frozen=True)
class StructureConfig:
    """One run.

    Attributes:
        maps: names of label maps, taken in turn.
        heads: how many deformed heads are made of them.
        widths: of the network.
        steps: of one block each.
        settled: from this step on the normalisation keeps its statistics, the rate starts again at half, and three
            of four contrasts are of known sequences.
        block_mm: side of the blocks.
        strip: share of images without skull; half of these keep the fluid around the brain.
        rate, average: of Adam (cosine to 1 %), and of the weights that are kept.
        seed: of heads and training.
    """

    name: str
    maps: tuple[str, ...]
    heads: int = 32
    widths: tuple[int, ...] = (16, 32, 64, 96)
    steps: int = 4000
    settled: int = 2400
    block_mm: int = 128
    strip: float = 0.35
    rate: float = 2e-3
    average: float = 0.995
    seed: int = 0


def is_structure(path: str | Path) -> bool:
    """Whether a config (a path or a built-in name) trains the tissue network."""
    try:
        file = config_file(path)
        return tomllib.loads(file.read_text(encoding="utf-8")).get("system") == SYSTEM
    except (InputError, tomllib.TOMLDecodeError):
        return False


def read_structure(path: str | Path, **overrides: Any) -> StructureConfig:
    """The config at a path, or a built-in one by name; ``overrides`` that are not None replace its fields.

    Raises:
        InputError: a key it does not know.
    """
    file = config_file(path)
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    given = {key: value for key, value in overrides.items() if value is not None}
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items() if k != "system"}
    try:
        return StructureConfig(**(fields | given))
    except TypeError as error:
        raise InputError(f"The training config '{file.name}' is not understood: {error}.") from error


# -------------------------------------------------------------------- data
@dataclass(frozen=True, eq=False)
class DeformedHead:
    """Labels at 1 mm ``(K, J, I)`` int16, and the brain of them."""

    labels: NDArray[np.int16]
    brain: NDArray[np.bool_]


def deformed_heads(subjects: Sequence[Subject], config: StructureConfig, cache: Path) -> list[DeformedHead]:
    """Heads drawn from the subjects, made once and kept in ``cache``."""
    what = json.dumps([config.maps, config.seed], sort_keys=True)
    folder = cache / f"labels-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    heads = []
    with steps_with_progress("heads", 0, config.heads) as advance:
        for index in range(config.heads):
            file = folder / f"{index:03d}.npy"
            subject = subjects[index % len(subjects)]
            grid = Grid.centred(subject.centre, SHAPE, 1.0)
            if not file.exists():
                rng = np.random.default_rng([config.seed, index])
                placed = place(subject, grid, rng, deform=True, lesions=False)
                part = file.with_suffix(".part.npy")
                np.save(part, placed.labels.array)
                part.replace(file)
            labels = np.load(file)
            heads.append(DeformedHead(labels, brain_mask(LabelMap(labels, grid.affine))))
            advance({})
    return heads


def shares(labels: NDArray[np.int16]) -> NDArray[np.float32]:
    """Share of each class in voxels of 2 mm, of labels of 1 mm: ``(classes, K/2, J/2, I/2)``."""
    classes = CLASS_OF_LABEL[labels]
    k, j, i = (n // 2 for n in labels.shape)
    eighths = classes[: 2 * k, : 2 * j, : 2 * i].reshape(k, 2, j, 2, i, 2)
    return np.stack([(eighths == c).sum(axis=(1, 3, 5), dtype=np.float32) / 8.0 for c in range(len(CLASSES))])


def averaged(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Voxels of 1 mm averaged to 2 mm."""
    k, j, i = (n // 2 for n in image.shape)
    return image[: 2 * k, : 2 * j, : 2 * i].reshape(k, 2, j, 2, i, 2).mean(axis=(1, 3, 5), dtype=np.float32)


def example(
    head: DeformedHead, rng: np.random.Generator, side: int | None, strip: float, physical: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One image in a random contrast ``(K, J, I)`` at 2 mm, normalised, and the share of each class in every voxel.

    Args:
        head: labels at 1 mm.
        rng: of everything random.
        side: of a block about a point of the brain in mm, or None for the whole head.
        strip: probability that the skull is taken off.
        physical: probability that the contrast is one of the known sequences'.
    """
    where = [slice(None)] * 3
    if side is not None:
        for axis, size in enumerate(head.labels.shape):
            start = int(rng.integers(0, max(1, size - side + 1)))
            where[axis] = slice(start, start + side)
    order = tuple(-1 if axis == 2 and rng.random() < 0.5 else 1 for axis in range(3))
    labels = np.ascontiguousarray(head.labels[tuple(where)][:: order[0], :: order[1], :: order[2]])
    mask = None
    if rng.random() < strip:
        mask = np.ascontiguousarray(head.brain[tuple(where)][:: order[0], :: order[1], :: order[2]])
        if rng.random() < 0.5:
            mask = mask | (CLASS_OF_LABEL[labels] == 1)
        labels = np.where(mask, labels, np.int16(0))
    image = normalised(averaged(random_contrast(labels, rng, mask, physical)))
    if rng.random() < 0.5:
        # A block is normalised by what it holds, a whole head by more: brightness must not be relied on.
        image = np.clip(image * np.float32(rng.uniform(0.7, 1.2)), 0.0, 1.0)
    return image, shares(labels)


def examples(heads: Sequence[DeformedHead], config: StructureConfig, start: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless examples from a step on; each depends on the seed and its step alone."""
    step = start
    while True:
        rng = np.random.default_rng([config.seed, 1, step])
        head = heads[int(rng.integers(len(heads)))]
        image, truth = example(head, rng, config.block_mm, config.strip, 0.75 if step >= config.settled else 0.5)
        yield torch.from_numpy(image)[None, None], torch.from_numpy(truth)[None]
        step += 1


# -------------------------------------------------------------------- training
def soft_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy to shares, and soft Dice over the classes that are there."""
    logs = functional.log_softmax(logits.float(), dim=1)
    entropy = -(truth * logs).sum(dim=1).mean()
    found = logs.exp()
    axes = (0, 2, 3, 4)
    present = truth.sum(dim=axes) > 8.0
    dice = 2.0 * (found * truth).sum(dim=axes) / (found.square() + truth.square()).sum(dim=axes).clamp(min=1.0)
    return entropy + (1.0 - dice[present]).mean()


def rate_factor(step: int, config: StructureConfig) -> float:
    """Factor of the rate: in each of the two parts up over a twentieth of its steps, then down to 1 % by a cosine."""
    first = step < config.settled
    done = step / max(1, config.settled) if first else (step - config.settled) / max(1, config.steps - config.settled)
    if done < 0.05:
        factor = 0.05 + 0.95 * done / 0.05
    else:
        factor = 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (done - 0.05) / 0.95)))
    return factor if first else 0.5 * factor


class StructureTrainer:
    """Network, optimiser, and the average of the weights that is kept."""

    def __init__(self, config: StructureConfig, fabric: Fabric) -> None:
        self.config, self.fabric, self.step = config, fabric, 0
        fabric.seed_everything(config.seed)
        network = TissueNetwork(config.widths)
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        adam = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=1e-4)
        self.rates = LambdaLR(adam, lambda step: rate_factor(step, config))
        self.network, self.adam = fabric.setup(network, adam)

    def run_step(self, image: Tensor, truth: Tensor) -> float:
        """One update by one block ``(1, 1, K, J, I)`` and the shares of its classes; the loss."""
        self.network.train(self.step < self.config.settled)
        loss = soft_loss(self.network(image), truth)
        self.adam.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.network, self.adam, max_norm=1.0)
        self.adam.step()
        self.rates.step()
        self.average.update_parameters(self.network.module)
        self.step += 1
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        return {"network": self.network, "adam": self.adam, "rates": self.rates, "average": self.average} | {
            "step": self.step
        }

    def save(self, folder: Path) -> None:
        """Write the checkpoint beside the old one, then put it in its place, so that a kill loses nothing."""
        self.fabric.save(folder / "checkpoint.part", self.state())
        (folder / "checkpoint.part").replace(folder / CHECKPOINT)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run folder, if it has one."""
        if (folder / CHECKPOINT).exists():
            state = self.state()
            self.fabric.load(folder / CHECKPOINT, state)
            self.step = int(state["step"])


def halved(value: Tensor) -> Tensor:
    """As it is shipped: float16, counts as they are."""
    return (value.half() if value.is_floating_point() else value).contiguous()


def run(
    config: StructureConfig,
    labels: Path,
    folder: Path,
    *,
    cache: Path | None = None,
    accelerator: str = "auto",
    precision: str = "bf16-mixed",
    threads: int | None = None,
    every: int = 100,
) -> StructureTrainer:
    """Train in ``folder``, going on from its checkpoint; at the end ``weights.safetensors`` (float16) lies there."""
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    kept = cache or folder
    heads = deformed_heads(prepared_subjects(labels, config.maps, kept / "subjects"), config, kept)
    trainer = StructureTrainer(config, fabric)
    trainer.resume(folder)
    log = CSVLogger(folder, name="log", version=f"from-{trainer.step}", flush_logs_every_n_steps=1)
    running: float | None = None
    with steps_with_progress(config.name, trainer.step, config.steps) as advance:
        for image, truth in examples(heads, config, trainer.step):
            if trainer.step >= config.steps:
                break
            loss = trainer.run_step(image.to(fabric.device), truth.to(fabric.device))
            running = loss if running is None else 0.98 * running + 0.02 * loss
            if trainer.step % 50 == 0:
                log.log_metrics({"loss": running}, trainer.step)
            advance({"loss": running})
            if trainer.step % every == 0:
                trainer.save(folder)
    trainer.save(folder)
    prefix = "module."
    weights = {
        name.removeprefix(prefix): halved(value.detach().cpu())
        for name, value in trainer.average.state_dict().items()
        if name.startswith(prefix)
    }
    about = {"config": config.name, "seed": str(config.seed), "spacing_mm": str(SPACING_MM)}
    save_file(weights, folder / "weights.safetensors", metadata=about)
    return trainer
