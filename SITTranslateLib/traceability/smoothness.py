"""Bending penalty of a velocity, and the Gauss-Newton step that balances it with the images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from SITTranslateLib.traceability.similarity import Pull

CORRELATION_MM = 60.0
"""Bends over longer distances than this cost little."""
ROUNDS = 8
"""Of conjugate gradients in a step; the next step goes on from there."""
STIFFNESS_SHARE = 0.03
"""Of the images' mean stiffness in the preconditioner: most voxels are flat, and theirs converge last."""


class Smoothness:
    """Bending energy ``strength |(1 / L^2 - Laplace) v|^2`` of a velocity in mm, diagonal in cosine space.

    Args:
        shape: of the velocity's grid ``(K, J, I)``.
        spacing: of that grid in mm.
        strength: in mm^2; larger is smoother.
        device: of the tensors.
    """

    def __init__(self, shape: tuple[int, int, int], spacing: float, strength: float, device: torch.device) -> None:
        self._transforms = [_cosines(n).to(device) for n in shape]
        k, j, i = (
            (2.0 - 2.0 * torch.cos(math.pi * torch.arange(n, dtype=torch.float64) / n)) / spacing**2 for n in shape
        )
        frequency = k[:, None, None] + j[None, :, None] + i[None, None, :]
        self._price = (strength * (frequency + 1.0 / CORRELATION_MM**2) ** 2).float().to(device)

    def step(self, pull: Pull, velocity: Tensor) -> Tensor:
        """The change of the velocity that minimises images and smoothness together, by a few conjugate gradients.

        Preconditioned by the smoothness ``P`` with a share ``s`` of the images' mean stiffness, which cosine space
        inverts exactly: ``z = (P + s)^-1 r`` also gives ``P z = r - s z``, so that a round needs two transforms only.
        Nothing is read back from the device.
        """
        stiffness = STIFFNESS_SHARE * pull.hessian[:, [0, 3, 5]].mean() + 1e-9
        inverse = 1.0 / (self._price + stiffness)
        residual = pull.force - self._backward(self._forward(velocity) * self._price)
        change = torch.zeros_like(velocity)
        direction = soft = self._backward(self._forward(residual) * inverse)
        bent = residual - stiffness * soft
        fit = (residual * soft).sum()
        for _ in range(ROUNDS):
            image = _times(pull.hessian, direction) + bent
            length = fit / (direction * image).sum().clamp(min=1e-20)
            change = change + length * direction
            residual = residual - length * image
            soft = self._backward(self._forward(residual) * inverse)
            previous, fit = fit, (residual * soft).sum()
            share = fit / previous.clamp(min=1e-20)
            direction, bent = soft + share * direction, residual - stiffness * soft + share * bent
        return change

    def _forward(self, field: Tensor) -> Tensor:
        k, j, i = self._transforms
        return torch.einsum("ak,bckm->bcam", k, (j @ (field @ i.T)).flatten(3)).view(field.shape)

    def _backward(self, field: Tensor) -> Tensor:
        k, j, i = self._transforms
        return torch.einsum("ka,bckm->bcam", k, (j.T @ (field @ i)).flatten(3)).view(field.shape)


def _cosines(count: int) -> Tensor:
    """Orthonormal cosine transform (DCT-II) as a matrix."""
    frequency = torch.arange(count, dtype=torch.float64)[:, None]
    place = torch.arange(count, dtype=torch.float64)[None]
    matrix = torch.cos(math.pi * (place + 0.5) * frequency / count) * math.sqrt(2.0 / count)
    matrix[0] /= math.sqrt(2.0)
    return matrix.float()


def _times(hessian: Tensor, field: Tensor) -> Tensor:
    xx, xy, xz, yy, yz, zz = hessian.unbind(dim=1)
    x, y, z = field.unbind(dim=1)
    return torch.stack((xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z), dim=1)
