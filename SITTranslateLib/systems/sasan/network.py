"""SASAN: translation with normalisation by learned attention maps, which also segment.

Tomar et al., "Self-Attentive Spatial Adaptive Normalization for Cross-Modality Domain Adaptation", IEEE TMI 2021.
Written from the paper. A direction is an attention module, which reads the source, and a synthesis module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import spatial, with_spectral_norm
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.systems.sasan.attention import Attended, AttentionModule
from SITTranslateLib.systems.sasan.synthesis import SynthesisModule


class Synthesised(NamedTuple):
    """Outputs of one direction for a batch: image ``(B, slices, J, I)``, the source's attention, the source's code."""

    image: Tensor
    attended: Attended
    code: Tensor


class SASANNetwork(nn.Module):
    """Attention modules by contrast and synthesis modules by direction.

    Args:
        directions: ``SOURCE>TARGET``, for example ``["T1w>CT", "CT>T1w"]``; the first is that of :meth:`translate`.
        maps: attention maps (8 in the paper).
        classes: of the segmentation, background among them.
        dims, slices: as for SA-UNIT.
        attention_widths: of the attention module's U-Net.
        widths: of the synthesis module at full, half and quarter resolution.
        hidden: between maps and the normalisation's gamma and beta.
        norm: instance (the paper's), batch, pixel or none.
        share_attention: one attention module for both contrasts (not the paper's).
        spectral: ``generator`` for spectral normalisation of the synthesis modules while training.
    """

    def __init__(
        self,
        directions: Sequence[str],
        maps: int = 8,
        classes: int = 6,
        dims: float = 2.5,
        slices: int = 3,
        attention_widths: Sequence[int] = (16, 32, 64, 96),
        widths: Sequence[int] = (16, 32, 64),
        hidden: int = 16,
        norm: str = "pixel",
        share_attention: bool = False,
        spectral: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.directions = [tuple(d.split(">")) for d in directions]
        if not self.directions or any(len(d) != 2 or not all(d) for d in self.directions):
            raise ValueError("a direction is written SOURCE>TARGET")
        if set(spectral) - {"generator"}:
            raise ValueError("only 'generator' can be spectral")
        self.dims, self.slices, self.share_attention, self.classes = dims, slices, share_attention, classes
        self.multiple = 2 ** max(len(attention_widths) - 1, 2)
        axes = spatial(dims)
        channels = slices if dims == 2.5 else 1

        def attention() -> AttentionModule:
            return AttentionModule(axes, channels, maps, classes, attention_widths, norm)

        sources = dict.fromkeys(source for source, _ in self.directions)
        self.attention = nn.ModuleDict({n: attention() for n in (("shared",) if share_attention else sources)})
        self.synthesis = nn.ModuleDict(
            {
                self.key(source, target): SynthesisModule(axes, channels, maps, widths, hidden, norm)
                for source, target in self.directions
            }
        )
        if "generator" in spectral:
            with_spectral_norm(self.synthesis)

    @staticmethod
    def key(source: str, target: str) -> str:
        return f"{source}_to_{target}"

    def attend(self, image: Tensor, contrast: str) -> Attended:
        return self.attention["shared" if self.share_attention else contrast](image)  # type: ignore[no-any-return]

    def synthesise(self, image: Tensor, source: str, target: str) -> Synthesised:
        attended = self.attend(image, source)
        module = self.synthesis[self.key(source, target)]
        code = module.encode(image)  # type: ignore[operator]
        return Synthesised(module.decode(code, attended.maps), attended, code)  # type: ignore[operator]

    def forward(self, image: Tensor, source: str, target: str) -> Synthesised:
        return self.synthesise(image, source, target)

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`."""
        source, target = self.directions[0]

        def run(stack: Tensor) -> Tensor:
            made = self.synthesise(stack, source, target)
            return torch.cat((made.image, made.attended.scores.float(), made.attended.maps.float()), dim=1)

        whole = through_volume(
            run, image, dims=self.dims, slices=self.slices, multiple=self.multiple, progress=progress
        )
        # Scores are joined where blocks overlap, and only then is a class chosen.
        image, scores, maps = whole.split([1, self.classes, whole.shape[1] - 1 - self.classes], dim=1)
        return NetworkOutput(
            translated=image,
            keeps_geometry=True,
            extras={f"attention {n + 1}": maps[:, n : n + 1] for n in range(maps.shape[1])},
            labels={"segmentation": scores.argmax(dim=1, keepdim=True).float()},
        )
