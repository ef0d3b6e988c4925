"""Training on real pairs: steps, average of the weights, and a checkpoint for resuming."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.layers.blocks import ConvolutionBlock
from SITTranslateLib.systems.regression.multi_contrast import MultiContrastNetwork
from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.training.recipes.real_contrasts.preparation import prepared
from SITTranslateLib.training.recipes.real_contrasts.samples import Batch, Sampler, training_visit
from SITTranslateLib.training.recipes.real_contrasts.subjects import CONTRASTS, training_visits

log = logging.getLogger(__name__)

CHECKPOINT, FINISHED, COVERAGE = "checkpoint.pt", "weights.pt", "coverage.json"
DRAWN_LESIONS = 0.5
"""Share of the samples of the second part with drawn lesions."""
SSIM_WINDOW, SSIM_RANGE = 7, 6.0
"""Width of the loss's SSIM window, voxels, and its range of values, standard deviations of the brain."""


def train(config: RealContrastsConfig, data: Path, cache: Path, folder: Path, every: int = 250) -> MultiContrastNetwork:
    """Train, or go on from the run's checkpoint.

    Args:
        config: of the run.
        data: folder with the scans.
        cache: folder of prepared visits; filled if empty.
        folder: of the checkpoint, the log and, at the end, ``weights.pt``.
        every: steps between checkpoints.

    Returns:
        The network with averaged weights.

    Raises:
        InputError: the run was begun with another configuration, or scans are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    visits = training_visits(config.fold)
    drawn = [training_visit(prepared(visit, data, cache), visit.stripped) for visit in visits]
    per_subject = {s: sum(v.subject == s for v in visits) for s in {v.subject for v in visits}}
    # Two visits of one person are worth one and a half.
    chances = [v.weight / per_subject[v.subject] ** 0.5 for v in visits]
    samplers = [Sampler(drawn, chances, config.size, config.augmentation, share) for share in (0.0, DRAWN_LESIONS)]
    torch.manual_seed(config.seed)
    network = MultiContrastNetwork(CONTRASTS, widths=config.widths, norm="batch")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = MultiContrastNetwork(CONTRASTS, widths=config.widths, norm="batch")
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
    step, spent = _resumed(folder / CHECKPOINT, config, network, average, optimiser)
    network.train()
    begun, lately = time.process_time(), []
    while step < config.total:
        second = step >= config.steps
        for group in optimiser.param_groups:
            group["lr"] = config.rate * (
                0.5 * rate_at(step - config.steps, config.lesion_steps) if second else rate_at(step, config.steps)
            )
        batch = samplers[second].batch(config.batch, (config.seed, step))
        losses = loss_of(network, batch, config)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        _average(average, network, min(config.average, step / (step + 10.0)))
        lately.append({name: float(value.detach()) for name, value in losses.items()})
        if step % every == 0 or step == config.total:
            seconds = spent + time.process_time() - begun
            means = {name: sum(one[name] for one in lately) / len(lately) for name in lately[0]}
            lately = []
            line = {"step": step, "cpu_seconds": round(seconds, 1), **{n: round(v, 4) for n, v in means.items()}}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            log.info("%s", line)
            _save(folder / CHECKPOINT, config, network, average, optimiser, step, seconds)
    plain = baked_network(average)
    part = folder / "weights.part"
    torch.save(plain.state_dict(), part)
    part.replace(folder / FINISHED)
    return plain


def rate_at(step: int, steps: int, warm: int = 100) -> float:
    """The learning rate's factor: a short rise, then half a cosine down to 1 %."""
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def loss_of(network: MultiContrastNetwork, batch: Batch, config: RealContrastsConfig) -> dict[str, Tensor]:
    """Terms of the loss, weighted."""
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        stack = batch.stack.contiguous(memory_format=torch.channels_last)
        mean, scale = network(stack, batch.code)
    error = (mean - batch.targets).abs()
    total = batch.weights.sum().clamp(min=1.0)
    scale = scale.clamp(-5.0, 3.0)
    return {
        "absolute": (error * batch.weights).sum() / total,
        "ssim": config.ssim * dissimilarity(mean, batch.targets, batch.weights),
        "scale": config.scale * ((error.detach() * (-scale).exp() + scale) * batch.weights).sum() / total,
    }


