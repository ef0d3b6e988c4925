"""Losses of the segmentation networks, and the schedule of their rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from SITTranslateLib.segmentation.structures import SIDED_CLASSES

#: Weight of the cross-entropy and of the volumes in the loss of the parcellation.
ENTROPY, VOLUMES = 2.0, 0.25


def soft_loss(
    logits: Tensor, truth: Tensor, least: float = 8.0, entropy_weight: float = 1.0, volumes: float = 0.0
) -> Tensor:
    """Cross-entropy to shares, and soft Dice over the classes of which there are more than ``least`` voxels.

    Args:
        volumes: weight of the logarithm of found over true volume: where it is unsure, Dice alone would rather find
            too much than too little.
    """
    logs = functional.log_softmax(logits.float(), dim=1)
    entropy = -(truth * logs).sum(dim=1).mean()
    probabilities = logs.exp()
    axes = (0, 2, 3, 4)
    true = truth.sum(dim=axes)
    present = true > least
    total = (probabilities.square() + truth.square()).sum(dim=axes).clamp(min=1.0)
    dice = 2.0 * (probabilities * truth).sum(dim=axes) / total
    ratio = (probabilities.sum(dim=axes)[present] / true[present]).clamp(min=1e-3).log()
    miss = functional.smooth_l1_loss(ratio, torch.zeros_like(ratio), beta=0.1)
    return entropy_weight * entropy + (1.0 - dice[present]).mean() + volumes * miss


def sided_loss(output: Tensor, truth: Tensor, right: Tensor) -> Tensor:
    """:func:`soft_loss` of the structures with their volumes, and cross-entropy of the side.

    Args:
        output: ``(B, classes + 1, K, J, I)`` logits.
        truth: ``(B, classes, K, J, I)`` shares, they sum to 1.
        right: ``(B, K, J, I)`` share of the sided tissue that lies on the right.
    """
    sided = truth[:, list(SIDED_CLASSES)].sum(dim=1)
    side = functional.binary_cross_entropy_with_logits(output[:, -1].float(), right, weight=sided, reduction="sum")
    structures = soft_loss(output[:, :-1], truth, 4.0, ENTROPY, VOLUMES)
    return structures + 0.5 * side / sided.sum().clamp(min=1.0)


def rate_factor(step: int, steps: int, warm_up: float, restart: int = 0) -> float:
    """Factor of the rate: up over a share ``warm_up`` of the steps, then down to 1 % by a cosine.

    Args:
        restart: the step at which it begins again at half, if any.
    """
    first = step < restart
    done = step / max(1, restart) if first else (step - restart) / max(1, steps - restart)
    if done < warm_up:
        factor = 0.05 + 0.95 * done / warm_up
    else:
        factor = 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (done - warm_up) / (1.0 - warm_up))))
    return factor if first or not restart else 0.5 * factor
