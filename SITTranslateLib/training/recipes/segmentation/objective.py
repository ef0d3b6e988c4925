"""Loss of the tissue network, and the schedule of its rate."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from SITTranslateLib.training.recipes.segmentation.config import StructureConfig


def soft_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy to shares, and soft Dice over the classes that are there."""
    logs = functional.log_softmax(logits.float(), dim=1)
    entropy = -(truth * logs).sum(dim=1).mean()
    probabilities = logs.exp()
    axes = (0, 2, 3, 4)
    present = truth.sum(dim=axes) > 8.0
    total = (probabilities.square() + truth.square()).sum(dim=axes).clamp(min=1.0)
    dice = 2.0 * (probabilities * truth).sum(dim=axes) / total
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
