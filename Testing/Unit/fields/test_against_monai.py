"""The layer of the published SIT, MONAI's DVF2DDF and Warp, in voxel units."""

from __future__ import annotations

import numpy as np
import torch
from fields_for_tests import inside, smooth_field
from monai.networks.blocks import DVF2DDF, Warp

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.volume import Grid, VectorField, Volume

GRID = Grid((24, 26, 22), np.eye(4))
STEPS = 7


def as_monai(array: np.ndarray) -> torch.Tensor:
    """A field (i, j, k) as MONAI's channels in array order (k, j, i)."""
    return torch.from_numpy(np.ascontiguousarray(array[..., ::-1])).permute(3, 0, 1, 2)[None]


def from_monai(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 3, 0).numpy()[..., ::-1]


def test_integration_agrees_inside_and_everywhere_with_the_border_repeated() -> None:
    velocity = smooth_field(GRID, 3.0, 4.0)
    ours = fields.exponential(velocity, steps=STEPS).array
    # MONAI pads with zeros by default, which damages the outermost voxels; asked to repeat the border it agrees.
    theirs = from_monai(DVF2DDF(num_steps=STEPS)(as_monai(velocity.array)))
    np.testing.assert_allclose(inside(ours, 7), inside(theirs, 7), atol=1e-4)
    repeated = from_monai(DVF2DDF(num_steps=STEPS, padding_mode="border")(as_monai(velocity.array)))
    np.testing.assert_allclose(ours, repeated, atol=1e-4)


def test_warp_agrees() -> None:
    sampling = smooth_field(GRID, 3.0, 3.0, 1)
    image = np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32)
    theirs = Warp()(torch.from_numpy(image)[None, None], as_monai(sampling.array))[0, 0].numpy()
    np.testing.assert_allclose(fields.warp(Volume(image, GRID.affine), sampling).array, theirs, atol=1e-4)


def test_the_whole_layer_agrees_in_the_differentiable_form() -> None:
    velocity = smooth_field(GRID, 3.0, 4.0, 2)
    image = torch.randn(1, 1, *GRID.shape, generator=torch.Generator().manual_seed(0))
    theirs = Warp()(image, DVF2DDF(num_steps=STEPS, padding_mode="border")(as_monai(velocity.array)))
    tensor = torch.from_numpy(velocity.array).permute(3, 0, 1, 2)[None].requires_grad_()
    sampling = tensors.exponential(tensor, np.eye(3), steps=STEPS)
    ours = tensors.warp(image, sampling, np.eye(3))
    np.testing.assert_allclose(ours.detach().numpy(), theirs.numpy(), atol=2e-4)
    ours.square().sum().backward()
    assert tensor.grad is not None
    assert float(tensor.grad.abs().max()) > 0


def test_millimetres_and_voxels_are_the_same_flow() -> None:
    in_voxels = smooth_field(GRID, 3.0, 4.0, 3)
    spacing = np.array([0.7, 1.0, 2.5])
    in_mm = VectorField(in_voxels.array * spacing, np.diag([*spacing, 1.0]))
    ours = fields.exponential(in_mm, steps=STEPS).array / spacing
    np.testing.assert_allclose(ours, fields.exponential(in_voxels, steps=STEPS).array, atol=1e-4)
