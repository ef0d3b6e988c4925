"""The first stage of ALDM: a 3D vector-quantised autoencoder with a quarter of a scan's resolution.

van den Oord, Vinyals, Kavukcuoglu, NeurIPS 2017, with the codebook as a moving average. The decoder sees quantised and
unquantised latents in training, so that what is translated need not be rounded to one of some hundred codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets.vqvae import VQVAE
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import standardised

#: How many voxels of the scan are one of the latent, along each axis.
FACTOR = 4
#: Latent slices that one slice of the image depends on, on either side: the decoder's convolutions added up.
REACH = 5


class Codec(nn.Module):
    """Latents of unit variance of scans in network units, and back.

    Args:
        latent: channels of the latent.
        codes: entries of the codebook.
        widths: channels at half and at a quarter of the resolution.
        decay: of the codebook's moving average.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, latent: int = 8, codes: int = 512, widths: Sequence[int] = (24, 48), decay: float = 0.97
    ) -> None:
        super().__init__()
        down, up = [(2, 4, 1, 1)] * len(widths), [(2, 4, 1, 1, 0)] * len(widths)
        if len(widths) != 2:
            raise ValueError("the codec has two widths, since it halves the resolution twice")
        self.autoencoder = VQVAE(
            3, 1, 1, tuple(widths), 1, tuple(widths), down, up, codes, latent, decay=decay, ddp_sync=False
        )
        # Diffusion wants unit variance; measured once the autoencoder is trained.
        self.register_buffer("mean", torch.zeros(1, latent, 1, 1, 1))
        self.register_buffer("spread", torch.ones(1, latent, 1, 1, 1))

    def encode(self, image: Tensor) -> Tensor:
        """Latents ``(B, latent, K/4, J/4, I/4)`` of images ``(B, 1, K, J, I)``, not quantised, of unit variance."""
        return (self.autoencoder.encode(standardised(image)).float() - self.mean) / self.spread

    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(B, 1, K, J, I)`` in network units of latents."""
        return self.autoencoder.decode(latents * self.spread + self.mean).float() / 4.0 + 0.3

    def decode_in_slabs(self, latents: Tensor, slices: int) -> Tensor:
        """As :meth:`decode`, ``slices`` latent slices at a time with all that they depend on: the same values, less
        memory."""
        count = latents.shape[2]
        parts = []
        for first in range(0, count, slices):
            low, high = max(0, first - REACH), min(count, first + slices + REACH)
            start, stop = FACTOR * (first - low), FACTOR * (min(first + slices, count) - low)
            parts.append(self.decode(latents[:, :, low:high])[:, :, start:stop])
        return torch.cat(parts, dim=2)

    def quantised(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents rounded to the codebook (straight-through gradient), and the loss that draws them to it."""
        # Half precision would choose the wrong code.
        with torch.autocast(latents.device.type, enabled=False):
            codes, loss = self.autoencoder.quantize(latents.float() * self.spread + self.mean)
        return (codes - self.mean) / self.spread, loss

    @property
    def settled(self) -> bool:
        """Whether the codebook has seen latents; before that, rounding to it would draw all of them to one code."""
        return bool(self.autoencoder.quantizer.quantizer.ema_cluster_size.sum() > 0)

    @torch.no_grad()
    def settle(self, latents: Tensor) -> None:
        """Begin the codebook with some of the latents, drawn with torch's random numbers."""
        book = self.autoencoder.quantizer.quantizer
        native = (latents.float() * self.spread + self.mean).movedim(1, -1).flatten(0, -2)
        chosen = native[torch.randint(len(native), (book.num_embeddings,), device=native.device)]
        book.embedding.weight.copy_(chosen)
        book.ema_w.copy_(chosen)
        book.ema_cluster_size.fill_(1.0)

    @torch.no_grad()
    def measure(self, latents: Tensor) -> None:
        """Take mean and standard deviation by channel from latents as :meth:`encode` gives them."""
        native = latents * self.spread + self.mean
        self.mean = native.mean(dim=(0, 2, 3, 4), keepdim=True)
        self.spread = native.std(dim=(0, 2, 3, 4), keepdim=True).clamp(min=1e-4)
