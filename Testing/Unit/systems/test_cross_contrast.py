"""SA-UNIT, SASAN and the regression network: switches, invariances, and the traps that the reference names."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from SITTranslateLib import systems
from SITTranslateLib.errors import PackageError
from SITTranslateLib.systems.layers.blocks import NORMS, PixelNorm, Raise, SelfAttention, baked, with_spectral_norm
from SITTranslateLib.systems.layers.volumes import through_volume
from SITTranslateLib.systems.sasan.attention import orthogonality
from SITTranslateLib.systems.sasan.synthesis import AdaptiveNormalisation

UNIT = {"encoders": ["T1w", "T2w"], "generators": ["T1w", "T2w"], "base": 4, "width": 8, "blocks": 1}
SASAN = {"directions": ["T1w>CT", "CT>T1w"], "attention_widths": [4, 6, 8], "widths": [4, 6, 8], "hidden": 4}
REGRESSION = {"source": "T1w", "target": "T2w", "widths": [4, 6, 8]}
SMALL = {"sa_unit": UNIT, "sasan": SASAN, "regression": REGRESSION}


def built(system: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return systems.create(system, {**SMALL[system], **options}).eval()


@pytest.fixture(scope="module")
def volume() -> torch.Tensor:
    return torch.rand(1, 1, 9, 24, 20, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("system", "dims"), list(product(SMALL, (2, 2.5, 3))))
def test_any_volume_goes_through_in_any_dimension(system: str, dims: float, volume: torch.Tensor) -> None:
    output = built(system, dims=dims).translate(volume, {}, np.eye(4))
    assert output.translated.shape == volume.shape and output.keeps_geometry
    assert torch.isfinite(output.translated).all()
    if system == "sasan":
        assert len(output.extras) == 8 and all(m.shape == volume.shape for m in output.extras.values())
        assert set(output.labels["segmentation"].unique().tolist()) <= set(range(6))


@pytest.mark.parametrize(("attention", "spectral", "output", "norm", "strides"), [
    ("none", (), "tanh", "instance", 2),
    ("encoder", ("encoder", "generator"), "tanh", "batch", 2),
    ("generator", ("generator",), "linear", "pixel", 1),
    ("generator", (), "linear", "none", 1),
])  # fmt: skip
def test_every_switch_of_the_posters_ablation(
    attention: str, spectral: tuple[str, ...], output: str, norm: str, strides: int, volume: torch.Tensor
) -> None:
    net = built("sa_unit", attention=attention, spectral=spectral, output=output, norm=norm, strides=strides)
    kinds = [type(m) for m in net.modules()]
    assert (SelfAttention in kinds) == (attention != "none")
    translated = net.translate(volume, {}, np.eye(4)).translated
    if output == "tanh":
        assert translated.min() >= 0 and translated.max() <= 2


def test_a_package_holds_no_more_than_its_direction() -> None:
    one_way = systems.create("sa_unit", {**UNIT, "encoders": ["T1w"], "generators": ["T2w"]})
    both = built("sa_unit")
    assert set(one_way.state_dict()) < set(both.state_dict())


@pytest.mark.parametrize("system", SMALL)
def test_repeats_are_bit_equal(system: str, volume: torch.Tensor) -> None:
    net = built(system)
    first, second = (net.translate(volume, {}, np.eye(4)).translated for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("system", "stride"), [("sa_unit", 8), ("sasan", 8), ("regression", 8)])
def test_a_shifted_scan_gives_the_shifted_translation(system: str, stride: int) -> None:
    """With air all round; attention sees the same voxels, elsewhere."""
    image = torch.zeros(1, 1, 5, 72, 72)
    image[..., 28:44, 28:44] = torch.rand(1, 1, 5, 16, 16, generator=torch.Generator().manual_seed(1))
    net = built(system)
    moved = net.translate(torch.roll(image, (stride, stride), (3, 4)), {}, np.eye(4)).translated
    straight = torch.roll(net.translate(image, {}, np.eye(4)).translated, (stride, stride), (3, 4))
    assert (moved - straight)[..., 28:60, 28:60].abs().max() < 1e-2


def test_pixel_normalisation_does_not_see_the_field_of_view() -> None:
    features = torch.rand(1, 8, 12, 12)
    norm = PixelNorm(8)
    torch.testing.assert_close(norm(features)[..., 3:9, 3:9], norm(features[..., 3:9, 3:9]))


def test_instance_normalisation_does_which_is_why_it_is_not_the_default() -> None:
    features = torch.rand(1, 8, 12, 12)
    norm = torch.nn.InstanceNorm2d(8)
    assert (norm(features)[..., 3:9, 3:9] - norm(features[..., 3:9, 3:9])).abs().max() > 1e-2


def test_attention_starts_closed_and_pools_what_it_looks_at() -> None:
    block = SelfAttention(2, 16, pool=4)
    features = torch.rand(2, 16, 8, 8)
    assert torch.equal(block(features), features)
    with torch.no_grad():
        block.gamma.fill_(1.0)
    assert not torch.equal(block(features), features)


@pytest.mark.parametrize("axes", [2, 3])
def test_raising_starts_without_a_checkerboard(axes: int) -> None:
    raised = Raise(axes, 4, 3, "none")(torch.rand(1, 4, *[5] * axes))
    corner, neighbour = (slice(0, None, 2),) * axes, (slice(1, None, 2),) * axes
    torch.testing.assert_close(raised[(..., *corner)], raised[(..., *neighbour)])


def test_baking_spectral_normalisation_changes_nothing_and_leaves_plain_weights() -> None:
    net = built("sa_unit", spectral=["encoder", "generator"])
    plain = built("sa_unit")
    image = torch.rand(1, 3, 16, 16)
    for part in net.modules():
        if torch.nn.utils.parametrize.is_parametrized(part, "weight"):
            part.train()
            for _ in range(30):
                part.weight  # noqa: B018
            part.eval()
    before = net(image, "T1w", "T2w")
    baked(net)
    assert set(net.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(net(image, "T1w", "T2w"), before, atol=1e-4, rtol=1e-3)


def test_spectral_normalisation_bounds_every_convolution() -> None:
    conv = with_spectral_norm(torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3)))
    with torch.no_grad():
        conv[0].parametrizations.weight.original.mul_(50.0)
    weight = baked(conv)[0].weight.detach().flatten(1)
    assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=0.02)


def test_adaptive_normalisation_keeps_what_its_maps_say() -> None:
    """MONAI's SPADE normalises gamma and beta away: a map and twice the map would give the same."""
    torch.manual_seed(0)
    layer = AdaptiveNormalisation(2, 6, 4, 8, "instance")
    features, maps = torch.rand(1, 6, 10, 10), torch.rand(1, 4, 10, 10)
    once, twice = layer(features, maps), layer(features, 2 * maps)
    assert (once - twice).abs().mean() > 0.05
    torch.testing.assert_close(layer(features, maps[..., ::1, ::1]), once)


