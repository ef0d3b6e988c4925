"""ALDM: parts that do what their formulas say, one network for every direction, the same image from the same seed."""

from __future__ import annotations

import pytest
import torch

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError, PackageError
from SITTranslateLib.systems.aldm.codec import FACTOR, Codec
from SITTranslateLib.systems.aldm.denoiser import Detail, LatentDenoiser, ResidualDenoiser
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.systems.aldm.switchable import SwitchableGenerator, SwitchableNorm, one_hot
from SITTranslateLib.systems.layers.samplers import noised, sample
from SITTranslateLib.systems.network import TranslationNetwork

TINY = {
    "contrasts": ["T1w", "T2w", "FLAIR"], "latent": 3, "codes": 16, "codec": [4, 6], "spade": [6, 6], "hidden": 4,
    "widths": [6, 8], "detail": [4, 6],
}  # fmt: skip
AFFINE = torch.eye(4).numpy()


@pytest.fixture(scope="module", params=["as in the paper", "mapped first"])
def network(request: pytest.FixtureRequest) -> ALDMNetwork:
    torch.manual_seed(3)
    made = systems.create("aldm", {**TINY, "paint": request.param == "mapped first"})
    assert isinstance(made, ALDMNetwork) and isinstance(made, TranslationNetwork)
    for name, parameter in made.named_parameters():
        if "head" in name or "modulation" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 1, 22, 29, 25, generator=torch.Generator().manual_seed(0))


def seeded(network: ALDMNetwork, image: torch.Tensor, seed: int = 0, **request: float) -> torch.Tensor:
    torch.manual_seed(seed)
    return network.translate(image, request, AFFINE).translated


def test_any_size_comes_back_in_its_own_size_and_nothing_moves(network: ALDMNetwork, image: torch.Tensor) -> None:
    output = network.translate(image, {"target": 1.0}, AFFINE)
    assert output.translated.shape == image.shape
    assert output.keeps_geometry and output.velocity is None and not output.extras
    assert float(output.translated.min()) >= 0.0


def test_the_same_seed_gives_the_same_image_and_another_another(network: ALDMNetwork, image: torch.Tensor) -> None:
    assert torch.equal(seeded(network, image, 5), seeded(network, image, 5))
    assert not torch.equal(seeded(network, image, 5), seeded(network, image, 6))
    # The preview draws nothing.
    assert torch.equal(seeded(network, image, 5, steps=0.0), seeded(network, image, 6, steps=0.0))


def test_every_target_is_another_image(network: ALDMNetwork, image: torch.Tensor) -> None:
    made = [seeded(network, image, target=float(n)) for n in range(3)]
    assert len({float(m.sum()) for m in made}) == 3


def test_a_package_may_offer_some_targets_in_an_order_of_its_own(image: torch.Tensor) -> None:
    some = ALDMNetwork(**{**TINY, "targets": ["FLAIR", "T1w"]}).eval()  # type: ignore[arg-type]
    every = ALDMNetwork(**TINY).eval()  # type: ignore[arg-type]
    every.load_state_dict(some.state_dict())
    assert torch.equal(seeded(some, image, target=0.0), seeded(every, image, target=2.0))
    with pytest.raises(InputError, match="no target 2; this network makes FLAIR, T1w"):
        seeded(some, image, target=2.0)


