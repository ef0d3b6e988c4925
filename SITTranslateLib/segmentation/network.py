"""Contrast-agnostic tissue segmentation: a 3D U-Net, trained on random contrasts.

Idea of the training: Billot et al., "SynthSeg: segmentation of brain MRI scans of any contrast and resolution without
retraining", Medical Image Analysis 2023. The network is a plain U-Net (Cicek et al., MICCAI 2016).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from SITTranslateLib.segmentation.tissues import CLASSES


class TissueNetwork(nn.Module):
    """Logits of the tissue classes.

    Args:
        widths: channels of each level; each level halves the resolution.
        classes: number of classes.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 96), classes: int = len(CLASSES)) -> None:
        super().__init__()
        widths = tuple(widths)
        self.multiple = 2 ** (len(widths) - 1)
        inputs = (1, *widths[:-1])
        self.down = nn.ModuleList(_level(i, o) for i, o in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(_level(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, classes, K, J, I)`` of normalised scans ``(B, 1, K, J, I)`` at 2 mm, any size."""
        size = image.shape[2:]
        features = functional.pad(image, [end for n in reversed(size) for end in (0, -n % self.multiple)])
        kept: list[Tensor] = []
        for depth, level in enumerate(self.down):
            features = level(features if depth == 0 else functional.max_pool3d(features, 2))
            kept.append(features)
        for level, skip in zip(self.up, kept[-2::-1], strict=True):
            raised = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = level(torch.cat((raised, skip), dim=1))
        logits: Tensor = self.head(features)
        return logits[:, :, : size[0], : size[1], : size[2]]


def _level(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions. Normalised by each block's own statistics they learn fast, by fixed ones in the end.

    Statistics of the image at hand would depend on how much air it shows: a network trained on blocks fails on heads.
    """
    parts: list[nn.Module] = []
    for channels in (inputs, outputs):
        parts += [
            nn.Conv3d(channels, outputs, 3, padding=1),
            nn.BatchNorm3d(outputs, momentum=0.02),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*parts)


def for_inference(network: TissueNetwork) -> TissueNetwork:
    """A copy in bfloat16 with its normalisations folded into the convolutions: less than half the time.

    It takes images in bfloat16, fastest with channels last.
    """
    folded = copy.deepcopy(network).eval()
    for level in (*folded.down, *folded.up):
        parts = list(level)  # type: ignore[call-overload]
        for index in range(0, len(parts), 3):
            level[index] = fuse_conv_bn_eval(*parts[index : index + 2])  # type: ignore[operator]
            level[index + 1] = nn.Identity()  # type: ignore[operator]
    # Stubs of torch do not know the format of 3D networks.
    return folded.to(torch.bfloat16).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]
