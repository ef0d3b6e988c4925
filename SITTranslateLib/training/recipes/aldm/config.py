"""A training run of ALDM, or of its regression baseline, as a TOML file; config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.recipes.aldm.phantoms import CONTRASTS, ContrastPhantomSet

#: ``any_regression``: a U-Net between the same contrasts, trained on pairs of the same heads.
SYSTEMS = ("aldm", "any_regression")
STAGES = {"aldm": ("autoencoder", "ms_spade", "diffusion", "detail"), "any_regression": ("regression",)}


@dataclass(frozen=True)
class Stage:
    """One stage: how long, how fast, on what.

    Attributes:
        steps: updates; 0 leaves the stage out.
        rate: of Adam, after a warm-up down along half a cosine to 2 %.
        targets: contrasts made of each source a step (blocks a step of the autoencoder).
        block: side of what is decoded and compared, voxels, a multiple of 8.
        squared: differences count by their squares. The mean of all that may be is best then, and not its median:
            where skull may be bone or air, what lies between them.
        brain: how many times more than ``Schedule.brain_weight`` says a voxel of the brain counts.
    """

    steps: int
    rate: float = 1e-3
    targets: int = 3
    block: int = 64
    squared: bool = False
    brain: float = 1.0


@dataclass(frozen=True)
class Terms:
    """Weight of each term; 0 leaves it out.

    Attributes:
        voxel: L1 (of a ``squared`` stage L2, times ten) of decoded images, a voxel of the brain counting
            ``Schedule.brain_weight`` times.
        gradient: the same of their differences between neighbours, which a blurred edge has too little of.
        latent: L1 or L2 of latents; in the diffusion always L2 of the clean latent.
        cycle: of the switchable generator, there and back, in the latent.
        adversarial: least squares on decoded blocks, in the second stage.
    """

    voxel: float = 1.0
    gradient: float = 0.5
    latent: float = 1.0
    cycle: float = 0.1
    adversarial: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Settings common to all stages.

    Attributes:
        average: of the weights that are kept.
        brain_weight, strip: as for the other cross-contrast systems.
        settle: share of the autoencoder's steps before there is a codebook.
        unquantised: share of the autoencoder's blocks that are decoded without rounding to the codebook.
        drawn: share of the detail stage's latents that come from the diffusion and not from the preview.
        detail_steps: of that diffusion.
        decoded_diffusion: the diffusion learns from decoded blocks as well as from latents.
    """

    average: float = 0.98
    brain_weight: float = 2.0
    strip: float = 0.4
    settle: float = 0.25
    unquantised: float = 0.5
    drawn: float = 0.7
    detail_steps: int = 2
    decoded_diffusion: bool = False
    seed: int = 0


@dataclass(frozen=True)
class ALDMConfig(RunConfig):
    """One run; ``network`` are the parameters of the system's network."""

    name: str
    system: str
    network: dict[str, Any]
    heads: ContrastPhantomSet
    stages: dict[str, Stage]
    terms: Terms = field(default_factory=Terms)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        known = STAGES[self.system]
        if list(self.stages) != [name for name in known if name in self.stages]:
            raise InputError(f"The stages of '{self.system}' are some of {', '.join(known)}, in this order.")
        others = [name for name in self.network["contrasts"] if name not in CONTRASTS]
        if others:
            raise InputError(f"The contrast '{others[0][:40]}' is not simulated; use some of {', '.join(CONTRASTS)}.")

    @property
    def maps_tissues(self) -> bool:
        """Whether the network begins with the source mapped to the target's intensities."""
        return bool(self.network.get("paint", False))
