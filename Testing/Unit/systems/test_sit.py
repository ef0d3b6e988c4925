"""SIT against its formulas: identity at zero, recomposition, variants, and the paper's layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.blocks import DVF2DDF

from SITTranslateLib import systems
from SITTranslateLib.errors import PackageError
from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.sit import layer
from SITTranslateLib.systems.sit.legacy import CHANNELS, LegacyLayer
from SITTranslateLib.systems.sit.network import VARIANTS, SITNetwork

AXES = np.array([[1.9, 0.3, 0.0], [-0.3, 1.9, 0.2], [0.0, -0.2, 2.2]])


def network(variant: str, **options: object) -> SITNetwork:
    torch.manual_seed(0)
    built = systems.create(
        "sit", {"variant": variant, "attributes": ["age", "lesions"], "scales": [10, 5], "widths": [8, 12], **options}
    )
    assert isinstance(built, SITNetwork)
    return built


def awake(net: SITNetwork) -> SITNetwork:
    """Give the heads weights, as training would."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(("field_head", "intensity_head.final")):
                parameter.normal_(std=0.2)
    return net


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return tensors.gaussian(torch.rand(1, 1, 20, 24, 16, generator=generator), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_of_each_variant(variant: str, image: torch.Tensor) -> None:
    net = awake(network(variant))
    parts = net(image, net.code({"age": 10.0, "lesions": 3.0}), AXES)
    assert parts.translated.shape == image.shape
    assert (parts.intensity_change is not None) == (variant in ("it", "sit", "dit"))
    assert (parts.velocity is not None) == (variant in ("dt", "dit"))
    assert (parts.sampling is not None) == (variant in ("st", "dt", "sit", "dit"))
    if variant != "raw":
        assert not torch.equal(parts.translated, image)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "raw"])
@pytest.mark.parametrize("request_", [{}, {"age": 0.0}, {"age": 0.0, "lesions": 0.0}])
def test_zero_change_is_the_identity_whatever_the_weights(
    variant: str, request_: dict[str, float], image: torch.Tensor
) -> None:
    net = awake(network(variant))
    assert torch.allclose(net(image, net.code(request_), AXES).translated, image, atol=1e-6)


def test_translated_is_the_recomposition_of_the_parts(image: torch.Tensor) -> None:
    net = awake(network("dit"))
    parts = net(image, net.code({"age": 20.0, "lesions": 5.0}), np.eye(3))
    coarse = tensors.exponential(parts.velocity, 2 * np.eye(3), time=-1.0, steps=net.steps)
    # By hand: read the coarse field at each fine voxel through the affine of the half-resolution grid.
    fine = tensors.identity_indices(image.shape[2:], image.device)
    half = torch.from_numpy(np.linalg.inv(layer.half_resolution_affine(np.eye(4)))).float()
    indices = fine @ half[:3, :3].T + half[:3, 3]
    sampling = tensors.sample(coarse, indices[None])
    expected = tensors.warp(image + parts.intensity_change, sampling, np.eye(3))
    assert torch.allclose(parts.translated, expected, atol=1e-5)


