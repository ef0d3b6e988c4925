"""Samplers: exact where the denoiser is exact, at the level they say, and better at few steps than MONAI's DDIM."""

from __future__ import annotations

import math
from importlib.metadata import version

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.schedulers import DDIMScheduler
from packaging.version import Version

from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.layers.samplers import (
    PREDICTIONS,
    SAMPLERS,
    SCHEDULES,
    clean_of,
    levels,
    noised,
    sample,
    wanted,
    weights,
)

SIZE = (1, 4, 6, 6, 6)
#: Spread about their mean of images whose best denoiser is known: a narrow one, as in paired translation.
SPREAD = 0.1


def _noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 40), start=st.floats(0.05, 1.0), name=st.sampled_from(SCHEDULES))
def test_an_exact_denoiser_gives_the_image_for_any_number_of_steps(
    sampler: str, steps: int, start: float, name: str
) -> None:
    schedule = "linear" if sampler == "flow" else name
    image, told = _noise(1), []

    def denoise(noisy: torch.Tensor, level: float) -> torch.Tensor:
        # What it is told is what the image has: it may take away exactly that noise.
        assert torch.allclose(noisy, noised(image, _noise(2), level, schedule), atol=2e-4)
        told.append(level)
        return image

    made = sample(
        denoise, noised(image, _noise(2), start, schedule), steps=steps, sampler=sampler, schedule=schedule, start=start
    )
    assert torch.allclose(made, image, atol=1e-4)
    assert told == levels(steps, start)[:-1]


def _best_guess(noisy: torch.Tensor, signal: float, sigma: float) -> torch.Tensor:
    """The best denoiser of images that are Gaussian noise of :data:`SPREAD` about a mean image."""
    gain = signal * SPREAD**2 / (signal**2 * SPREAD**2 + sigma**2)
    return _noise(1) + gain * (noisy - signal * _noise(1))


def _answer() -> torch.Tensor:
    """Where the exact path from that noise ends: the same noise at the images' own spread."""
    return _noise(1) + SPREAD * _noise()


@pytest.mark.skipif(Version(version("monai")) < Version("1.6"), reason="the defect came with MONAI 1.6")
@pytest.mark.parametrize(("steps", "gap"), [(2, 499), (5, 50)])
def test_monais_ddim_tells_the_network_another_level_and_pays_for_it(steps: int, gap: int) -> None:
    scheduler = DDIMScheduler(1000, schedule="scaled_linear_beta", clip_sample=False)
    scheduler.set_timesteps(steps)
    kept = scheduler.alphas_cumprod
    noise = _noise()
    theirs, gaps = noise, []
    has = int(scheduler.timesteps[0])
    for timestep in scheduler.timesteps:
        t = int(timestep)
        gaps.append(has - t)
        signal, sigma = float(kept[t].sqrt()), float((1 - kept[t]).sqrt())
        epsilon = (theirs - signal * _best_guess(theirs, signal, sigma)) / sigma
        theirs, _ = scheduler.step(epsilon, t, theirs)
        has = max(t - 1000 // steps, 0)
    assert max(gaps) >= gap - 1  # timesteps of noise that the network is not told of

    def denoise(noisy: torch.Tensor, level: float) -> torch.Tensor:
        signal, sigma = (float(w) for w in weights(level, "ddpm"))
        return _best_guess(noisy, signal, sigma)

    ours = sample(denoise, noise, steps=steps, schedule="ddpm")
    off_ours, off_theirs = (float((made - _answer()).square().mean().sqrt()) for made in (ours, theirs))
    assert off_ours < SPREAD
    if steps == 2:
        assert off_theirs > 4 * off_ours


def test_dpm_needs_fewer_steps_than_ddim_where_the_answer_is_known() -> None:
    def denoise(noisy: torch.Tensor, level: float) -> torch.Tensor:
        return _best_guess(noisy, *(float(w) for w in weights(level)))

    def off(sampler: str) -> float:
        return float((sample(denoise, _noise(), steps=12, sampler=sampler) - _answer()).abs().max())

    assert off("dpm") < off("ddim")


def test_flow_is_ddim_on_straight_lines() -> None:
    def denoise(noisy: torch.Tensor, level: float) -> torch.Tensor:
        return torch.tanh(noisy) * (1 - 0.3 * level)

    made = [sample(denoise, _noise(), steps=4, sampler=s, schedule="linear") for s in ("flow", "ddim")]
    assert torch.allclose(*made, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_goes_from_image_to_noise(schedule: str) -> None:
    signal, sigma = weights(torch.linspace(0, 1, 101), schedule)
    assert float(signal[0]) == 1.0 and float(sigma[0]) == 0.0
    assert float(signal[-1]) < 0.1 and float(sigma[-1]) > 0.99
    assert bool((signal.diff() < 0).all()) and bool((sigma.diff() > 0).all())


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_prediction_stands_for_the_same_image(kind: str, schedule: str) -> None:
    image, noise = _noise(1).repeat(3, 1, 1, 1, 1), _noise(2).repeat(3, 1, 1, 1, 1)
    level = torch.tensor([0.1, 0.5, 0.9])
    noisy = noised(image, noise, level, schedule)
    said = wanted(kind, image, noise, level, schedule)
    assert torch.allclose(clean_of(kind, said, noisy, level, schedule), image, atol=1e-4)


def test_stopping_between_two_steps() -> None:
    seen: list[float] = []

    def stop(fraction: float, clean: torch.Tensor) -> None:
        seen.append(fraction)
        if fraction >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(lambda noisy, level: noisy, _noise(), steps=4, done=stop)
    assert seen == [0.25, 0.5]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"steps": 0}, "1 step or more"),
        ({"steps": 2, "start": 1.5}, "at most 1"),
        ({"steps": 2, "start": math.nan}, "at most 1"),
        ({"steps": 2, "sampler": "plms"}, "not one of ddim"),
        ({"steps": 2, "schedule": "sine"}, "not one of cosine"),
        ({"steps": 2, "sampler": "flow"}, "belongs to the schedule 'linear'"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_a_sentence(asked: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        sample(lambda noisy, level: noisy, _noise(), **asked)