def test_orthogonality_is_blind_to_the_size_of_the_maps() -> None:
    maps = torch.rand(2, 4, 6, 6)
    torch.testing.assert_close(orthogonality(maps), orthogonality(3.0 * maps))
    apart = torch.eye(4).reshape(1, 4, 2, 2)
    assert float(orthogonality(apart)) == pytest.approx(0.0, abs=1e-6)
    assert float(orthogonality(torch.ones(1, 4, 2, 2))) == pytest.approx(1.0, rel=1e-5)


def test_each_slice_is_the_mean_of_what_was_said_of_it(volume: torch.Tensor) -> None:
    """The neighbours in a stack are given back untouched: the mean of a volume with itself is the volume."""
    same = through_volume(lambda stack: stack, volume, dims=2.5, slices=3, multiple=16)
    torch.testing.assert_close(same, volume)
    middle_only = through_volume(lambda s: torch.cat((s, s[:, 1:2]), 1), volume, dims=2.5, slices=3, multiple=16)
    torch.testing.assert_close(middle_only[:, 1:], volume)


@pytest.mark.parametrize(("system", "wrong"), [
    ("sa_unit", {"dims": 4}), ("sa_unit", {"attention": "everywhere"}), ("sa_unit", {"norm": "spectral"}),
    ("sa_unit", {"spectral": ["critic"]}), ("sasan", {"directions": ["T1w"]}), ("regression", {"norm": "x"}),
])  # fmt: skip
def test_what_is_not_a_switch_is_refused(system: str, wrong: dict[str, object]) -> None:
    with pytest.raises(PackageError, match="not understood"):
        built(system, **wrong)


def test_all_norms_are_constructible() -> None:
    for norm in NORMS:
        built("sasan", norm=norm)
