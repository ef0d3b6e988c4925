"""Learning-rate schedules and the moving average of the weights that is shipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

#: Share of the rate that a schedule ends at.
FLOOR = 0.02
_PREFIX = "module."


def warm_up_and_cosine(steps: int, warm_up: int = 50) -> Callable[[int], float]:
    """Rate factor of a step: a linear warm-up, then half a cosine down to :data:`FLOOR`."""

    def factor(step: int) -> float:
        fall = 0.5 * (1.0 + math.cos(math.pi * min(step / max(1, steps), 1.0)))
        return min(1.0, (step + 1) / warm_up) * (FLOOR + (1.0 - FLOOR) * fall)

    return factor


def linear_decay(steps: int, warm_up: int = 50) -> Callable[[int], float]:
    """Rate factor of a step: a linear warm-up, constant for the first half, then linear down to :data:`FLOOR`."""

    def factor(step: int) -> float:
        return min((step + 1) / warm_up, 1.0) * min(1.0, max(FLOOR, 2.0 * (1.0 - step / steps)))

    return factor


def average_of(network: nn.Module, decay: float, *, buffers: bool = False, warm_up: int = 0) -> AveragedModel:
    """An exponential moving average of a network's weights.

    Args:
        buffers: average buffers too; otherwise they are copied.
        warm_up: the decay of update n is at most ``n / (n + warm_up)``, so that short runs forget their first weights.
    """

    def update(averaged: Any, current: Any, count: Any) -> None:
        updates = int(count) + 1
        get_ema_multi_avg_fn(min(decay, updates / (updates + warm_up)))(averaged, current, count)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=buffers)


def averaged_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights within the state of an average."""
    return {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