def dissimilarity(image: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """1 - SSIM in 2D with a uniform window, averaged with the loss's weights."""
    channels = image.shape[1]
    # Outside of what counts both are alike, so that the rim of a stripped brain is no structure.
    there = (weights > 0).float()
    x, y = image.clamp(-6.0, 8.0) * there, truth * there

    def mean(values: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(values, SSIM_WINDOW, 1, SSIM_WINDOW // 2, count_include_pad=False)

    both = mean(torch.cat((x, y, x * x, y * y, x * y), dim=1))
    mx, my, xx, yy, xy = both.split(channels, dim=1)
    c1, c2 = (0.01 * SSIM_RANGE) ** 2, (0.03 * SSIM_RANGE) ** 2
    vx, vy, vxy = (xx - mx * mx).clamp(min=0), (yy - my * my).clamp(min=0), xy - mx * my
    # Of structure alone: the level is the absolute error's.
    similar = (2 * vxy + c2) / (vx + vy + c2) * (2 * mx * my + c1 + 1.0) / (mx * mx + my * my + c1 + 1.0)
    return ((1.0 - similar) * weights).sum() / weights.sum().clamp(min=1.0)


@torch.no_grad()
def baked_network(network: MultiContrastNetwork) -> MultiContrastNetwork:
    """The same network with its batch normalisation multiplied into the convolutions."""
    plain = MultiContrastNetwork(
        network.contrasts,
        network.targets,
        network.sources,
        _widths(network),
        "none",
        network.slices,
        network.coverage,
    )
    for into, block in zip(_blocks(plain), _blocks(network), strict=True):
        conv, norm = block[0], block[1]
        assert isinstance(conv, nn.Conv2d)
        weight, bias = conv.weight, conv.bias
        if isinstance(norm, nn.BatchNorm2d):
            assert bias is not None and norm.running_mean is not None and norm.running_var is not None
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = weight * factor[:, None, None, None]
            bias = (bias - norm.running_mean) * factor + norm.bias
        target = into[0]
        assert isinstance(target, nn.Conv2d) and target.bias is not None and bias is not None
        target.weight.copy_(weight)
        target.bias.copy_(bias)
    plain.mean.load_state_dict(network.mean.state_dict())
    plain.scale.load_state_dict(network.scale.state_dict())
    return plain.eval()


def _blocks(network: nn.Module) -> list[ConvolutionBlock]:
    return [part for part in network.modules() if isinstance(part, ConvolutionBlock)]


def _widths(network: MultiContrastNetwork) -> list[int]:
    """Channels at each level."""
    blocks = [network.unet.stem, *(pair[0] for pair in network.unet.down)]  # type: ignore[index]
    return [next(iter(block.parameters())).shape[0] for block in blocks]


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, kept: float) -> None:
    state = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[name].to(value.dtype), 1.0 - kept)
        else:
            value.copy_(state[name])


def _save(
    file: Path,
    config: RealContrastsConfig,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    part = file.with_suffix(".part")
    state: dict[str, Any] = {
        "config": json.dumps(asdict(config)),
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    torch.save(state, part)
    part.replace(file)


def _resumed(
    file: Path,
    config: RealContrastsConfig,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> tuple[int, float]:
    """Step and CPU-seconds of the checkpoint, which is loaded; 0 without one."""
    if not file.is_file():
        return 0, 0.0
    state: Mapping[str, Any] = torch.load(file, weights_only=True)
    begun, wanted = json.loads(state["config"]), json.loads(json.dumps(asdict(config)))
    # Fields that came later have the values that the run was begun with.
    if begun != {name: wanted[name] for name in begun}:
        raise InputError(f"The run '{file.parent.name}' was begun with another configuration; take another folder.")
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["seconds"])