def test_what_the_pipeline_gets_recomposes_and_inverts(image: torch.Tensor) -> None:
    net = awake(network("dit"))
    axes = np.eye(3) * 2
    with torch.no_grad():
        net.field_head.weight.mul_(0.4)
    output = net.translate(image, {"age": 20.0, "lesions": 5.0}, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert output.velocity is not None and output.intensity_change is not None
    steps = tensors.squarings(output.velocity, axes)
    back, forth = (tensors.exponential(output.velocity, axes, time=t, steps=steps) for t in (-1.0, 1.0))
    expected = tensors.warp(image + output.intensity_change, back, axes)
    assert torch.allclose(output.translated, expected, atol=1e-5)
    assert 2.0 < float(forth.norm(dim=1).max()) < 8.0
    residual = tensors.compose(forth, back, axes).norm(dim=1)[..., 4:-4, 4:-4, 4:-4]
    assert float(residual.quantile(0.99)) < 0.1, "going there and back, mm"


def test_nothing_moves_where_the_scan_holds_nothing() -> None:
    """A stripped brain: no motion may pull the empty background in."""
    net = awake(network("dt"))
    brain = torch.zeros(1, 1, 32, 32, 32)
    brain[..., 6:26, 6:26, 6:26] = 0.6
    weight = layer.holds_data(brain)
    assert float(weight[0, 0, 16, 16, 16]) == pytest.approx(1.0) and float(weight[0, 0, 6, 16, 16]) < 0.2
    output = net.translate(brain, {"age": 20.0}, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert output.velocity is not None
    length = output.velocity.norm(dim=1)[0]
    assert float(length[16, 16, 16]) > 1.0 and float(length[:4].max()) < 0.05
    speck = torch.rand(1, 1, 32, 32, 32) + 0.1
    speck[..., 16, 16, 16] = 0.0
    assert float(layer.holds_data(speck).min()) == pytest.approx(1.0), "a dark speck is not the end of the data"


def test_an_attribute_not_asked_for_changes_nothing_of_its_own(image: torch.Tensor) -> None:
    net = awake(network("dit"))
    assert net.code({"age": 20.0}).tolist() == [[2.0, 0.0, 1.0, 0.0]]


def test_field_is_bounded_and_band_limited(image: torch.Tensor) -> None:
    net = awake(network("dt", bound_mm=4.0))
    with torch.no_grad():
        net.field_head.weight.mul_(1000.0)
    velocity = net(image, net.code({"age": 30.0}), AXES).velocity
    assert 3.0 < float(velocity.detach().norm(dim=1).max()) <= 4.0 + 1e-5


def test_starts_near_the_identity_with_a_gradient(image: torch.Tensor) -> None:
    net = network("dit")
    parts = net(image, net.code({"age": 10.0, "lesions": 1.0}), AXES)
    assert float((parts.translated - image).abs().max()) < 1e-3
    (parts.translated - image.roll(1, 2)).abs().mean().backward()
    assert net.field_head.weight.grad is not None and float(net.field_head.weight.grad.abs().max()) > 0
    assert float(net.intensity_head.final.weight.grad.abs().max()) > 0


def test_legacy_layer_follows_the_published_formula() -> None:
    """x' = (x + tanh(ch0)) o exp(v), seven squarings with a zero border, pull warp with the border repeated."""
    torch.manual_seed(3)
    x = torch.rand(2, 1, 18, 22)
    raw = torch.randn(2, 3, 18, 22)
    translated, change, field = LegacyLayer("dit")(x, raw)
    u = raw[:, 1:] / 2**7
    rows, columns = torch.meshgrid(torch.arange(18.0), torch.arange(22.0), indexing="ij")

    def pull(values: torch.Tensor, displacement: torch.Tensor, padding: str) -> torch.Tensor:
        grid = torch.stack(
            (2 * (columns + displacement[:, 1]) / 21 - 1, 2 * (rows + displacement[:, 0]) / 17 - 1), dim=-1
        )
        return torch.nn.functional.grid_sample(values, grid, padding_mode=padding, align_corners=True)

    for _ in range(7):
        u = u + pull(u, u, "zeros")
    assert torch.allclose(field, u, atol=1e-4)
    assert torch.allclose(change, torch.tanh(raw[:, :1]))
    assert torch.allclose(translated, pull(x + torch.tanh(raw[:, :1]), u, "border"), atol=1e-5)
    assert torch.allclose(DVF2DDF()(raw[:, 1:]), field)


@pytest.mark.parametrize("variant", VARIANTS)
def test_legacy_network_works_on_slices(variant: str, image: torch.Tensor) -> None:
    net = network(variant, legacy=True)
    parts = net(image, net.code({"age": 10.0}), np.diag([2.0, 2.0, 3.0]))
    assert parts.translated.shape == image.shape
    if CHANNELS[variant][1]:
        assert torch.all(parts.sampling[:, 2] == 0), "slices never move through the plane"


def test_unknown_systems_and_parameters_are_refused() -> None:
    with pytest.raises(PackageError, match="does not know the system 'pix'"):
        systems.create("pix", {})
    with pytest.raises(PackageError, match="not understood"):
        network("dit", colour="red")
    with pytest.raises(PackageError, match="variant 'xx'"):
        network("xx")
