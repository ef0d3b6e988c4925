"""Refinement of tissue probabilities: the network's prior, combined with the scan's intensities.

Expectation maximisation of a Gaussian mixture whose mixing proportions differ from voxel to voxel (Van Leemput et al.,
IEEE TMI 18(10):897-908, 1999; Ashburner and Friston, "Unified segmentation", NeuroImage 26:839-851, 2005). There the
proportions are an atlas; here they are the probabilities of a network that knows no contrast. How bright each tissue is
comes from the scan at hand, so that the result knows no contrast either.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GAUSSIANS = (1, 1, 1, 1, 1, 3, 2)
"""How many make up each of :data:`SITTranslateLib.segmentation.CLASSES`: fat, muscle and marrow are not one tissue."""
ITERATIONS = 8
#: Network units: no tissue is more even than this.
NARROWEST = 0.01
#: Density that every brightness has in every class: a voxel unlike all tissues stays what its place makes it.
ANYTHING = 1e-6
#: Least probability of a class in a place.
LEAST = 1e-4
#: What is air for certain has no part in it.
AIR = 0.999


@torch.no_grad()
def refined(probabilities: Tensor, image: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Probabilities of the classes given the place and the scan's brightness there.

    Args:
        probabilities: ``(B, classes, K, J, I)``, of the place; they sum to 1.
        image: ``(B, 1, K, J, I)``, the scan as the network sees it, in [0, 1]; 0 is what stripping took away or air.
        iterations: of expectation and maximisation.

    Returns:
        As ``probabilities``; where the image is 0, or only air can be, they stay as they are.
    """
    # Sums over a whole head need more digits than a network's layers do.
    with torch.autocast(image.device.type, enabled=False):
        pairs = zip(probabilities.float(), image.float(), strict=True)
        return torch.stack([_one(of_place, scan[0], iterations) for of_place, scan in pairs])


def _one(probabilities: Tensor, image: Tensor, iterations: int) -> Tensor:
    seen = (probabilities[0] < AIR) & (image > 0)
    result = probabilities.clone()
    if int(seen.sum()) >= 2:
        result[:, seen] = posterior(probabilities[:, seen], image[seen], iterations)
    return result


def posterior(probabilities: Tensor, bright: Tensor, iterations: int = ITERATIONS, every: int = 1) -> Tensor:
    """Probabilities of the classes of single voxels given their place and brightness ``(classes, N)``.

    Args:
        probabilities: of the place ``(classes, N)``, float32.
        bright: network units ``(N,)``.
        iterations: of expectation and maximisation.
        every: the Gaussians are fitted to each voxel of this number alone, for speed.
    """
    expected = probabilities.clamp(min=LEAST)
    expected /= expected.sum(dim=0)
    some, values = expected[:, ::every].contiguous(), bright[::every].contiguous()
    classes, share, mean, variance = _start(values, some)
    for _ in range(iterations - 1):
        density = _density(values, share, mean, variance)
        place = some / (some * _of_class(density, classes, len(some))).sum(dim=0)
        belongs = density.mul_(place[classes])
        weight = belongs.sum(dim=1) + 1e-3
        mean = (belongs @ values) / weight
        spread = (values - mean[:, None]).square_().mul_(belongs)
        variance = (spread.sum(dim=1) / weight).clamp(min=NARROWEST**2)
        share = weight / torch.zeros(len(some), device=bright.device).index_add_(0, classes, weight)[classes]
    found = expected.mul_(_of_class(_density(bright, share, mean, variance), classes, len(expected)))
    return found.div_(found.sum(dim=0))


def _of_class(density: Tensor, classes: Tensor, count: int) -> Tensor:
    """Density of each brightness in each class ``(classes, N)``: the sum over the class's Gaussians."""
    return torch.full_like(density[:count], ANYTHING).index_add_(0, classes, density)


def _start(bright: Tensor, expected: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Class, share of the class, mean and variance of each Gaussian, from the expected probabilities alone."""
    classes, share, mean, variance = [], [], [], []
    for index, weight in enumerate(expected):
        count = GAUSSIANS[index] if index < len(GAUSSIANS) else 1
        centre = (weight @ bright) / weight.sum()
        width = ((weight @ (bright - centre).square()) / weight.sum()).sqrt()
        for offset in torch.linspace(-1, 1, count).tolist() if count > 1 else [0.0]:
            classes.append(index)
            share.append(1.0 / count)
            mean.append(centre + offset * width)
            variance.append((width / count).square().clamp(min=NARROWEST**2))
    made = torch.tensor(classes, device=bright.device), torch.tensor(share, device=bright.device)
    return *made, torch.stack(mean), torch.stack(variance)


def _density(bright: Tensor, share: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Density of each brightness in each Gaussian, times the Gaussian's share: ``(Gaussians, voxels)``."""
    off = (bright - mean[:, None]).square_().div_(-2.0 * variance[:, None])
    return off.exp_().mul_((share / (2.0 * math.pi * variance).sqrt())[:, None])
