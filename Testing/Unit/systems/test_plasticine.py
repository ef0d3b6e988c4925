"""Plasticine against its formulas: nothing asked for, nothing moves; what moves recomposes, inverts and never folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SITTranslateLib import systems
from SITTranslateLib.errors import PackageError
from SITTranslateLib.fields import tensors
from SITTranslateLib.systems.network import NetworkOutput
from SITTranslateLib.systems.plasticine.haar import haar, inverse_haar
from SITTranslateLib.systems.plasticine.network import PlasticineNetwork, carried_back, within
from SITTranslateLib.systems.plasticine.paper import clustered
from SITTranslateLib.systems.plasticine.structure_map import CHANNELS, edges

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AXES = AFFINE[:3, :3]
TINY = {
    "source": "T1w", "target": "T2w", "structure_widths": [4, 6], "steps": 2, "samples": 2,
    "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8],
}  # fmt: skip


def network(**options: object) -> PlasticineNetwork:
    torch.manual_seed(0)
    built = systems.create("plasticine", {**TINY, **options})
    assert isinstance(built, PlasticineNetwork)
    return built.eval()


def awake(net: PlasticineNetwork) -> PlasticineNetwork:
    """Give the last layer of the deformation weights: some 4 mm for 30 years, rougher than ageing is."""
    with torch.no_grad():
        net.deformation.head.weight.normal_(std=0.08, generator=torch.Generator().manual_seed(5))
    return net


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    smooth = tensors.gaussian(torch.rand(1, 1, 28, 32, 24, generator=generator), (2.0, 2.0, 2.0))
    return (smooth - 0.4) * 4.0 + 0.3


@pytest.mark.parametrize("shape", [(2, 3, 8, 6), (1, 2, 4, 6, 8)])
def test_haar_loses_nothing_and_keeps_lengths(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape)
    bands = haar(values)
    assert bands.shape[1] == shape[1] * 2 ** (len(shape) - 2)
    assert torch.allclose(inverse_haar(bands), values, atol=1e-6)
    assert float(bands.square().sum()) == pytest.approx(float(values.square().sum()), rel=1e-5)


def test_edges_do_not_see_the_contrast(image: torch.Tensor) -> None:
    found = edges(image)
    assert found.shape[1] == 2 and float(found.min()) >= 0 and float(found.max()) <= 1
    assert torch.allclose(edges(3.0 - 2.5 * image), found, atol=1e-3), "gain, offset and order of brightness"


@pytest.mark.parametrize("request_", [{}, {"age": 0.0}])
def test_no_change_of_age_moves_nothing_at_all(request_: dict[str, float], image: torch.Tensor) -> None:
    output = awake(network()).translate(image, request_, AFFINE)
    assert output.velocity is not None and not output.velocity.any()
    assert output.intensity_change is not None
    assert torch.allclose(output.translated, image + output.intensity_change, atol=1e-6)


def test_an_untrained_network_moves_nothing(image: torch.Tensor) -> None:
    output = network().translate(image, {"age": 30.0}, AFFINE)
    assert output.velocity is not None and not output.velocity.any(), "the last layer starts at zero"


def test_the_velocity_is_linear_in_the_attribute(image: torch.Tensor) -> None:
    net = awake(network())
    one, three = (net.translate(image, {"age": years}, AFFINE).velocity for years in (-10.0, 30.0))
    assert one is not None and three is not None
    assert torch.allclose(three, -3.0 * one, atol=1e-5)


def test_what_the_pipeline_gets_recomposes_inverts_and_never_folds(image: torch.Tensor) -> None:
    output = awake(network()).translate(image, {"age": 30.0}, AFFINE)
    assert output.velocity is not None and output.intensity_change is not None
    steps = tensors.squarings(output.velocity, AXES)
    back, forth = (tensors.exponential(output.velocity, AXES, time=t, steps=steps) for t in (-1.0, 1.0))
    assert 3.0 < float(forth.norm(dim=1).max()) < 12.0
    recomposed = tensors.warp(image + output.intensity_change, back, AXES)
    assert float((recomposed - output.translated).abs().max()) < 1e-5
    assert float(tensors.jacobian(forth, AXES).min()) > 0 and float(tensors.jacobian(back, AXES).min()) > 0
    inside = (within(back, AXES) * within(forth, AXES))[:, 0] > 0
    residual = tensors.compose(forth, back, AXES).norm(dim=1)[inside]
    assert float(residual.mean()) < 0.05, "going there and back, mm"


def test_the_same_seed_gives_the_same_image_and_another_another(image: torch.Tensor) -> None:
    net = awake(network())

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return net.translate(image, {"age": 10.0}, AFFINE).translated

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


def test_it_says_how_far_it_is_and_stops_between_two_steps(image: torch.Tensor) -> None:
    seen: list[float] = []
    network().translate(image, {}, AFFINE, seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0
    assert len([s for s in seen if 0.2 < s < 1.0]) == 4, "two samples of two steps"

    class CancelledError(Exception):
        pass

    def cancel(fraction: float) -> None:
        if fraction > 0.5:
            raise CancelledError

    with pytest.raises(CancelledError):
        network().translate(image, {}, AFFINE, cancel)


def test_uncertainty_structure_and_validity_come_along(image: torch.Tensor) -> None:
    output = awake(network()).translate(image, {"age": 30.0}, AFFINE)
    assert set(output.extras) == {"uncertainty", "within the scan"} and set(output.labels) == {"structure"}
    assert float(output.extras["uncertainty"].min()) >= 0
    numbers = output.labels["structure"]
    assert torch.equal(numbers, numbers.round()) and float(numbers.max()) < 7
    assert "uncertainty" not in network(samples=1).translate(image, {}, AFFINE).extras


def shown_steps(net: PlasticineNetwork, image: torch.Tensor, **request: float) -> tuple[NetworkOutput, torch.Tensor]:
    """The output with its steps, and those stacked; the noise is always the same."""
    torch.manual_seed(3)
    output = net.translate(image, {"intermediate": 1.0, **request}, AFFINE)
    return output, torch.stack([output.extras[name] for name in output.steps])


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
def test_the_last_step_is_the_image_that_was_rendered(sampler: str, image: torch.Tensor) -> None:
    output, steps = shown_steps(awake(network(samples=1, steps=3, sampler=sampler)), image)
    assert output.steps == tuple(f"after step {n} of 3" for n in (1, 2, 3))
    assert torch.allclose(steps[2], output.translated, atol=1e-5) and not torch.allclose(steps[0], steps[2], atol=1e-3)


def test_steps_stand_on_the_moved_anatomy(image: torch.Tensor) -> None:
    output, steps = shown_steps(awake(network(samples=1)), image, age=30.0)
    inner = (..., slice(4, -4), slice(4, -4), slice(4, -4))

    def away(from_: torch.Tensor) -> float:
        # Untrained, it paints noise, of which reading between voxels keeps only what is coarse.
        return float(tensors.gaussian(steps[1] - from_, (1.5, 1.5, 1.5))[inner].abs().mean())

    assert output.intensity_change is not None
    assert away(output.translated) < 0.25 * away(image + output.intensity_change)


def test_steps_are_those_of_the_first_sample_masked_and_within_the_scale(image: torch.Tensor) -> None:
    hollow = image.clone()
    hollow[..., :10, :, :] = 0.0
    net = network(samples=2, most=0.3)
    net.structure_of = (
        lambda scan: torch.cat(  # type: ignore[method-assign]
            ((scan == 0.0).float(), torch.zeros(1, CHANNELS - 1, *scan.shape[2:])), dim=1
        )
    )
    one, first = shown_steps(network(samples=1), image)
    _, two = shown_steps(network(samples=2), image)
    assert torch.equal(first, two) and not torch.allclose(two[1], one.extras["after step 1 of 2"])
    _, bounded = shown_steps(net, hollow)
    assert not bounded[..., :10, :, :].any() and float(bounded.min()) >= 0.0
    assert float(bounded.max()) == pytest.approx(0.3)


def test_steps_that_nobody_asks_for_are_not_kept(image: torch.Tensor) -> None:
    assert network().translate(image, {"intermediate": 0.0}, AFFINE).steps == ()
    seen: list[float] = []
    network().translate(image, {"intermediate": 1.0}, AFFINE, seen.append)
    assert len([s for s in seen if 0.2 < s < 1.0]) == 4, "no step more than without"


def test_content_from_beyond_the_scan_is_marked() -> None:
    sampling = torch.zeros(1, 3, 6, 6, 6)
    sampling[:, 0] = 4.0
    mask = within(sampling, AXES)
    assert mask[0, 0, :, :, :4].all() and not mask[0, 0, :, :, 4:].any()


def test_carrying_back_undoes_the_motion_up_to_what_interpolation_blurs(image: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    velocity = 3.0 * tensors.gaussian(torch.randn(1, 3, 28, 32, 24, generator=generator), (4.0,) * 3)
    velocity = velocity * (4.0 / float(velocity.norm(dim=1).max()))
    back, forth = (tensors.exponential(velocity, AXES, time=t) for t in (-1.0, 1.0))
    once = tensors.warp(tensors.warp(image, forth, AXES), back, AXES)
    better = tensors.warp(carried_back(image, back, forth, AXES), back, AXES)
    inner = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    assert float((better - image)[inner].abs().mean()) < 0.3 * float((once - image)[inner].abs().mean())


def test_a_package_needs_no_switch(image: torch.Tensor) -> None:
    full, bare = awake(network()), network(switch=False)
    left = {n: w for n, w in full.state_dict().items() if not n.startswith("deformation.together.")}
    bare.load_state_dict(left)
    a, b = (net.translate(image, {"age": 20.0}, AFFINE).velocity for net in (full, bare))
    assert a is not None and b is not None and torch.equal(a, b)


def test_the_switch_lets_the_target_in(image: torch.Tensor) -> None:
    net = awake(network())
    seen = torch.rand(1, 1 + CHANNELS, *image.shape[2:])
    alone = net.deformation.features(seen)
    together = net.deformation.features(seen, seen + 0.5, torch.randn_like(image))
    assert alone.shape == together.shape and not torch.equal(alone, together)


def test_clusters_are_sorted_by_brightness() -> None:
    slices = torch.tensor([0.9, 0.1, 0.5, 0.12, 0.52, 0.88]).view(1, 1, 2, 3)
    assert clustered(slices, 3).flatten().tolist() == [1.0, 0.0, 0.5, 0.0, 0.5, 1.0]


def test_a_guide_that_is_not_there_is_refused() -> None:
    with pytest.raises(PackageError, match="guide"):
        systems.create("plasticine", {**TINY, "guide": "stars"})