def test_what_the_scan_is_may_be_said(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    made = ALDMNetwork(**{**TINY, "targets": ["FLAIR", "T1w"], "paint": True}).eval()  # type: ignore[arg-type]
    assert made.painter is not None
    # It looks like T2w, whose curves say 0.9; FLAIR's say 0.2.
    made.painter.bias[1] = 20.0
    made.painter.curves[1, 0], made.painter.curves[2, 0] = 0.9, 0.2
    looks, said = (seeded(made, image, target=1.0, source=n, steps=0.0) for n in (0.0, 1.0))
    assert torch.allclose(looks, torch.tensor(0.9), atol=1e-4)
    assert torch.allclose(said, torch.tensor(0.2), atol=1e-4)
    with pytest.raises(InputError, match="no target 2"):
        seeded(made, image, target=1.0, source=3.0)


def test_air_stays_empty(image: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    made = ALDMNetwork(**{**TINY, "paint": True}).eval()  # type: ignore[arg-type]
    assert made.painter is not None
    made.painter.curves.fill_(0.8)
    outside = torch.zeros(1, 7, 24, 32, 28)
    outside[:, 0, :8], outside[:, 4, 8:] = 1.0, 1.0
    monkeypatch.setattr(made.painter, "shares", lambda image: outside)
    shown = seeded(made, image, target=1.0)
    assert not shown[:, :, :8].any() and float(shown[:, :, 8:].min()) > 0.0


def test_several_samples_give_their_mean_and_how_far_they_lie_apart(network: ALDMNetwork, image: torch.Tensor) -> None:
    torch.manual_seed(1)
    output = network.translate(image, {"samples": 3.0, "steps": 2.0}, AFFINE)
    torch.manual_seed(1)
    latent = network.codec.encode(torch.nn.functional.pad(image, (0, 3, 0, 3, 0, 2)))
    assert latent.shape == (1, 3, 6, 8, 7)
    spread = output.extras["uncertainty"]
    assert spread.shape == image.shape and float(spread.mean()) > 0.0
    assert float((output.translated - seeded(network, image, 1, steps=2.0)).abs().max()) > 0.0


def test_intermediate_steps_end_at_the_result(network: ALDMNetwork, image: torch.Tensor) -> None:
    torch.manual_seed(2)
    output = network.translate(image, {"steps": 3.0, "intermediate": 1.0}, AFFINE)
    assert list(output.extras) == [f"after step {n} of 3" for n in (1, 2, 3)]
    assert torch.allclose(output.extras["after step 3 of 3"], output.translated, atol=1e-5)
    assert torch.equal(output.translated, seeded(network, image, 2, steps=3.0))


def test_it_can_be_cancelled_between_two_steps(network: ALDMNetwork, image: torch.Tensor) -> None:
    seen: list[float] = []

    def stop(fraction: float) -> None:
        seen.append(fraction)
        if fraction > 0.4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        network.translate(image, {"steps": 4.0}, AFFINE, stop)
    assert seen == sorted(seen) and 0.4 < seen[-1] < 0.6


@pytest.mark.parametrize(("request_", "sentence"), [
    ({"target": 3.0}, "no target 3"), ({"target": -1.0}, "whole number of 0 or more"),
    ({"steps": 1.5}, "'steps' must be a whole number"), ({"samples": 0.0}, "'samples' must be a whole number of 1"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_in_a_sentence(
    network: ALDMNetwork, image: torch.Tensor, request_: dict[str, float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        network.translate(image, request_, AFFINE)


@pytest.mark.parametrize("changes", [
    {"contrasts": ["T1w"]}, {"contrasts": ["T1w", "T1w"]}, {"targets": ["CT"]}, {"sampler": "plms"},
    {"sampler": "flow"}, {"prediction": "score"}, {"codec": [4]},
])  # fmt: skip
def test_parameters_without_sense_are_refused(changes: dict) -> None:
    with pytest.raises(PackageError, match="not understood"):
        systems.create("aldm", {**TINY, **changes})


@pytest.mark.parametrize("slices", [1, 3, 7])
def test_decoding_in_slabs_has_no_seams(slices: int) -> None:
    torch.manual_seed(0)
    codec = Codec(3, 16, (6, 8)).eval()
    latents = 3.0 * torch.randn(1, 3, 19, 5, 6)
    with torch.no_grad():
        whole = codec.decode(latents)
        assert whole.shape[2] == FACTOR * 19
        assert torch.allclose(codec.decode_in_slabs(latents, slices), whole, atol=1e-6)


def test_latents_have_unit_variance_once_measured_and_decode_to_the_same_image() -> None:
    torch.manual_seed(0)
    codec = Codec(3, 16, (6, 8)).eval()
    images = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        before = codec.encode(images)
        image = codec.decode(before)
        codec.measure(before)
        after = codec.encode(images)
        assert torch.allclose(after.mean(dim=(0, 2, 3, 4)), torch.zeros(3), atol=1e-4)
        assert torch.allclose(after.std(dim=(0, 2, 3, 4)), torch.ones(3), atol=1e-4)
        assert torch.allclose(codec.decode(after), image, atol=1e-4)
        rounded, _ = codec.quantised(after)
    codes = codec.autoencoder.quantizer.quantizer.embedding.weight
    native = (rounded * codec.spread + codec.mean).movedim(1, -1).reshape(-1, 3)
    assert float(torch.cdist(native, codes).min(dim=1).values.max()) < 1e-3


def test_the_codebook_begins_with_latents_and_not_with_one_code_for_all() -> None:
    torch.manual_seed(0)
    codec = Codec(3, 16, (6, 8)).train()
    latents = codec.encode(torch.rand(2, 1, 16, 16, 16)).detach()
    assert not codec.settled
    codec.settle(latents)
    assert codec.settled
    rounded, loss = codec.quantised(latents)
    assert len(rounded.movedim(1, -1).reshape(-1, 3).unique(dim=0)) > 4
    assert float((rounded - latents).square().mean()) < 0.5 * float(latents.var()) and float(loss) > 0.0


def test_the_codebook_learns_although_it_has_no_gradient() -> None:
    torch.manual_seed(0)
    codec = Codec(3, 16, (6, 8)).train()
    before = codec.autoencoder.quantizer.quantizer.embedding.weight.clone()
    _, loss = codec.quantised(codec.encode(torch.rand(1, 1, 16, 16, 16)))
    loss.backward()
    assert not torch.equal(before, codec.autoencoder.quantizer.quantizer.embedding.weight)
    assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in codec.autoencoder.encoder.parameters())


def test_the_switchable_norm_is_its_formula() -> None:
    torch.manual_seed(0)
    norm = SwitchableNorm(5, 3, 4, 2)
    features, latent = torch.randn(1, 5, 6, 6, 6), torch.randn(1, 3, 6, 6, 6)
    first, _, second = norm.branches[1]
    both = second(torch.relu(first(latent)))
    mean = features.mean(dim=(2, 3, 4), keepdim=True)
    spread = (features.var(dim=(2, 3, 4), keepdim=True, unbiased=False) + 1e-5).sqrt()
    by_hand = (features - mean) / spread * (1 + both[:, :5]) + both[:, 5:]
    assert torch.allclose(norm(features, latent, 1), by_hand, atol=1e-5)


def test_one_targets_weights_are_not_anothers() -> None:
    torch.manual_seed(0)
    generator, latent = SwitchableGenerator(3, (6, 6), 4, 3), torch.randn(1, 3, 6, 6, 6)
    generator(latent, 1).sum().backward()
    for name, parameter in generator.named_parameters():
        touched = parameter.grad is not None and float(parameter.grad.abs().sum()) > 0
        if "branches" in name:
            assert touched == (".branches.1." in name), name


def test_untrained_the_denoiser_says_the_preview_and_the_detail_is_nothing() -> None:
    latent, like = torch.randn(2, 1, 3, 6, 6, 6)
    target = one_hot(1, 3, latent)
    said = LatentDenoiser(3, (6, 8), 3)(torch.randn_like(like), latent, like, torch.ones(1), target)
    assert torch.equal(said, like)
    image = torch.rand(1, 1, 8, 8, 8)
    assert torch.equal(Detail((4, 6), 3)(image, torch.rand_like(image), target), image)


def test_untrained_a_residual_denoiser_is_the_best_linear_estimate_and_samples_the_residuals_spread() -> None:
    torch.manual_seed(0)
    spread = torch.tensor([0.2, 0.5, 1.5]).reshape(1, 3, 1, 1, 1)
    denoiser = ResidualDenoiser(3, (6, 8), 3, "cosine")
    denoiser.spread.copy_(spread)
    latent, like, residual, noise = torch.randn(4, 1, 3, 12, 12, 12)
    truth, target, level = like + spread * residual, one_hot(1, 3, latent), torch.tensor([0.4])

    def denoise(noisy: torch.Tensor, at: float) -> torch.Tensor:
        return denoiser(noisy, latent, like, torch.tensor([at]), target)

    with torch.inference_mode():
        assert torch.allclose(denoise(noise, 1.0), like, atol=1e-5), "noise alone says nothing"
        off = (denoise(noised(truth, noise, 0.4), 0.4) - truth).std(dim=(0, 2, 3, 4))
        assert torch.allclose(off, denoiser.scale(level).flatten(), rtol=0.05)
        made = sample(denoise, noise, steps=100) - like
        none = sample(denoise, torch.zeros_like(noise), steps=40)
    assert torch.allclose(made.std(dim=(0, 2, 3, 4)), spread.flatten(), rtol=0.08)
    assert torch.allclose(none, like, atol=1e-5)


@pytest.mark.parametrize(("prediction", "matters"), [("clean", False), ("residual", True)])
def test_the_noise_of_a_residual_reaches_the_image(prediction: str, matters: bool, image: torch.Tensor) -> None:
    torch.manual_seed(3)
    network = ALDMNetwork(**{**TINY, "prediction": prediction}).eval()  # type: ignore[arg-type]
    view = network.view(image[..., :20, :28, :24], 1)
    with torch.inference_mode():
        like = network.preview(view, 1)
        drawn, from_zero = (
            network.image_of(
                sample(
                    lambda noisy, level: network.denoise(noisy, torch.tensor([level]), view.latent, like, 1),
                    start, steps=8,
                ), view, 1,
            )
            for start in (torch.randn_like(like), torch.zeros_like(like))
        )  # fmt: skip
    assert (float((drawn - from_zero).abs().mean()) > 0.1 * float(from_zero.std())) == matters


def test_the_detail_follows_the_source() -> None:
    torch.manual_seed(0)
    detail = Detail((4, 6), 3)
    torch.nn.init.normal_(detail.unet.head.weight, std=0.2)
    image, source = torch.rand(2, 1, 1, 16, 16, 16)
    other = source.clone()
    other[..., 8, 8, 8] += 1.0
    change = (detail(image, other, one_hot(0, 3, image)) - detail(image, source, one_hot(0, 3, image))).abs()
    assert float(change[..., 8, 8, 8].detach()) > 10 * float(change[..., 0, 0, 0].detach())
