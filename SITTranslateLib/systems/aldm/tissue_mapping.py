"""Tissue intensity mapping: a scan in a target's intensities, by a transfer curve for each tissue.

One curve for a whole scan cannot part what is equally bright and not the same (fluid and bone in T1w); a curve for each
tissue can. How far a voxel is from its tissue's mean, in spreads of that tissue, is read from the scan at hand, so that
the scanner's gain, offset and curve do not matter. ALDM's generator, denoiser and detail then only say what brightness
and tissue do not. Not in the paper, whose generator has to find the order of brightness in latents of 4^3 voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities

#: Spreads from a tissue's mean that its curve reaches to on either side, and its points.
REACH, KNOTS = 4.0, 17
#: Least spread of a tissue, network units.
NARROWEST = 0.02
#: Least number of voxels of a class for its intensity to be used for the contrast.
ENOUGH = 40.0
#: Classes that any head has, and those that skull stripping takes away; the first is *outside*.
INNER, OUTER = slice(1, 5), slice(5, 7)
#: Number of intensity features of a brain, and of those that classify the contrast.
LOOKS, FEATURES = 8, 15
#: Standard deviations from the usual look that are believed.
UNUSUAL = 3.0


class Statistics(NamedTuple):
    """Voxels, mean and spread of each tissue in a scan ``(B, classes)``, network units."""

    total: Tensor
    mean: Tensor
    spread: Tensor


class TissueIntensityMapping(nn.Module):
    """Tissue intensity mapping of a scan to another contrast, with the usual intensities of its tissues there.

    ``sum_c p_c (h_c((x - m_c) / s_c) + a_c (x - m_c) + b_c . g)``: shares p of the tissues, their means m and spreads
    s, curves h, slopes a, and lifts b by how this head's brain looks (g), all of a source and a target.

    Args:
        contrasts: how many; a scan is one of them, and becomes one of them.
        structure_widths: of the :class:`TissueNetwork`.

    Attributes:
        curves, slopes, lifts: h ``(source, target, class, knot)``, a ``(source, target, class)``, b ``(source, target,
            class, look)``.
        usual, varies: mean and standard deviation of the looks in each source.
        centre, width, weight, bias: of the linear discriminants that say which contrast a scan is, and of the features
            that they take; about the middle of the contrasts, so that half precision holds them.
    """

    curves: Tensor
    slopes: Tensor
    lifts: Tensor
    usual: Tensor
    varies: Tensor
    centre: Tensor
    width: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, contrasts: int, structure_widths: Sequence[int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.structure = TissueNetwork(structure_widths)
        self.structure.requires_grad_(False)
        ways = (contrasts, contrasts, len(CLASSES))
        self.register_buffer("curves", torch.zeros(*ways, KNOTS))
        self.register_buffer("slopes", torch.zeros(ways))
        self.register_buffer("lifts", torch.zeros(*ways, LOOKS))
        self.register_buffer("usual", torch.zeros(contrasts, LOOKS))
        self.register_buffer("varies", torch.ones(contrasts, LOOKS))
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("width", torch.ones(FEATURES))
        self.register_buffer("weight", torch.zeros(contrasts, FEATURES))
        self.register_buffer("bias", torch.zeros(contrasts))
        self.eval()

    def train(self, mode: bool = True) -> TissueIntensityMapping:
        """Nothing here learns by gradients: the tissue network always is as it is in use."""
        return super().train(False)

    @torch.no_grad()
    def shares(self, image: Tensor) -> Tensor:
        """Share of each tissue ``(B, classes, K, J, I)`` of scans ``(B, 1, K, J, I)`` at 2 mm along R, A, S."""
        return tissue_probabilities(self.structure, image)

    def source_of(self, image: Tensor, shares: Tensor) -> Tensor:
        """Probability of each contrast ``(B, contrasts)`` that a scan with these tissues may be."""
        with torch.autocast(image.device.type, enabled=False):
            seen = (features_of(statistics(image.float(), shares.float())) - self.centre) / self.width
            return (seen @ self.weight.T + self.bias).softmax(dim=1)

    def forward(self, image: Tensor, shares: Tensor, source: Tensor, target: int) -> Tensor:
        """The scan in the brightness of a target, network units ``(B, 1, K, J, I)``.

        Args:
            image: ``(B, 1, K, J, I)``.
            shares: as :meth:`shares` gives them.
            source: probability of each contrast that the image may be ``(B, contrasts)``.
            target: index of a contrast.
        """
        # Sums over a whole head, and places between knots, need more digits than a network's layers do.
        with torch.autocast(image.device.type, enabled=False):
            return self._mapped(image.float(), shares.float(), source.to(self.curves), target)

    def _mapped(self, image: Tensor, shares: Tensor, source: Tensor, target: int) -> Tensor:
        seen = statistics(image, shares)
        unusual = (looks_of(seen)[:, None] - self.usual) / self.varies
        lifts = torch.einsum("bs,bsl,scl->bc", source, unusual.clamp(-UNUSUAL, UNUSUAL), self.lifts[:, target])
        curves = torch.einsum("bs,sck->bck", source, self.curves[:, target])
        slopes = torch.einsum("bs,sc->bc", source, self.slopes[:, target])
        mapped = torch.zeros_like(image[:, 0])
        for n, scan in enumerate(image[:, 0]):
            for index in range(len(CLASSES)):
                off, curve = scan - seen.mean[n, index], curves[n, index]
                below, part = knots_of(off / seen.spread[n, index])
                bright = torch.lerp(curve[below], curve[below + 1], part) + lifts[n, index] + slopes[n, index] * off
                mapped[n].addcmul_(shares[n, index], bright)
        return mapped[:, None].clamp(min=0.0)


def statistics(image: Tensor, shares: Tensor) -> Statistics:
    """Intensity of each tissue in scans ``(B, 1, K, J, I)`` with shares ``(B, classes, K, J, I)``."""
    weight, bright = shares.flatten(2), image[:, 0].flatten(1)
    total = weight.sum(dim=2)
    mean = torch.einsum("bcn,bn->bc", weight, bright) / total.clamp(min=1.0)
    square = torch.einsum("bcn,bn->bc", weight, bright.square()) / total.clamp(min=1.0)
    return Statistics(total, mean, (square - mean.square()).clamp(min=0.0).sqrt().clamp(min=NARROWEST))


def knots_of(off: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the knot below each distance in spreads, and the part of the way to the next; at the ends the ends'."""
    place = (off.clamp(-REACH, REACH) + REACH) * ((KNOTS - 1) / (2.0 * REACH))
    below = place.long().clamp(max=KNOTS - 2)
    return below, place - below


def looks_of(seen: Statistics) -> Tensor:
    """Intensity features of a brain ``(B, LOOKS)``: means and relative spreads of its tissues."""
    inner = seen.mean[:, INNER]
    return torch.cat((inner, seen.spread[:, INNER] / _apart(inner)), dim=1)


def features_of(seen: Statistics) -> Tensor:
    """Features that classify contrasts ``(B, FEATURES)``: relative intensities of tissues, and if there is a skull."""
    inner, there = seen.mean[:, INNER], (seen.total[:, OUTER] > ENOUGH).float()
    middle, apart = inner.mean(dim=1, keepdim=True), _apart(inner)
    parts = (
        (inner - middle) / apart,
        seen.spread[:, INNER] / apart,
        there * (seen.mean[:, OUTER] - middle) / apart,
        there,
        (apart / middle.clamp(min=NARROWEST)).log(),
        apart,
        middle,
    )
    return torch.cat(parts, dim=1)


def _apart(inner: Tensor) -> Tensor:
    """Distance of the brain's tissues in intensity ``(B, 1)``."""
    return inner.std(dim=1, correction=0, keepdim=True).clamp(min=NARROWEST)
