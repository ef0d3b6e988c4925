"""How much images look like real ones of their kind, whoever they show: a kernel distance of network features.

Binkowski et al., "Demystifying MMD GANs", ICLR 2018 (KID). Theirs are features of photographs; here they are
the deepest ones of the tissue network that ships, one sample for each place in the brain, so that nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from SITTranslateLib.structure.network import TissueNetwork
from SITTranslateLib.structure.tissues import normalised

#: Samples ``(n, d)`` of an image ``(K, J, I)`` at 2 mm inside a mask of its shape.
Features = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]


def features_of(network: TissueNetwork) -> Features:
    """Samples by a tissue network: what its deepest level says of each of its voxels that is mostly brain."""

    def features(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        seen = torch.from_numpy(normalised(np.where(mask, image, np.float32(0.0))))[None, None]
        inside = torch.from_numpy(mask.astype(np.float32))[None, None]
        padding = [end for n in reversed(image.shape) for end in (0, -n % network.multiple)]
        found, inside = functional.pad(seen, padding), functional.pad(inside, padding)
        with torch.inference_mode():
            for depth, level in enumerate(network.down):
                found = level(found if depth == 0 else functional.max_pool3d(found, 2))
            most = functional.avg_pool3d(inside, network.multiple)[0, 0] > 0.5
            return np.asarray(found[0][:, most].T.numpy(), dtype=np.float32)

    return features


def kernel_distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Squared maximum mean discrepancy of two sets of samples, unbiased (it may be below 0 for sets of one kind).

    Args:
        one, other: ``(n, d)`` and ``(m, d)``, at least two samples each; scaled by the spread of ``other``.

    Returns:
        With the kernel ``(x . y / d + 1)^3``.

    Raises:
        ValueError: there are fewer than two samples on a side.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError("a distance of two kinds of images needs at least two samples of each")
    centre, spread = other.mean(axis=0), other.std(axis=0) + 1e-6
    x, y = (((s - centre) / spread).astype(np.float64) for s in (one, other))

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((a @ b.T / a.shape[1] + 1.0) ** 3)

    def within(a: NDArray[np.float64]) -> float:
        values = kernel(a, a)
        return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2.0 * float(kernel(x, y).mean())
