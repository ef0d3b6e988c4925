"""A training run of the tissue network as a TOML file; config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from SITTranslateLib.training.engine.config import from_plain


@dataclass(frozen=True)
class StructureConfig:
    """One run.

    Attributes:
        maps: names of label maps, taken in turn.
        heads: how many deformed heads are made of them.
        widths: of the network.
        steps: of one block each.
        settled: from this step on the normalisation keeps its statistics, the rate starts again at half, and three
            of four contrasts are of known sequences.
        block_mm: side of the blocks.
        strip: share of images without skull; half of these keep the fluid around the brain.
        rate, average: of Adam (cosine to 1 %), and of the weights that are kept.
        seed: of heads and training.
    """

    name: str
    maps: tuple[str, ...]
    heads: int = 32
    widths: tuple[int, ...] = (16, 32, 64, 96)
    steps: int = 4000
    settled: int = 2400
    block_mm: int = 128
    strip: float = 0.35
    rate: float = 2e-3
    average: float = 0.995
    seed: int = 0
    system: str = "structure"

    @property
    def network(self) -> dict[str, Any]:
        return {"widths": self.widths}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def config_from_dict(raw: dict[str, Any], **overrides: Any) -> StructureConfig:
    """A config from plain types; ``overrides`` that are not None replace its fields."""
    return from_plain(StructureConfig, raw, **overrides)
