"""Training of the parcellation network, resumed from its checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from SITTranslateLib.segmentation.maps import WEIGHTS as TISSUE_WEIGHTS
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.structures import CLASS_COUNT, SIDED_CLASSES
from SITTranslateLib.segmentation.tissues import SPACING_MM
from SITTranslateLib.training.recipes.parcellation.data import Head, examples

CHECKPOINT = "checkpoint.ckpt"


@dataclass(frozen=True)
class ParcellationConfig:
    """One run.

    Attributes:
        steps: of one example each.
        settled: share of the steps after which the normalisation keeps its statistics.
        rate, average: of Adam (cosine to 1 %), and of the weights that are kept.
        strip: share of examples without skull.
        physical: share of contrasts that keep to the signal equations.
        t1w: share of these that are T1w for certain; the others are any sequence.
        seed: of examples and weights.
    """

    name: str = "parcellation"
    steps: int = 1800
    settled: float = 0.6
    rate: float = 2e-3
    average: float = 0.99
    strip: float = 0.5
    t1w: float = 0.0
    physical: float = 0.6
    seed: int = 0


def parcellation_network(start: Path | None = TISSUE_WEIGHTS) -> TissueNetwork:
    """The untrained network: features of the tissue network, a head of its own (classes, and one logit of the side).

    Args:
        start: weights of the tissue network, or of an earlier run; None for random ones.
    """
    network = TissueNetwork(classes=CLASS_COUNT + 1)
    if start is not None:
        stored = {n: v.float() if v.is_floating_point() else v for n, v in load_file(start).items()}
        shapes = {n: v.shape for n, v in network.state_dict().items()}
        network.load_state_dict({n: v for n, v in stored.items() if v.shape == shapes[n]}, strict=False)
    return network


def loss_of(output: Tensor, shares: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy to shares, soft Dice over the classes that are there, and cross-entropy of the side.

    Args:
        output: ``(B, classes + 1, K, J, I)`` logits.
        shares: ``(B, classes, K, J, I)``, they sum to 1.
        right: ``(B, K, J, I)`` share of the sided tissue that lies on the right.
    """
    logs = functional.log_softmax(output[:, :-1].float(), dim=1)
    entropy = -(shares * logs).sum(dim=1).mean()
    found = logs.exp()
    axes = (0, 2, 3, 4)
    present = shares.sum(dim=axes) > 4.0
    dice = 2.0 * (found * shares).sum(dim=axes) / (found.square() + shares.square()).sum(dim=axes).clamp(min=1.0)
    sided = shares[:, list(SIDED_CLASSES)].sum(dim=1)
    side = functional.binary_cross_entropy_with_logits(output[:, -1].float(), right, weight=sided, reduction="sum")
    return entropy + (1.0 - dice[present]).mean() + 0.5 * side / sided.sum().clamp(min=1.0)


class ParcellationTrainer:
    """Network, optimiser, and the average of the weights that is kept."""

    def __init__(self, config: ParcellationConfig, start: Path | None = TISSUE_WEIGHTS) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step = config, 0
        self.network = parcellation_network(start).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        self.adam = torch.optim.AdamW(self.network.parameters(), lr=config.rate, weight_decay=1e-4)

    def rate(self) -> float:
        """Up over the first 3 % of the steps, then down to 1 % by a cosine."""
        done = self.step / max(1, self.config.steps)
        if done < 0.03:
            return self.config.rate * (0.05 + 0.95 * done / 0.03)
        return self.config.rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (done - 0.03) / 0.97))))

    def run_step(self, image: Tensor, shares: Tensor, right: Tensor) -> float:
        """One update by one example; the loss."""
        self.network.train(self.step < self.config.settled * self.config.steps)
        for group in self.adam.param_groups:
            group["lr"] = self.rate()
        with torch.autocast("cpu", torch.bfloat16):
            output = self.network(image.to(memory_format=torch.channels_last_3d))
        loss = loss_of(output, shares, right)
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.adam.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """Contents of a checkpoint."""
        parts = {"network": self.network, "average": self.average, "adam": self.adam}
        return {name: part.state_dict() for name, part in parts.items()} | {"step": self.step}

    def save(self, folder: Path) -> None:
        """Write the checkpoint beside the old one, then put it in its place, so that a kill loses nothing."""
        torch.save(self.state(), folder / "checkpoint.part")
        (folder / "checkpoint.part").replace(folder / CHECKPOINT)
        prefix = "module."
        weights = {
            name.removeprefix(prefix): (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in self.average.state_dict().items()
            if name.startswith(prefix)
        }
        about = {"config": self.config.name, "seed": str(self.config.seed), "spacing_mm": str(SPACING_MM)}
        save_file(weights, folder / "weights.part", metadata=about | {"step": str(self.step)})
        (folder / "weights.part").replace(folder / "weights.safetensors")

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run folder, if it has one."""
        if (folder / CHECKPOINT).exists():
            state = torch.load(folder / CHECKPOINT, weights_only=True)
            for name, part in (("network", self.network), ("average", self.average), ("adam", self.adam)):
                part.load_state_dict(state[name])
            self.step = int(state["step"])


def run(
    config: ParcellationConfig,
    heads: Sequence[Head],
    folder: Path,
    *,
    every: int = 100,
    start: Path | None = TISSUE_WEIGHTS,
) -> ParcellationTrainer:
    """Train in ``folder``; ``weights.safetensors`` (float16) and ``log.csv`` lie there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    trainer = ParcellationTrainer(config, start)
    trainer.resume(folder)
    running: float | None = None
    with (folder / "log.csv").open("a", encoding="utf-8") as log:
        for image, shares, right in examples(
            heads, config.seed, trainer.step, strip=config.strip, physical=config.physical, t1w=config.t1w
        ):
            if trainer.step >= config.steps:
                break
            loss = trainer.run_step(image, shares, right)
            running = loss if running is None else 0.98 * running + 0.02 * loss
            if trainer.step % 25 == 0:
                log.write(f"{trainer.step},{running:.4f},{trainer.rate():.2e},{time.process_time():.0f}\n")
                log.flush()
            if trainer.step % every == 0:
                trainer.save(folder)
    trainer.save(folder)
    return trainer
