"""The result of an objective, and losses that several recipes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Outcome:
    """Result of an objective.

    Attributes:
        terms: by name, unweighted.
        judged: pairs (real, fake) by discriminator.
        logged: further figures for the log.
    """

    terms: dict[str, Tensor] = field(default_factory=dict)
    judged: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    logged: dict[str, float] = field(default_factory=dict)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask, which is broadcast over channels."""
    weight = mask.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)
