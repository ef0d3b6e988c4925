"""A training run as a TOML file: data, network, losses, schedule. Config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import from_plain


@dataclass(frozen=True)
class Data:
    """Simulated pairs: which label maps, how many pairs, how they differ."""

    training_maps: tuple[str, ...]
    pairs: int = 240
    age_years: tuple[float, float] = (-30.0, 30.0)
    lesion_load_ml: tuple[float, float] = (0.0, 25.0)
    skull_strip: float = 0.6
    seed: int = 1


@dataclass(frozen=True)
class Scans:
    """One's own scans instead of simulated pairs: which BIDS scans, and how much change is asked for at most."""

    suffix: str = "T1w"
    largest_change: tuple[float, ...] = (30.0,)
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

    @property
    def need_discriminator(self) -> bool:
        return self.adversarial > 0 or self.attribute > 0


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rate; ``geometry_first`` is the share of the steps before the intensity branch is trained."""

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
    seed: int = 0


@dataclass(frozen=True)
class TrainingConfig:
    """One run; ``network`` are the parameters of the system's network."""

    name: str
    system: str
    network: dict[str, Any]
    data: Data
    losses: Losses = field(default_factory=Losses)
    schedule: Schedule = field(default_factory=Schedule)
    scans: Scans | None = None

    @property
    def steps(self) -> int:
        return self.schedule.steps

    @property
    def seed(self) -> int:
        return self.schedule.seed

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def config_from_dict(raw: dict[str, Any], **overrides: Any) -> TrainingConfig:
    """A config from plain types; ``overrides`` that are not None replace fields of the schedule.

    Raises:
        InputError: terms that the data cannot give.
    """
    scans = from_plain(Scans, raw["scans"]) if raw.get("scans") else None
    losses = Losses(**raw.get("losses", {}))
    if scans is not None and (losses.follow_up or losses.motion or losses.change or not losses.need_discriminator):
        raise InputError("Own scans have no follow-up: train by adversarial and attribute losses, without follow_up.")
    return TrainingConfig(
        name=raw["name"],
        system=raw["system"],
        network=raw["network"],
        data=from_plain(Data, raw["data"]) if scans is None else Data(training_maps=()),
        losses=losses,
        schedule=from_plain(Schedule, raw.get("schedule", {}), **overrides),
        scans=scans,
    )
