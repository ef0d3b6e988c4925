"""Few-step diffusion: noise schedules and samplers by name.

A *level* runs from 0 (the clean image) to 1 (noise alone): ``noisy = signal(level) clean + sigma(level) noise``.
A *denoiser* says what the clean image is for a noisy one at a level; every sampler here hands the network the very
level that its image has. (MONAI 1.6.1's ``DDIMScheduler`` does not when steps are few: for 2 steps the image has the
noise of timestep 499 and the network gets 0.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from SITTranslateLib.errors import InputError

#: What the clean image is, given a noisy one and its level.
Denoiser = Callable[[Tensor, float], Tensor]
#: Called after each step with the fraction done and the clean image as then believed; may raise to cancel.
StepDone = Callable[[float, Tensor], None]

#: ``cosine``: constant variance, equal steps of angle (Salimans & Ho, ICLR 2022). ``linear``: straight lines between
#: noise and image (rectified flow: Liu, Gong, Liu, ICLR 2023). ``ddpm``: latent diffusion's 1000 betas, linear in
#: their square root (Rombach et al., CVPR 2022), which ALDM takes.
SCHEDULES = ("cosine", "linear", "ddpm")
#: What a network may predict: the image, the noise, or ``signal * noise - sigma * clean``.
PREDICTIONS = ("clean", "velocity", "noise")
BETAS = (0.0015, 0.0195, 1000)


def weights(level: float | Tensor, schedule: str = "cosine") -> tuple[Tensor, Tensor]:
    """``(signal, sigma)`` of levels, float32, of their shape."""
    at = torch.as_tensor(level, dtype=torch.float32)
    if schedule == "cosine":
        return torch.cos(at * (math.pi / 2)), torch.sin(at * (math.pi / 2))
    if schedule == "linear":
        return 1.0 - at, at
    if schedule == "ddpm":
        low, high, count = BETAS
        kept = torch.cumprod(1.0 - torch.linspace(low**0.5, high**0.5, count, dtype=torch.float64) ** 2, dim=0)
        kept = torch.cat((torch.ones(1, dtype=torch.float64), kept)).to(at)
        below = (at * count).floor().long().clamp(0, count - 1)
        part = at * count - below
        power = kept[below] ** (1 - part) * kept[below + 1] ** part
        return power.sqrt(), (1.0 - power).clamp(min=0.0).sqrt()
    raise InputError(f"The noise schedule '{schedule[:40]}' is not one of {', '.join(SCHEDULES)}.")


def _of_batch(level: float | Tensor, schedule: str, like: Tensor) -> tuple[Tensor, Tensor]:
    found = weights(torch.as_tensor(level, device=like.device), schedule)
    signal, sigma = (w.to(like).reshape(-1, *[1] * (like.ndim - 1)) for w in found)
    return signal, sigma


def noised(clean: Tensor, noise: Tensor, level: float | Tensor, schedule: str = "cosine") -> Tensor:
    """Clean images with noise at one level or one each, ``(B,)``."""
    signal, sigma = _of_batch(level, schedule, clean)
    return signal * clean + sigma * noise


def wanted(kind: str, clean: Tensor, noise: Tensor, level: float | Tensor, schedule: str = "cosine") -> Tensor:
    """Target of a network that predicts ``kind``; see :data:`PREDICTIONS`."""
    if kind == "clean":
        return clean
    if kind == "noise":
        return noise
    signal, sigma = _of_batch(level, schedule, clean)
    return signal * noise - sigma * clean


def clean_of(kind: str, prediction: Tensor, noisy: Tensor, level: float | Tensor, schedule: str = "cosine") -> Tensor:
    """The clean image that a prediction of ``kind`` stands for."""
    if kind == "clean":
        return prediction
    signal, sigma = _of_batch(level, schedule, noisy)
    if kind == "noise":
        return (noisy - sigma * prediction) / signal.clamp(min=1e-4)
    return (signal * noisy - sigma * prediction) / (signal.square() + sigma.square())


def levels(steps: int, start: float = 1.0) -> list[float]:
    """``steps + 1`` levels in equal distances from ``start`` down to 0.

    Raises:
        InputError: no step at all, or a start that is not above 0 and at most 1.
    """
    if steps < 1:
        raise InputError(f"A sampler needs 1 step or more, not {steps}.")
    if not 0.0 < start <= 1.0:
        raise InputError(f"A sampler starts at a noise level above 0 and at most 1, not {start:g}.")
    return [start * (1.0 - n / steps) for n in range(steps + 1)]


def ddim(denoise: Denoiser, noisy: Tensor, at: list[float], schedule: str, done: StepDone) -> Tensor:
    """Deterministic DDIM (Song, Meng, Ermon, ICLR 2021, equation 12 with eta 0)."""
    clean = noisy
    for n, (level, after) in enumerate(pairwise(at)):
        clean = denoise(noisy, level)
        (signal, sigma), (signal_after, sigma_after) = (_of_batch(v, schedule, noisy) for v in (level, after))
        noisy = signal_after * clean + sigma_after * (noisy - signal * clean) / sigma
        done((n + 1) / (len(at) - 1), clean)
    return clean


def flow(denoise: Denoiser, noisy: Tensor, at: list[float], schedule: str, done: StepDone) -> Tensor:
    """Euler's steps along the rectified flow ``d noisy / d level = (noisy - clean) / level``.

    On its own schedule, ``linear``, that is DDIM by another name; the tests hold both against each other.
    """
    if schedule != "linear":
        raise InputError(f"The sampler 'flow' belongs to the schedule 'linear', not to '{schedule[:40]}'.")
    for n, (level, after) in enumerate(pairwise(at)):
        clean = denoise(noisy, level)
        noisy = noisy + (after - level) * (noisy - clean) / level
        done((n + 1) / (len(at) - 1), clean)
    return noisy


def dpm(denoise: Denoiser, noisy: Tensor, at: list[float], schedule: str, done: StepDone) -> Tensor:
    """DPM-Solver++ (2M): Lu et al., arXiv 2211.01095, algorithm 2; the last step is of first order."""
    clean, before, width_before = noisy, None, math.inf
    for n, (level, after) in enumerate(pairwise(at)):
        clean = denoise(noisy, level)
        (signal, sigma), (signal_after, sigma_after) = (
            tuple(float(w) for w in weights(v, schedule)) for v in (level, after)
        )
        final = n == len(at) - 2
        width = math.inf if final else math.log(signal_after / sigma_after) - math.log(max(signal, 1e-9) / sigma)
        guess = clean
        if before is not None and not final:
            # Half the ratio of this step's width to the last one's: how far the line through both estimates goes on.
            guess = clean + 0.5 * width / width_before * (clean - before)
        noisy = sigma_after / sigma * noisy - signal_after * math.expm1(-width) * guess
        before, width_before = clean, width
        done((n + 1) / (len(at) - 1), clean)
    return noisy


#: Samplers by name.
SAMPLERS: dict[str, Callable[[Denoiser, Tensor, list[float], str, StepDone], Tensor]] = {
    "ddim": ddim,
    "flow": flow,
    "dpm": dpm,
}


def sample(
    denoise: Denoiser,
    noisy: Tensor,
    *,
    steps: int,
    sampler: str = "ddim",
    schedule: str = "cosine",
    start: float = 1.0,
    done: StepDone | None = None,
) -> Tensor:
    """The clean image of a noisy one at the level ``start``.

    Args:
        denoise: given a noisy image and its level, the clean image.
        noisy: ``(B, C, ...)``; at ``start`` 1 noise alone.
        steps: calls of the denoiser.
        sampler: of :data:`SAMPLERS`.
        schedule: of :data:`SCHEDULES`, the one that the network was trained with.
        done: called after each step; may raise to cancel.

    Raises:
        InputError: an unknown name, no steps, or a start outside 0 to 1.
    """
    if sampler not in SAMPLERS:
        raise InputError(f"The sampler '{sampler[:40]}' is not one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[sampler](denoise, noisy, levels(steps, start), schedule, done or (lambda fraction, clean: None))
