"""Training runs of the library's two segmentation networks as TOML files; config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import dataclass

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig


@dataclass(frozen=True)
class SegmentationConfig(RunConfig):
    """Fields of both.

    Attributes:
        maps: names of label maps.
        widths: of the network.
        steps: of one example each.
        settled: from this step on the normalisation keeps its statistics.
        strip: share of images without skull.
        rate, average: of Adam (cosine to 1 %), and of the weights that are shipped.
        seed: of examples and weights.
    """

    name: str
    maps: tuple[str, ...]
    widths: tuple[int, ...] = (16, 32, 64, 96)
    steps: int = 4000
    settled: int = 2400
    strip: float = 0.35
    rate: float = 2e-3
    average: float = 0.995
    seed: int = 0


@dataclass(frozen=True)
class StructureConfig(SegmentationConfig):
    """A run of the tissue network; from ``settled`` on the rate starts again at half, and three of four contrasts are
    of known sequences.

    Attributes:
        heads: how many deformed heads are made of the label maps.
        block_mm: side of the blocks.
    """

    heads: int = 32
    block_mm: int = 128
    system: str = "structure"


@dataclass(frozen=True)
class ParcellationConfig(SegmentationConfig):
    """A run of the parcellation network.

    Attributes:
        shape: of an example, voxels ``(K, J, I)`` of 1 mm: most of a brain, or a part of it with some of the head.
        physical: share of contrasts that keep to the signal equations.
        t1w: share of these that are T1w for certain; the others are any sequence.
        variants: heads with other volumes of their structures that are made of each map.
        texture: largest standard deviation of brightness that varies smoothly inside a tissue.
        start: weights (.safetensors) to begin with; ``tissues`` for the library's tissue network, empty for none.
    """

    strip: float = 0.5
    average: float = 0.99
    shape: tuple[int, int, int] = (128, 144, 128)
    physical: float = 0.6
    t1w: float = 0.0
    variants: int = 0
    texture: float = 0.0
    start: str = "tissues"
    system: str = "parcellation"

    def __post_init__(self) -> None:
        if any(size < 8 or size % 4 for size in self.shape):
            raise InputError("The shape of the examples of a parcellation must be multiples of 4, 8 or more.")
