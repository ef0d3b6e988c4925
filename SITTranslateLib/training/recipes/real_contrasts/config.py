"""The config of a training on real pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.engine.visits import CONTRASTS, FOLDS
from SITTranslateLib.training.recipes.real_contrasts.augmentation import Augmentation

CURVE_SHARE = 0.3
"""Of the intensity curve where it helps; not from FLAIR to T1w, where one brightness has several meanings."""
NAME, SYSTEM = "mr-contrasts", "multi_contrast"


@dataclass(frozen=True)
class RealContrastsConfig(RunConfig):
    """A run.

    Attributes:
        fold: of :data:`FOLDS`; ``all`` leaves nobody out.
        steps, batch, size, rate, decay: of AdamW; ``size`` is the edge of the crops, voxels.
        average: of the exponential moving average of the weights.
        ssim, scale: weights of the loss's terms.
        widths: of the network.
        bfloat16: for the convolutions.
        lesion_steps: steps that follow at half the rate, with lesions drawn into all contrasts of half of the samples.
        coverage: factors on the predicted scales by contrast, from the calibration; empty for no map.
        curve: of the network: direction to the share of the intensity curve; training does without.
    """

    fold: str = "all"
    steps: int = 2500
    batch: int = 8
    size: int = 112
    rate: float = 2e-3
    decay: float = 1e-3
    average: float = 0.995
    ssim: float = 0.7
    scale: float = 0.3
    widths: tuple[int, ...] = (16, 32, 64, 128)
    bfloat16: bool = True
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    lesion_steps: int = 0
    coverage: tuple[float, ...] = ()
    curve: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("T2w>T1w", "T1w>T2w", "FLAIR>T2w", ">T2w"), CURVE_SHARE)
    )
    name: str = NAME
    system: str = SYSTEM

    @property
    def total(self) -> int:
        """Steps of both parts."""
        return self.steps + self.lesion_steps

    def __post_init__(self) -> None:
        if self.fold not in FOLDS:
            raise InputError(f"There is no fold '{self.fold[:40]}'; there are {', '.join(FOLDS)}.")
        if self.steps < 1 or self.batch < 1 or self.size % 2 ** (len(self.widths) - 1):
            raise InputError("Steps and batch must be 1 or more, and the crops' size a multiple of the network's.")

    @property
    def network(self) -> dict[str, Any]:
        """Parameters of the network as it is shipped."""
        return {
            "contrasts": list(CONTRASTS),
            "widths": list(self.widths),
            "coverage": list(self.coverage),
            "curve": dict(self.curve),
        }
