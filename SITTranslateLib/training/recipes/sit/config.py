"""A training run as a TOML file: data, network, losses, schedule. Config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.engine.grid import SPACING_MM

#: Voxels in which the ventricles can still be distinguished from their surroundings, mm.
COARSEST_MM = 4.0


@dataclass(frozen=True)
class Data:
    """Simulated pairs: which label maps, how many pairs, how they differ; voxels of 2 mm, or larger for a trial."""

    training_maps: tuple[str, ...] = ()
    pairs: int = 240
    age_years: tuple[float, float] = (-30.0, 30.0)
    lesion_load_ml: tuple[float, float] = (0.0, 25.0)
    skull_strip: float = 0.6
    seed: int = 1
    spacing_mm: float = SPACING_MM


@dataclass(frozen=True)
class Scans:
    """One's own scans instead of simulated pairs: which BIDS scans, and how much change is asked for at most."""

    suffix: str = "T1w"
    largest_change: tuple[float, ...] = (30.0,)
    seed: int = 1


@dataclass(frozen=True)
class Prescribed:
    """Prescribed follow-ups instead of simulated pairs: heads, and how many of them lose their skull."""

    training_maps: tuple[str, ...]
    heads: int = 24
    skull_strip: float = 0.6
    seed: int = 1


@dataclass(frozen=True)
class Losses:
    """Weight of each term of ``objective`` and of the StarGAN host; 0 leaves it out."""

    follow_up: float = 0.0
    motion: float = 0.0
    change: float = 0.0
    adversarial: float = 0.0
    attribute: float = 0.0
    cycle: float = 0.0
    sparsity: float = 0.0
    smoothness: float = 0.0
    folding: float = 0.0
    drawing: float = 0.0
    volumes: float = 0.0

    @property
    def need_discriminator(self) -> bool:
        return self.adversarial > 0 or self.attribute > 0


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rate.

    ``geometry_first`` is the share of the steps before the intensity branch is trained; ``critic_first`` are steps of
    the critic alone, which come before: one that cannot read attributes yet guides nothing.
    """

    steps: int = 2000
    batch: int = 1
    rate: float = 1e-3
    critic_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    geometry_first: float = 0.33
    intensity_rate_factor: float = 5.0
    average: float = 0.995
    penalty_every: int = 16
    penalty: float = 1.0
    critic_weight_of_regression: float = 10.0
    critic_first: int = 0
    seed: int = 0


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """One run; ``network`` are the parameters of the system's network; ``scans`` take the place of ``data``."""

    name: str
    system: str
    network: dict[str, Any]
    data: Data = field(default_factory=Data)
    losses: Losses = field(default_factory=Losses)
    schedule: Schedule = field(default_factory=Schedule)
    scans: Scans | None = None
    prescribed: Prescribed | None = None

    def __post_init__(self) -> None:
        losses = self.losses
        if losses.volumes and self.prescribed is None:
            raise InputError("The term volumes needs [prescribed]: no other data know how volumes should change.")
        if self.prescribed is not None:
            if not self.network.get("structures"):
                raise InputError('Prescribed follow-ups need structures = "current" in [network].')
            return
        if self.scans is None:
            if not self.data.training_maps:
                raise InputError("There is nothing to train on: name label maps in [data], or own scans in [scans].")
            if not SPACING_MM <= self.data.spacing_mm <= COARSEST_MM:
                raise InputError(f"spacing_mm in [data] is {self.data.spacing_mm:g}; give 2, or up to 4 for a trial.")
        elif losses.follow_up or losses.motion or losses.change or not losses.need_discriminator:
            raise InputError(
                "Own scans have no follow-up: train by adversarial and attribute losses, without follow_up."
            )
