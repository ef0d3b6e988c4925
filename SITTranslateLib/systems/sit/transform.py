"""The spatial-intensity transform around any generator, in 2D or 3D: ``translated = (image + d) o exp(-v)``.

The generator gives channels; this module makes of them an intensity change and a field, and applies both. Wang, Rost,
Golland, "Spatial-Intensity Transforms for Medical Image-to-Image Translation", IEEE TMI 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Of each variant: whether the generator gives an image, an intensity change, a field, and whether that is a velocity.
VARIANTS = {
    "raw": (True, False, False, False),
    "it": (False, True, False, False),
    "st": (False, False, True, False),
    "dt": (False, False, True, True),
    "sit": (False, True, True, False),
    "dit": (False, True, True, True),
}


class SpatialIntensityParts(NamedTuple):
    """Outputs of a forward pass; fields ``(B, D, ...)`` in the module's unit, channels along the image's axes in order.

    Attributes:
        translated: ``(B, C, ...)``.
        intensity_change: ``d`` on the source's grid ``(B, C, ...)``; None without one.
        velocity: stationary velocity of the motion; None for variants without one.
        sampling: where each voxel of the translated image comes from, relative to it; None if nothing moves.
    """

    translated: Tensor
    intensity_change: Tensor | None
    velocity: Tensor | None
    sampling: Tensor | None


class SpatialIntensityTransform(nn.Module):
    """Wraps a generator; what it returns is an image that can be taken apart.

    >>> generator = UNet(2, 1, SpatialIntensityTransform.channels("dit", 2), (16, 32), (2,))   # doctest: +SKIP
    >>> translated, change, velocity, sampling = SpatialIntensityTransform(generator, "dit", 2)(image)  # doctest: +SKIP

    Args:
        generator: gives ``channels(variant, dimensions, image_channels)`` channels of the image's size.
        variant: raw (image), it (intensity), st (displacement), dt (velocity), sit (displacement and intensity), dit
            (velocity and intensity; the paper's SIT).
        dimensions: 2 or 3.
        spacing: of the voxels along each axis in the unit of the fields; 1 means voxels.
        image_channels: of the image.
        smoothing: standard deviation of the Gaussian that band-limits the field, in its unit; 0 for none.
        bound: soft upper bound of the field's length, in its unit.
        intensity_bound: of ``|d|``.
        gain: factor of the generator's output; small, it starts near the identity and has a gradient all the same.
        steps: squarings of the exponential.

    Raises:
        ValueError: a variant or dimensions that there are not.
    """

    def __init__(
        self,
        generator: nn.Module,
        variant: str = "dit",
        dimensions: int = 3,
        *,
        spacing: float | Sequence[float] = 1.0,
        image_channels: int = 1,
        smoothing: float = 2.0,
        bound: float = 12.0,
        intensity_bound: float = 0.5,
        gain: float = 0.1,
        steps: int = 7,
    ) -> None:
        super().__init__()
        self.expected = self.channels(variant, dimensions, image_channels)
        spacings = [float(spacing)] * dimensions if isinstance(spacing, (int, float)) else [float(s) for s in spacing]
        if len(spacings) != dimensions or min(spacings) <= 0:
            raise ValueError(f"spacing must be one positive number, or {dimensions} of them")
        self.generator = generator
        self.variant, self.dimensions, self.spacing, self.image_channels = variant, dimensions, spacings, image_channels
        self.smoothing, self.bound, self.intensity_bound = smoothing, bound, intensity_bound
        self.gain, self.steps = gain, steps

    @staticmethod
    def channels(variant: str, dimensions: int, image_channels: int = 1) -> int:
        """Number of channels of the generator's output: image or intensity change first, then the field.

        Raises:
            ValueError: a variant or dimensions that there are not.
        """
        if variant not in VARIANTS:
            raise ValueError(f"variant '{variant}' is not one of {', '.join(VARIANTS)}")
        if dimensions not in (2, 3):
            raise ValueError(f"dimensions must be 2 or 3, not {dimensions}")
        image, intensity, field, _ = VARIANTS[variant]
        return image_channels * (image or intensity) + dimensions * field

    def forward(self, image: Tensor, *arguments: Any, **further: Any) -> SpatialIntensityParts:
        """Translate ``(B, C, ...)``; other arguments (timesteps, conditions) go to the generator.

        Raises:
            ValueError: the generator gives another number of channels, or another size.
        """
        output = self.generator(image, *arguments, **further)
        raw: Tensor = output[0] if isinstance(output, (list, tuple)) else output
        if raw.shape[1] != self.expected or raw.shape[2:] != image.shape[2:]:
            raise ValueError(
                f"the generator gives {tuple(raw.shape[1:])}; variant '{self.variant}' needs {self.expected} channels "
                f"of the image's size {tuple(image.shape[2:])}"
            )
        whole, intensity, moves, is_velocity = VARIANTS[self.variant]
        with torch.autocast(image.device.type, enabled=False):
            raw, image = raw.float(), image.float()
            if whole:
                return SpatialIntensityParts(raw, None, None, None)
            change = velocity = sampling = None
            if intensity:
                scaled = self.gain * raw[:, : self.image_channels]
                change = self.intensity_bound * torch.tanh(scaled / self.intensity_bound)
            if moves:
                field = self._bounded(self._smooth(self.gain * raw[:, self.expected - self.dimensions :]))
                velocity = field if is_velocity else None
                sampling = self.exponential(field, -1.0) if is_velocity else field
            return SpatialIntensityParts(self.apply_parts(image, change, sampling), change, velocity, sampling)

    def at(self, image: Tensor, parts: SpatialIntensityParts, strength: float) -> Tensor:
        """The image with a share of the change: ``(image + t d) o exp(-t v)``, without running the generator."""
        if parts.intensity_change is None and parts.sampling is None:
            return image + strength * (parts.translated - image)
        change = None if parts.intensity_change is None else strength * parts.intensity_change
        sampling = parts.sampling
        if sampling is not None:
            scaled = strength * sampling
            sampling = scaled if parts.velocity is None else self.exponential(parts.velocity, -strength)
        return self.apply_parts(image, change, sampling)

    def apply_parts(self, image: Tensor, change: Tensor | None, sampling: Tensor | None) -> Tensor:
        """``(image + d)(y + u(y))``; a missing part is the identity."""
        changed = image if change is None else image + change
        return changed if sampling is None else self.warp(changed, sampling)

    def exponential(self, velocity: Tensor, time: float = 1.0) -> Tensor:
        """Displacement of the flow of a stationary velocity after ``time``, by scaling and squaring."""
        field = velocity * (time / 2**self.steps)
        for _ in range(self.steps):
            field = field + self.warp(field, field)
        return field

    def warp(self, image: Tensor, sampling: Tensor) -> Tensor:
        """``image(y + u(y))``, linear, the border repeated."""
        sizes = image.shape[2:]
        lines = [torch.arange(n, dtype=sampling.dtype, device=sampling.device) for n in sizes]
        places = []
        for axis, line in enumerate(torch.meshgrid(*lines, indexing="ij")):
            index = line + sampling[:, axis] / self.spacing[axis]
            places.append(2.0 * index / max(sizes[axis] - 1, 1) - 1.0)
        # grid_sample wants the last axis first.
        grid = torch.stack(places[::-1], dim=-1)
        return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)

    def _smooth(self, field: Tensor) -> Tensor:
        for axis, spacing in enumerate(self.spacing):
            sigma = self.smoothing / spacing
            if sigma <= 0:
                continue
            radius = max(1, int(3.0 * sigma + 0.5))
            places = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
            weights = torch.exp(-0.5 * (places / sigma) ** 2)
            shape = [1] * (self.dimensions + 2)
            shape[axis + 2] = 2 * radius + 1
            kernel = (weights / weights.sum()).reshape(shape).expand(self.dimensions, *shape[1:]).contiguous()
            padding = [0] * (2 * self.dimensions)
            padding[2 * (self.dimensions - 1 - axis)] = padding[2 * (self.dimensions - 1 - axis) + 1] = radius
            padded = functional.pad(field, padding, mode="replicate")
            convolve = functional.conv2d if self.dimensions == 2 else functional.conv3d
            field = convolve(padded, kernel, groups=self.dimensions)
        return field

    def _bounded(self, field: Tensor) -> Tensor:
        length = field.square().sum(dim=1, keepdim=True).add(1e-12).sqrt() / self.bound
        return field * (torch.tanh(length) / length)
