"""A training run between two contrasts as a TOML file; config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.engine.phantoms import PhantomSet

SYSTEMS = ("sa_unit", "sasan", "regression")


@dataclass(frozen=True)
class Terms:
    """Weight of each term; 0 leaves it out.

    Attributes:
        voxel: distance to the clean scan of the same head in the other contrast (paired only).
        self_reconstruction, cycle: of UNIT; ``cycle`` of SASAN is L1 + (1 - SSIM).
        kl, kl_cycle: mean square of the latent (its variance is 1), first and after translation.
        usual: distance to the tissue classes of the scan, each with the mean intensity that it has in a scan of another
            head in the other contrast: it shows which tissue is bright, which discriminator and cycle cannot.
        adversarial: least-squares GAN on images, all scales.
        identity: a scan that already has the target's contrast stays as it is; L1 + (1 - SSIM).
        segmentation, segmentation_fake: cross-entropy and Dice of the source, and of its translation.
        pseudo: cross-entropy and Dice of a scan of the contrast without labels, to the classes of its translation.
        consistency: the translation is attended to as the source was.
        orthogonality: of the attention maps.
        class_adversarial: on the class probabilities of the contrast without labels, acquired and translated.
        latent_adversarial: on the codes of the two directions.
    """

    voxel: float = 0.0
    self_reconstruction: float = 0.0
    cycle: float = 0.0
    kl: float = 0.0
    kl_cycle: float = 0.0
    usual: float = 0.0
    adversarial: float = 0.0
    identity: float = 0.0
    segmentation: float = 0.0
    segmentation_fake: float = 0.0
    pseudo: float = 0.0
    consistency: float = 0.0
    orthogonality: float = 0.0
    class_adversarial: float = 0.0
    latent_adversarial: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Steps, learning rate and blocks.

    Attributes:
        batch: slice stacks (or blocks) a step.
        charbonnier: width of the penalty's smooth kink; 0 for L1.
        noise: standard deviation added to UNIT's latent while training.
        paired_share: share of the unpaired batches' heads that come with their partner and a voxel term.
        matched_slices: unpaired slices lie within this many of each other; negative for anywhere.
        cycle_every: the cycle and the self reconstruction, which double a step's cost, are only gone round at every
            such step.
        usual_first, usual_last: steps over which the ``usual`` term falls, and the share of its weight that it falls
            to; the discriminators are used after it.
        ramp: share of the steps over which the adversarial terms wake up.
        attention_first: steps in which only the attention module learns, from the labels.
        attention_rate: factor of its rate after that (0 freezes it, as the released trainer does).
        brain_weight: how much more a voxel of the brain counts than one of the rest of the head.
        block: size of a 3D network's training blocks.
        crop: side of the part of the slices that any other network is trained on; 0 for all of them.
    """

    steps: int = 3000
    batch: int = 4
    rate: float = 4e-4
    critic_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    average: float = 0.998
    charbonnier: float = 1e-3
    noise: float = 0.0
    paired_share: float = 0.0
    matched_slices: int = 2
    cycle_every: int = 1
    usual_first: int = 0
    usual_last: float = 0.0
    ramp: float = 0.1
    attention_first: int = 0
    attention_rate: float = 1.0
    brain_weight: float = 2.0
    strip: float = 0.4
    critic_width: int = 24
    critic_scales: int = 2
    critic_spectral: bool = True
    block: int = 48
    crop: int = 0
    seed: int = 0


@dataclass(frozen=True)
class CrossContrastConfig(RunConfig):
    """One run; ``network`` are the parameters of the system's network.

    ``paired`` False: the two contrasts come from different heads, as where no person has both.

    Raises:
        InputError: pairs asked for of unpaired real visits.
    """

    name: str
    system: str
    source: str
    target: str
    paired: bool
    network: dict[str, Any]
    heads: PhantomSet
    terms: Terms = field(default_factory=Terms)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.heads.fold and not self.paired and (self.schedule.paired_share or self.terms.voxel):
            raise InputError("Unpaired real visits have no partners: leave 'paired_share' and 'voxel' at 0.")
