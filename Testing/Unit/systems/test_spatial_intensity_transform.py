"""The spatial-intensity transform around generators of others: shapes, units, signs, gradients."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import SITTranslateLib as sit

Transform = sit.SpatialIntensityTransform


class Constant(nn.Module):
    """A generator that gives the same channels everywhere."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, image: Tensor) -> Tensor:
        shape = (1, -1, *(1,) * (image.ndim - 2))
        return self.values.reshape(shape).expand(len(image), -1, *image.shape[2:])


def ramp(*sizes: int) -> Tensor:
    """An image whose value is the index along its first axis."""
    line = torch.arange(sizes[0], dtype=torch.float32).reshape(-1, *(1,) * (len(sizes) - 1))
    return line.expand(*sizes)[None, None].clone()


def plain(**options: float) -> dict[str, Any]:
    return {"gain": 1.0, "smoothing": 0.0, "bound": 1e6, "intensity_bound": 1e6, **options}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("variant", "expected"), [("raw", 1), ("it", 1), ("st", 0), ("dt", 0), ("sit", 1), ("dit", 1)])
def test_channels(variant: str, expected: int, dimensions: int) -> None:
    moves = variant in ("st", "dt", "sit", "dit")
    assert Transform.channels(variant, dimensions) == expected + dimensions * moves
    assert Transform.channels(variant, dimensions, 3) == 3 * expected + dimensions * moves


@pytest.mark.parametrize("variant", ["st", "dt"])
def test_a_motion_moves_the_image_its_way(variant: str) -> None:
    """A displacement is the sampling field itself; a velocity is that of the motion, so its image lags behind."""
    module = Transform(Constant(2.0, 0.0), variant, 2, **plain())
    parts = module(ramp(12, 8))
    expected = 2.0 if variant == "st" else -2.0
    inner = (parts.translated - ramp(12, 8))[..., 3:-3, :]
    assert torch.allclose(inner, torch.full_like(inner, expected), atol=1e-4)
    assert (parts.velocity is None) == (variant == "st")


def test_millimetres_and_voxels_are_the_same_motion() -> None:
    in_voxels = Transform(Constant(0.0, 1.0, 0.0, 0.0), "dit", 3, **plain())(ramp(9, 7, 8))
    in_mm = Transform(Constant(0.0, 2.0, 0.0, 0.0), "dit", 3, spacing=(2.0, 1.0, 0.5), **plain())(ramp(9, 7, 8))
    assert torch.allclose(in_voxels.translated, in_mm.translated, atol=1e-5)


def test_intensity_first_then_the_motion() -> None:
    image = ramp(12, 8)
    parts = Transform(Constant(0.25, 1.0, 0.0), "dit", 2, **plain())(image)
    inner = (parts.translated - image)[..., 2:-2, :]
    assert torch.allclose(inner, torch.full_like(inner, 0.25 - 1.0), atol=1e-4)


def test_a_smooth_velocity_has_an_inverse_and_half_of_it_is_half() -> None:
    torch.manual_seed(0)
    module = Transform(nn.Conv2d(1, 2, 3, padding=1), "dt", 2, gain=12.0, smoothing=4.0)
    parts = module(torch.rand(1, 1, 32, 32))
    assert parts.velocity is not None and parts.sampling is not None
    assert float(parts.sampling.detach().abs().max()) > 0.5
    motion = module.exponential(parts.velocity)
    there_and_back = parts.sampling + module.warp(motion, parts.sampling)
    assert float(there_and_back.detach()[..., 6:-6, 6:-6].abs().max()) < 0.05
    half = module.exponential(parts.velocity, -0.5)
    twice = half + module.warp(half, half)
    assert float((twice - parts.sampling).detach()[..., 6:-6, 6:-6].abs().max()) < 0.05


def test_strength() -> None:
    image = ramp(12, 8)
    module = Transform(Constant(0.5, 1.0, 0.0), "dit", 2, **plain())
    parts = module(image)
    assert torch.allclose(module.at(image, parts, 1.0), parts.translated, atol=1e-5)
    assert torch.equal(module.at(image, parts, 0.0), image)
    inner = (module.at(image, parts, 0.5) - image)[..., 2:-2, :]
    assert torch.allclose(inner, torch.full_like(inner, 0.25 - 0.5), atol=1e-4)


