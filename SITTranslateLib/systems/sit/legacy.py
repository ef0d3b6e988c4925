"""The published SIT layer: 2D slices, pixel units, full-resolution field, no smoothing, no bound.

Kept for parity: intensity first, ``tanh`` of its channel; a velocity integrated by seven squarings whose border is
zero, then a pull warp whose border is repeated (the defaults of MONAI's ``DVF2DDF`` and ``Warp``, which this calls).
The field's channels are (row, column), and it is the *sampling* field's velocity, unlike everywhere else here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Channels of each variant: intensity change, field.
CHANNELS = {"raw": (1, 0), "it": (1, 0), "st": (0, 2), "dt": (0, 2), "sit": (1, 2), "dit": (1, 2)}


class LegacyLayer(nn.Module):
    """The paper's output layer; ``variant`` is raw, it, st, dt, sit or dit (the paper's "SIT" is ``dit``)."""

    def __init__(self, variant: str) -> None:
        # Here, since MONAI takes two seconds to import and no shipped model has this layer.
        from monai.networks.blocks import DVF2DDF, Warp

        super().__init__()
        self.variant = variant
        self.integrate = DVF2DDF() if variant in ("dt", "dit") else None
        self.warp = Warp()

    def forward(self, image: Tensor, raw: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Slices ``(B, 1, J, I)`` and generator output ``(B, n, J, I)``.

        Returns:
            the translated slices, the intensity change, and the sampling field in pixels ``(B, 2, J, I)``.
        """
        if self.variant == "raw":
            return raw, None, None
        intensities, _ = CHANNELS[self.variant]
        change = torch.tanh(raw[:, :1]) if intensities else None
        field = raw[:, intensities:] if raw.shape[1] > intensities else None
        if field is not None and self.integrate is not None:
            field = self.integrate(field)
        changed = image if change is None else image + change
        return (changed if field is None else self.warp(changed, field)), change, field
