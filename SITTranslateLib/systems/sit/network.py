"""SIT as a network: a conditional U-Net whose output is a change of shape and a change of intensity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.systems.sit import layer
from SITTranslateLib.systems.sit.courses import course_values, courses_of
from SITTranslateLib.systems.sit.legacy import CHANNELS, LegacyLayer
from SITTranslateLib.systems.sit.unet import ConditionalUNet, FullResolutionHead

#: Potential, mm^2, of a network output of 1: brings the outputs near 1.
POTENTIAL = 100.0
VARIANTS = ("raw", "it", "st", "dt", "sit", "dit")


class SITParts(NamedTuple):
    """Outputs of a forward pass; shapes as in :mod:`SITTranslateLib.fields.tensors`, fields in mm RAS.

    ``velocity`` lies on the half-resolution grid (of structures at the corners of voxels), everything else on the
    image's.
    """

    translated: Tensor
    intensity_change: Tensor | None
    velocity: Tensor | None
    sampling: Tensor | None


class SITNetwork(nn.Module):
    """Attribute-conditioned translation by ``(x + d) o exp(-v)``, in 3D.

    Velocity (or displacement) and intensity change are sums over attributes of *requested value times a map*, so
    that no request gives the identity exactly, whatever the weights; the maps may themselves depend on the request.

    Args:
        variant: raw (image), it (intensity), st (displacement), dt (velocity), sit (displacement and intensity),
            dit (velocity and intensity; the paper's SIT).
        attributes: names in the order of the request's code.
        scales: value of each attribute that counts as 1 (10 years, say).
        widths: channels of the U-Net's levels.
        smoothing_mm: Gaussian that band-limits the field, standard deviation.
        bound_mm: soft upper bound of the field's length.
        intensity_bound: bound of ``|d|`` in normalised intensity.
        steps: squarings.
        legacy: the paper's 2D layer on axial slices, for parity (full resolution, pixels, no smoothing).
        courses: of :mod:`SITTranslateLib.systems.sit.courses`, named as the attributes. The maps then depend on the
            image alone, and the velocity is exactly additive in time (a ``bound_mm`` of 0 leaves the bound out).
        hold_edges: whether nothing moves where the scanned region ends.
        kernel_mm, kernel_weights: sigma and weight of Gaussians. With them the maps are potentials ``p`` and a window
            ``W``, and the velocity is ``W K * (W grad p)``, as that of prescribed change is.
        structures: hash of the parcellation weights on whose structures the velocities of the courses are solved for,
            instead of by a U-Net of the scan; needs courses and the variant ``dt``.
    """

    def __init__(
        self,
        variant: str,
        attributes: Sequence[str],
        scales: Sequence[float],
        widths: Sequence[int] = (32, 64, 96),
        smoothing_mm: float = 3.0,
        bound_mm: float = 12.0,
        intensity_bound: float = 0.5,
        steps: int = 5,
        legacy: bool = False,
        courses: Mapping[str, str] | None = None,
        hold_edges: bool = True,
        kernel_mm: Sequence[float] = (),
        kernel_weights: Sequence[float] = (),
        structures: str = "",
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant '{variant}' is not one of {', '.join(VARIANTS)}")
        if len(attributes) != len(scales):
            raise ValueError("attributes and scales differ in length")
        self.courses, self.hold_edges = courses_of(courses or {}), hold_edges
        if self.courses and [course.name for course in self.courses] != list(attributes):
            raise ValueError("attributes and courses differ in their names")
        self.variant, self.attributes, self.scales = variant, tuple(attributes), tuple(float(s) for s in scales)
        self.smoothing_mm, self.bound_mm, self.intensity_bound, self.steps = (
            smoothing_mm,
            bound_mm,
            intensity_bound,
            steps,
        )
        self.kernel = tuple(zip(map(float, kernel_mm), map(float, kernel_weights), strict=True))
        count = len(self.attributes)
        self.structures = structures
        self.legacy_layer: LegacyLayer | None = None
        if structures:
            if not (self.courses and variant == "dt"):
                raise ValueError("structures need courses and the variant dt")
            # Imported where it is used: its segmentation imports SciPy, which other networks of SIT do not need.
            from SITTranslateLib.systems.sit.structures import StructureHead, parcellation_sha256

            if structures != parcellation_sha256():
                raise ValueError("the model was trained on structures of another version of the parcellation")
            self.field_head: nn.Module = StructureHead(self.courses)
            return
        self.unet = ConditionalUNet(tuple(widths), 2 * count)
        if legacy:
            self.legacy_layer = LegacyLayer(variant)
            self.legacy_head = FullResolutionHead(widths[0], sum(CHANNELS[variant]), zero=False)
            return
        if variant in ("st", "dt", "sit", "dit"):
            head = nn.Conv3d(widths[0], count + 1 if self.kernel else 3 * count, 3, padding=1)
            # Nearly zero: the identity at the start, yet with a gradient.
            nn.init.normal_(head.weight, std=1e-5)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
            self.field_head = head
        if variant in ("it", "sit", "dit"):
            self.intensity_head = FullResolutionHead(widths[0], count)
        if variant == "raw":
            self.image_head = FullResolutionHead(widths[0], 1, zero=False)

    def code(self, request: Mapping[str, float]) -> Tensor:
        """The request as ``(1, 2n)``: scaled values, then presence (1 asked for, 0 left alone).

        Raises:
            InputError: a request that the courses do not cover.
        """
        if self.courses:
            request = dict(zip(self.attributes, course_values(self.courses, request), strict=True))
        values = [request.get(name, 0.0) / scale for name, scale in zip(self.attributes, self.scales, strict=True)]
        present = [float(name in request) for name in self.attributes]
        device = next(self.parameters()).device
        return torch.tensor([values + present], dtype=torch.float32, device=device)

    def forward(
        self,
        image: Tensor,
        code: Tensor,
        axes: NDArray[np.float64],
        use_intensity: bool = True,
        features: Tensor | None = None,
    ) -> SITParts:
        """Translate a batch.

        Args:
            image: ``(B, 1, K, J, I)`` normalised, even sizes.
            code: ``(B, 2n)`` as :meth:`code` makes it.
            axes: 3x3 of the image's grid (index steps to RAS mm).
            use_intensity: False leaves ``d`` out (the geometry-first part of training).
            features: :func:`structure_features` of the image, where known. Of structures, only the velocity follows.
        """
        if self.structures:
            return self._of_structures(image, code, axes, features)
        if self.legacy_layer is not None:
            return self._legacy(image, code, axes)
        # Additive in time: the maps know nothing of the request.
        features = self.unet(image, torch.zeros_like(code) if self.courses and self.variant != "raw" else code)
        if self.variant == "raw":
            return SITParts(self.image_head(features, image).float(), None, None, None)
        values = code[:, : len(self.attributes)]
        change = velocity = sampling = None
        if hasattr(self, "intensity_head") and use_intensity:
            maps = self.intensity_head(features, image).float()
            total = (values[:, :, None, None, None] * maps).sum(dim=1, keepdim=True)
            change = self.intensity_bound * torch.tanh(total / self.intensity_bound)
        if hasattr(self, "field_head"):
            field = self._field(self.field_head(features).float(), values, axes)
            if self.variant in ("dt", "dit"):
                velocity = field
                sampling = layer.sampling_of(field, axes, self.steps)
            else:
                sampling = layer.to_full_resolution(field)
        translated = layer.spatial_intensity_transform(image, change, sampling, axes)
        return SITParts(translated, change, velocity, sampling)

    def _of_structures(
        self, image: Tensor, code: Tensor, axes: NDArray[np.float64], features: Tensor | None
    ) -> SITParts:
        from SITTranslateLib.systems.sit.structures import structure_features

        seen = structure_features(image) if features is None else features
        return SITParts(image, None, self.field_head(seen, code[:, : len(self.attributes)], axes), None)

    def _field(self, maps: Tensor, values: Tensor, axes: NDArray[np.float64]) -> Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            if self.kernel:
                window = torch.sigmoid(maps[:, -1:])
                potential = (values[:, :, None, None, None] * maps[:, :-1]).sum(dim=1, keepdim=True)
                return layer.flow_of_potential(POTENTIAL * potential, window, axes * 2.0, self.kernel)
            by_attribute = maps.unflatten(1, (len(self.attributes), 3))
            field = (values[:, :, None, None, None, None] * by_attribute).sum(dim=1)
            spacing = 2.0 * np.linalg.norm(axes, axis=0)
            sigma = tuple(float(self.smoothing_mm / s) for s in reversed(spacing))
            field = tensors.gaussian(field, sigma)  # type: ignore[arg-type]
            return tensors.soft_bound(field, self.bound_mm) if self.bound_mm > 0 else field

    def _legacy(self, image: Tensor, code: Tensor, axes: NDArray[np.float64]) -> SITParts:
        assert self.legacy_layer is not None
        raw = self.legacy_head(self.unet(image, code), image).float()
        batch, slices = image.shape[0], image.shape[2]

        def by_slice(volume: Tensor) -> Tensor:
            return volume.transpose(1, 2).flatten(0, 1)

        def by_volume(stack: Tensor) -> Tensor:
            return stack.unflatten(0, (batch, slices)).transpose(1, 2)

        translated, change, pixels = self.legacy_layer(by_slice(image), by_slice(raw))
        sampling = None
        if pixels is not None:
            rows, columns = by_volume(pixels).unbind(dim=1)
            steps = torch.stack((columns, rows, torch.zeros_like(rows)), dim=1)
            matrix = torch.as_tensor(axes, dtype=torch.float32, device=image.device)
            sampling = torch.einsum("bdkji,cd->bckji", steps, matrix)
        return SITParts(by_volume(translated), None if change is None else by_volume(change), None, sampling)

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`."""
        features = parcellation = None
        if self.structures:
            from SITTranslateLib.segmentation.parcellation import Parcellation
            from SITTranslateLib.systems.sit.structures import corners_of, sampling_at_voxels, structure_features

            features = structure_features(image)
            found = features[0].cpu().numpy()
            parcellation = Parcellation(found[:-1], found[-1])
        parts = self(image, self.code(request), affine[:3, :3], features=features)
        velocity_affine = affine
        if self.structures:
            velocity_affine = corners_of(affine)
            sampling = sampling_at_voxels(parts.velocity, affine)
            translated = layer.spatial_intensity_transform(image, None, sampling, affine[:3, :3])
            parts = SITParts(translated, None, parts.velocity, sampling)
        elif parts.velocity is not None:
            # Training integrates at half resolution, which is fast; here the inverse has to hold to 0.1 mm.
            velocity = layer.to_full_resolution_smoothly(parts.velocity)
            if self.hold_edges:
                velocity = velocity * layer.holds_data(image)
            steps = tensors.squarings(velocity, affine[:3, :3])
            sampling = tensors.exponential(velocity, affine[:3, :3], time=-1.0, steps=steps)
            translated = layer.spatial_intensity_transform(image, parts.intensity_change, sampling, affine[:3, :3])
            parts = SITParts(translated, parts.intensity_change, velocity, sampling)
        if progress is not None:
            progress(1.0)
        return NetworkOutput(
            translated=parts.translated,
            intensity_change=parts.intensity_change,
            velocity=parts.velocity,
            velocity_affine=velocity_affine if parts.velocity is not None else None,
            displacement=parts.sampling if parts.velocity is None else None,
            keeps_geometry=self.variant == "it",
            parcellation=parcellation,
        )