def unet_2d(channels: int) -> tuple[nn.Module, Tensor, tuple[Any, ...]]:
    from monai.networks.nets import UNet

    return UNet(2, 1, channels, (4, 8), (2,)), torch.rand(2, 1, 16, 16), ()


def unet_3d(channels: int) -> tuple[nn.Module, Tensor, tuple[Any, ...]]:
    from monai.networks.nets import UNet

    return UNet(3, 1, channels, (4, 8), (2,)), torch.rand(1, 1, 16, 16, 16), ()


def swin(channels: int) -> tuple[nn.Module, Tensor, tuple[Any, ...]]:
    from monai.networks.nets import SwinUNETR

    network = SwinUNETR(
        in_channels=1, out_channels=channels, feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1),
        spatial_dims=2,
    )  # fmt: skip
    return network, torch.rand(1, 1, 64, 64), ()


def diffusion(channels: int) -> tuple[nn.Module, Tensor, tuple[Any, ...]]:
    from monai.networks.nets import DiffusionModelUNet

    network = DiffusionModelUNet(
        spatial_dims=2, in_channels=1, out_channels=channels, channels=(8, 8), attention_levels=(False, False),
        num_res_blocks=1, norm_num_groups=4,
    )  # fmt: skip
    # MONAI starts its last convolution at zero: nothing would move and no gradient reach the network.
    nn.init.normal_(network.out[2].conv.weight, std=0.1)
    return network, torch.rand(1, 1, 16, 16), (torch.tensor([3]),)


def own(channels: int) -> tuple[nn.Module, Tensor, tuple[Any, ...]]:
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, channels, 3, padding=1))
    return network, torch.rand(2, 1, 15, 17), ()


@pytest.mark.parametrize("make", [unet_2d, unet_3d, swin, diffusion, own])
def test_around_generators_of_others(make: Any) -> None:
    torch.manual_seed(0)
    dimensions = 3 if make is unet_3d else 2
    generator, image, arguments = make(Transform.channels("dit", dimensions))
    module = Transform(generator, "dit", dimensions)
    parts = module(image, *arguments)
    assert parts.translated.shape == image.shape
    assert parts.velocity is not None and parts.velocity.shape == (len(image), dimensions, *image.shape[2:])
    changed = image + parts.intensity_change
    assert torch.allclose(module.warp(changed, parts.sampling), parts.translated)
    (parts.translated - 0.5).square().mean().backward()
    gradients = [p.grad.abs().sum() for p in generator.parameters() if p.grad is not None]
    assert gradients and float(torch.stack(gradients).sum()) > 0


def test_several_channels_share_one_motion() -> None:
    image = torch.cat((ramp(12, 8), 2 * ramp(12, 8)), dim=1)
    parts = Transform(Constant(0.0, 0.0, 1.0, 0.0), "dit", 2, image_channels=2, **plain())(image)
    inner = (parts.translated - image)[..., 2:-2, :]
    assert torch.allclose(inner[:, 0], torch.full_like(inner[:, 0], -1.0), atol=1e-4)
    assert torch.allclose(inner[:, 1], torch.full_like(inner[:, 1], -2.0), atol=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of"):
        Transform(Constant(0.0), "warp", 2)
    with pytest.raises(ValueError, match="2 or 3"):
        Transform(Constant(0.0), "dit", 4)
    with pytest.raises(ValueError, match="spacing"):
        Transform(Constant(0.0), "dit", 2, spacing=(1.0, 0.0))
    with pytest.raises(ValueError, match="needs 3 channels"):
        Transform(Constant(0.0, 0.0), "dit", 2)(ramp(8, 8))


def test_the_code_of_the_documents_page_runs() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "sit-in-your-own-network.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {
        "image": torch.rand(1, 1, 16, 16, 16), "slices": torch.rand(1, 1, 64, 64), "timesteps": torch.tensor([3])
    }  # fmt: skip
    exec("\n".join(blocks), names)
    assert names["translated"].shape == names["half"].shape == names["image"].shape
    for result in ("moved", "drawn", "shifted"):
        assert names[result].translated.shape == names["slices"].shape and bool(names[result].sampling.any())
