"""Loss terms of each stage of ALDM by name, unweighted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.aldm.codec import FACTOR
from SITTranslateLib.systems.aldm.network import ALDMNetwork, View
from SITTranslateLib.systems.aldm.switchable import cycled, one_hot
from SITTranslateLib.systems.layers.samplers import clean_of, noised, wanted
from SITTranslateLib.systems.regression.many_to_many import AnyRegressionNetwork
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.recipes.aldm.config import ALDMConfig
from SITTranslateLib.training.recipes.aldm.data import Batch, inside

#: Latents about a block that are decoded with it; all that matter are :data:`codec.REACH`.
ABOUT = 3
#: What squares are multiplied by, so that they are about as large as absolute values.
SQUARES = 10.0


def size_of(off: Tensor, squared: bool) -> Tensor:
    """Absolute values of differences, or their squares."""
    return SQUARES * off.square() if squared else off.abs()


def voxel_loss(made: Tensor, truth: Tensor, weight: Tensor, *, squared: bool = False) -> Tensor:
    """Weighted L1 or L2."""
    return (size_of(made.float() - truth, squared) * weight).sum() / weight.expand_as(truth).sum()


def gradient_loss(made: Tensor, truth: Tensor, weight: Tensor | None = None, *, squared: bool = False) -> Tensor:
    """L1 or L2 of the differences between neighbours along the three axes, weighted or not."""
    off, parts = made.float() - truth, []
    for axis in (2, 3, 4):
        size = size_of(off.diff(dim=axis), squared)
        if weight is None:
            parts.append(size.mean())
            continue
        counts = weight.narrow(axis, 1, weight.shape[axis] - 1).expand_as(size)
        parts.append((size * counts).sum() / counts.sum())
    return torch.stack(parts).mean()


class ALDMObjective(nn.Module):
    """The losses of all stages, so that one call is a forward pass under the precision in use."""

    def __init__(self, network: nn.Module, config: ALDMConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        self._encoded: dict[tuple[Any, ...], Tensor] = {}
        self._stages: dict[str, Callable[[Batch], Outcome]] = {
            "autoencoder": self._autoencoder, "ms_spade": self._ms_spade, "diffusion": self._diffusion,
            "detail": self._detail, "regression": self._regression,
        }  # fmt: skip

    def forward(self, stage: str, batch: Batch) -> Outcome:
        return self._stages[stage](batch)

    def trained(self, stage: str) -> list[nn.Parameter]:
        """Modules trained in a stage; all others are frozen."""
        net = self.network
        if isinstance(net, ALDMNetwork):
            parts = {
                "autoencoder": net.codec,
                "ms_spade": net.generator,
                "diffusion": net.denoiser,
                "detail": net.detail,
            }
            chosen = parts[stage]
            return [] if chosen is None else [p for p in chosen.parameters() if p.requires_grad]
        return list(net.parameters())

    def _aldm(self) -> ALDMNetwork:
        assert isinstance(self.network, ALDMNetwork)
        return self.network

    # ------------------------------------------------------------------ stages
    def _autoencoder(self, batch: Batch) -> Outcome:
        codec, schedule = self._aldm().codec, self.config.schedule
        latents = codec.encode(batch.source)
        if not codec.settled:
            return Outcome(self._images("autoencoder", codec.decode(latents), batch.source, batch.weight))
        rounded, commitment = codec.quantised(latents)
        free = torch.rand(len(latents), 1, 1, 1, 1, device=latents.device) < schedule.unquantised
        made = codec.decode(torch.where(free, latents, rounded))
        return Outcome(self._images("autoencoder", made, batch.source, batch.weight) | {"codebook": commitment})

    def _ms_spade(self, batch: Batch) -> Outcome:
        net = self._aldm()
        views, truth = self._views(batch), self._truth(batch)
        like = self._previews(views, batch)
        off = like - truth
        terms = {"latent": (off.square() if self.config.stages["ms_spade"].squared else off.abs()).mean()}
        if self.config.terms.cycle and net.painter is None:
            there, source = batch.indices[0], views[0].latent
            terms["cycle"] = (cycled(net.generator, source, batch.contrast, there).float() - source).abs().mean()
        made, wanted_, weight = self._decoded(like, batch, "ms_spade")
        made = made + self._lost(views, batch, "ms_spade")
        outcome = Outcome(terms | self._images("ms_spade", made, wanted_, weight))
        if self.config.terms.adversarial:
            outcome.judged["images"] = (wanted_, made)
        return outcome

    def _diffusion(self, batch: Batch) -> Outcome:
        net = self._aldm()
        views, truth = self._views(batch), self._truth(batch)
        source = views[0].latent
        with torch.no_grad():
            like = self._previews(views, batch)
        noise, level = torch.randn_like(truth), self._levels(len(truth), truth)
        noisy = noised(truth, noise, level, net.schedule)
        targets = torch.cat([one_hot(n, len(net.contrasts), source) for n in batch.indices])
        predicted = net.denoiser(noisy, source.expand_as(truth), like, level, targets)
        should = wanted(net.prediction, truth, noise, level, net.schedule)
        terms = {"latent": ((predicted - should) / net.denoiser.scale(level)).square().mean()}
        if not self.config.schedule.decoded_diffusion:
            return Outcome(terms)
        clean = clean_of(net.prediction, predicted, noisy, level, net.schedule)
        made, wanted_, weight = self._decoded(clean, batch, "diffusion")
        made = made + self._lost(views, batch, "diffusion")
        return Outcome(terms | self._images("diffusion", made, wanted_, weight))

    def _detail(self, batch: Batch) -> Outcome:
        net, schedule = self._aldm(), self.config.schedule
        assert net.detail is not None
        made = []
        for view, n in zip(self._views(batch), batch.indices, strict=True):
            with torch.no_grad():
                latent = net.preview(view, n)
                if "diffusion" in self.config.stages and float(torch.rand(())) < schedule.drawn:
                    latent = net.diffuse(view.latent, latent, n, steps=schedule.detail_steps)
                decoded, truth, weight = self._decoded(latent, batch, "detail")
                side = self.config.stages["detail"].block
                mapped = None if view.mapped is None else inside(view.mapped, batch.corner, side)
                lost = None if mapped is None else self._lost([view], batch, "detail")
            made.append(net.detailed(decoded, inside(batch.source, batch.corner, side), mapped, lost, n))
        return Outcome(self._images("detail", torch.cat(made), truth, weight))

    def _regression(self, batch: Batch) -> Outcome:
        net = self.network
        assert isinstance(net, AnyRegressionNetwork)
        side = self.config.stages["regression"].block
        truth = inside(batch.targets, batch.corner, side)
        scan = inside(batch.source, batch.corner, side).expand_as(truth)
        made = net(scan, torch.cat([one_hot(n, len(net.contrasts), batch.source) for n in batch.indices]))
        return Outcome(self._images("regression", made, truth, inside(batch.weight, batch.corner, side)))

    # ------------------------------------------------------------------ parts
    def _previews(self, views: list[View], batch: Batch) -> Tensor:
        return torch.cat([self._aldm().preview(view, n) for view, n in zip(views, batch.indices, strict=True)])

    @torch.no_grad()
    def residual(self, batch: Batch) -> Tensor:
        """What the targets' latents have beyond the previews ``(B, latent, k, j, i)``."""
        return self._truth(batch) - self._previews(self._views(batch), batch)

    def _images(self, stage: str, made: Tensor, truth: Tensor, weight: Tensor) -> dict[str, Tensor]:
        settings = self.config.stages[stage]
        everywhere = settings.brain == 1.0
        weight = torch.where(weight > 1.0, settings.brain * weight, weight)
        return {
            "voxel": voxel_loss(made, truth, weight, squared=settings.squared),
            "gradient": gradient_loss(made, truth, None if everywhere else weight, squared=settings.squared),
        }

    @torch.no_grad()
    def _views(self, batch: Batch) -> list[View]:
        """The source as it is seen for each of the targets; what contrast it is, is known."""
        net = self._aldm()
        latent = net.codec.encode(batch.source)
        shares = batch.shares / 255.0 if len(batch.shares) else None
        source = one_hot(batch.contrast, len(net.contrasts), batch.source)
        return [net.view_of(batch.source, latent, n, shares, source) for n in batch.indices]

    @torch.no_grad()
    def _truth(self, batch: Batch) -> Tensor:
        return torch.cat([self._known(batch, n) for n in range(len(batch.indices))])

    def _known(self, batch: Batch, n: int) -> Tensor:
        """The latent of a target, encoded once: the codec does not change any more."""
        key = (*batch.head, batch.indices[n])
        if key not in self._encoded:
            self._encoded[key] = self._aldm().codec.encode(batch.targets[n : n + 1])
        return self._encoded[key]

    def _decoded(self, latents: Tensor, batch: Batch, stage: str) -> tuple[Tensor, Tensor, Tensor]:
        """The block of the batch: decoded, as it should be, and its weight.

        What lies about the block is decoded with it: at the edge of what it is given the decoder makes what it would
        not make within a head, and a generator would learn to make up for that.
        """
        side = self.config.stages[stage].block
        first = [c // FACTOR for c in batch.corner]
        low = [max(0, n - ABOUT) for n in first]
        k, j, i = (slice(n, c + side // FACTOR + ABOUT) for n, c in zip(low, first, strict=True))
        made = self._aldm().codec.decode(latents[..., k, j, i])
        within = tuple(FACTOR * (c - n) for n, c in zip(low, first, strict=True))
        truth = inside(batch.targets, batch.corner, side)
        made = inside(made, within, side)[..., : truth.shape[2], : truth.shape[3], : truth.shape[4]]  # type: ignore[arg-type]
        return made, truth, inside(batch.weight, batch.corner, side)

    @torch.no_grad()
    def _lost(self, views: list[View], batch: Batch, stage: str) -> Tensor:
        """Detail of the mapped scans that the codec loses, in the block of the batch; zero without a tissue mapping.

        It is added to all that is decoded. A generator that did not know would sharpen what is sharpened again.
        """
        lost = [
            inside(view.mapped, batch.corner, self.config.stages[stage].block)
            - self._decoded(view.mapped_latent, batch, stage)[0]
            for view in views
            if view.mapped is not None and view.mapped_latent is not None
        ]
        return torch.cat(lost) if lost else batch.targets.new_zeros(())

    def _levels(self, count: int, like: Tensor) -> Tensor:
        """Noise levels, a third of them at the top, where few steps begin."""
        level = torch.rand(count, device=like.device).clamp(min=0.02)
        return torch.where(torch.rand(count, device=like.device) < 1 / 3, torch.ones_like(level), level)
