"""The same work by others: MONAI, plain torch as voxelmorph does it, SimpleITK, NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import SimpleITK
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.speed.inputs import LPS, Inputs
from SITTranslateLib.volume import VectorField

Array = NDArray[np.float32]
#: Squarings of the original layer.
SQUARINGS = 7


def in_voxels(field: VectorField, sign: float = 1.0) -> Tensor:
    """A field on an upright 1 mm grid as voxel displacements in array order, ``(1, 3, K, J, I)``."""
    steps = field.array * LPS * np.float32(sign)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(steps[..., ::-1], -1, 0)))[None]


def from_voxels(displacement: Tensor) -> Array:
    """Back to mm RAS ``(K, J, I, 3)``."""
    return np.moveaxis(displacement[0].numpy(), 0, -1)[..., ::-1] * LPS


def monai_integrator(inputs: Inputs, padding: str, squarings: int = SQUARINGS) -> Callable[[], Tensor]:
    """MONAI's ``DVF2DDF``: displacement in voxels of ``exp(-v)``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.networks.blocks import DVF2DDF

        layer = DVF2DDF(num_steps=squarings, padding_mode=padding)
    velocity = in_voxels(inputs.velocity, -1.0)

    def integrate() -> Tensor:
        with torch.no_grad():
            return layer(velocity)  # type: ignore[no-any-return]

    return integrate


def monai_layer(inputs: Inputs) -> Callable[[], Tensor]:
    """The layer of the original SIT: ``DVF2DDF`` (zeros outside) and ``Warp``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.networks.blocks import Warp

        warp = Warp()
    integrate, image = monai_integrator(inputs, "zeros"), torch.from_numpy(inputs.image.array)[None, None]

    def translate() -> Tensor:
        with torch.no_grad():
            return warp(image, integrate())  # type: ignore[no-any-return]

    return translate


def torch_half_layer(inputs: Inputs) -> Callable[[], Tensor]:
    """As voxelmorph: integrate at half the resolution, resize the displacement, warp; border repeated."""
    image, velocity = torch.from_numpy(inputs.image.array)[None, None], in_voxels(inputs.velocity, -1.0)

    def resized(field: Tensor, size: tuple[int, ...]) -> Tensor:
        factors = [(n - 1) / (m - 1) for n, m in zip(size, field.shape[2:], strict=True)]
        scale = torch.tensor(factors).view(1, 3, 1, 1, 1)
        return functional.interpolate(field, size, mode="trilinear", align_corners=True) * scale

    def translate() -> Tensor:
        with torch.no_grad():
            field = resized(velocity, tuple((n + 1) // 2 for n in velocity.shape[2:])) / 2**SQUARINGS
            identity = _identity(field.shape[2:])
            for _ in range(SQUARINGS):
                field = field + _pulled(field, field, identity)
            full = resized(field, tuple(velocity.shape[2:]))
            return _pulled(image, full, _identity(full.shape[2:]))

    return translate


def _identity(shape: torch.Size) -> Tensor:
    return torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij"))[None]


def _pulled(image: Tensor, field: Tensor, identity: Tensor) -> Tensor:
    size = torch.tensor(field.shape[2:]).view(1, 3, 1, 1, 1)
    grid = (2 * (identity + field) / (size - 1) - 1).permute(0, 2, 3, 4, 1).flip(-1)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=True)


def itk_field(field: VectorField) -> SimpleITK.Image:
    """A field on an upright 1 mm grid as SimpleITK's (LPS, float32)."""
    return SimpleITK.GetImageFromArray(field.array * LPS, isVector=True)


def from_itk(image: SimpleITK.Image) -> Array:
    return SimpleITK.GetArrayFromImage(image) * LPS


def numpy_jacobian(motion: VectorField) -> Array:
    """``det(1 + grad w)`` by ``np.gradient`` and ``np.linalg.det``."""
    w = motion.array * LPS
    matrix = np.empty((*w.shape[:3], 3, 3), np.float32)
    for component in range(3):
        for axis, derivative in zip((2, 1, 0), np.gradient(w[..., component]), strict=True):
            matrix[..., component, axis] = derivative
        matrix[..., component, component] += 1
    return np.linalg.det(matrix)


def loop_over_masks(labels: NDArray[np.int32], arrays: list[Array], count: int) -> NDArray[np.float64]:
    """Voxels and sums of every label, a mask at a time."""
    table = np.zeros((count, 1 + len(arrays)))
    for label in range(count):
        mask = labels == label
        table[label, 0] = mask.sum()
        for n, array in enumerate(arrays):
            table[label, 1 + n] = array[mask].sum(dtype=np.float64)
    return table
