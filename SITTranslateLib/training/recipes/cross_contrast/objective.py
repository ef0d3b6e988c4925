"""Loss terms of each system between two contrasts by name, and what its discriminators compare.

An objective is a module around the network, so that one call of it is a forward pass under the precision in use.
"""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss
from monai.losses.ssim_loss import SSIMLoss
from torch import Tensor, nn

from SITTranslateLib.systems.regression.network import RegressionNetwork
from SITTranslateLib.systems.sa_unit.network import SAUnitNetwork
from SITTranslateLib.systems.sasan.attention import orthogonality
from SITTranslateLib.systems.sasan.network import SASANNetwork
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.recipes.cross_contrast.config import CrossContrastConfig

Batch = dict[str, Tensor]
#: Range of network units, for SSIM as a loss.
UNITS = 2.0


class Objective(nn.Module):
    """Common to all: the network, the penalty, the weight of each voxel."""

    network: nn.Module

    def __init__(self, network: nn.Module, config: CrossContrastConfig) -> None:
        super().__init__()
        self.network, self.config, self.want = network, config, config.terms
        self.source, self.target = config.source, config.target

    def forward(self, batch: Batch, step: int) -> Outcome:
        raise NotImplementedError

    def distance(self, one: Tensor, other: Tensor, weight: Tensor | None = None) -> Tensor:
        """L1, or Charbonnier ``sqrt(x^2 + eps^2)``; weighted by voxel and example."""
        kink = self.config.schedule.charbonnier
        off = one.float() - other.float()
        value = (off.square() + kink**2).sqrt() if kink > 0 else off.abs()
        if weight is None:
            return value.mean()
        return (value * weight).sum() / weight.expand_as(value).sum().clamp(min=1.0)

    def weight(self, batch: Batch) -> Tensor:
        """Weight of each voxel of a paired comparison, zero for examples without a partner."""
        paired = batch["paired"].reshape(-1, *[1] * (batch["mask"].ndim - 1))
        return paired * (1.0 + (self.config.schedule.brain_weight - 1.0) * batch["mask"])

    def usual_left(self, step: int) -> float:
        """Factor of the ``usual`` term at a step."""
        last = self.config.schedule.usual_last
        return last + (1.0 - last) * max(0.0, 1.0 - step / max(1, self.config.schedule.usual_first))

    def cycle_now(self, step: int) -> bool:
        return self.want.cycle > 0 and step % self.config.schedule.cycle_every == 0


class RegressionObjective(Objective):
    """Distance to the answer; for a network with class outputs, cross-entropy and Dice to the classes."""

    network: RegressionNetwork

    def __init__(self, network: nn.Module, config: CrossContrastConfig) -> None:
        super().__init__(network, config)
        self.classes = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False)

    def forward(self, batch: Batch, step: int) -> Outcome:
        made = self.network(batch["source"])
        if self.want.segmentation:
            return Outcome({"segmentation": self.classes(made, batch["classes"][:, None])})
        return Outcome({"voxel": self.distance(made, batch["target_clean"], self.weight(batch))})


class SAUnitObjective(Objective):
    """UNIT's losses in both directions, and the paired distance where there are pairs."""

    network: SAUnitNetwork

    def forward(self, batch: Batch, step: int) -> Outcome:
        want, net, outcome = self.want, self.network, Outcome()
        scans = {self.source: batch["source"], self.target: batch["target"]}
        partner = {self.source: self.target, self.target: self.source}
        latent = {name: net.encode(scan, name) for name, scan in scans.items()}
        noisy = {name: self._noisy(z) for name, z in latent.items()}
        fake = {partner[name]: net.generate(z, partner[name]) for name, z in noisy.items()}
        if want.voxel:
            weight = self.weight(batch)
            clean = {self.target: batch["target_clean"], self.source: batch["source_clean"]}
            outcome.terms["voxel"] = self._sum(self.distance(fake[n], clean[n], weight) for n in fake)
        if want.self_reconstruction and step % self.config.schedule.cycle_every == 0:
            outcome.terms["self_reconstruction"] = self._sum(
                self.distance(net.generate(noisy[n], n), scans[n]) for n in scans
            )
        if want.kl:
            outcome.terms["kl"] = self._sum(z.float().square().mean() for z in latent.values())
        if self.cycle_now(step):
            again = {name: net.encode(fake[partner[name]], partner[name]) for name in scans}
            outcome.terms["cycle"] = self._sum(
                self.distance(net.generate(self._noisy(again[n]), n), scans[n]) for n in scans
            )
            if want.kl_cycle:
                outcome.terms["kl_cycle"] = self._sum(z.float().square().mean() for z in again.values())
        if want.usual:
            by_class = {self.target: batch["target_by_class"], self.source: batch["source_by_class"]}
            outcome.terms["usual"] = self.usual_left(step) * self._sum(
                self.distance(fake[n], by_class[n]) for n in fake
            )
        if want.adversarial:
            outcome.judged = {name: (scans[name], fake[name]) for name in scans}
        return outcome

    def _noisy(self, latent: Tensor) -> Tensor:
        sd = self.config.schedule.noise
        return latent + sd * torch.randn_like(latent) if sd > 0 and self.training else latent

    @staticmethod
    def _sum(values: object) -> Tensor:
        return torch.stack(list(values)).sum()  # type: ignore[call-overload]


class SASANObjective(Objective):
    """The paper's losses; labels are the source's. One way (paired) or both ways, as the network has directions."""

    network: SASANNetwork

    def __init__(self, network: nn.Module, config: CrossContrastConfig) -> None:
        super().__init__(network, config)
        self.classes = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False)
        axes = 3 if config.network.get("dims", 2.5) == 3 else 2
        self.similarity = SSIMLoss(spatial_dims=axes, data_range=UNITS, win_size=7)

    def forward(self, batch: Batch, step: int) -> Outcome:
        if step < self.config.schedule.attention_first:
            scores = self.network.attend(batch["source"], self.source).scores
            return Outcome({"segmentation": self.classes(scores.float(), batch["classes"][:, None])})
        want, net, outcome = self.want, self.network, Outcome()
        scans = {self.source: batch["source"], self.target: batch["target"]}
        ways = [tuple(d) for d in net.directions]
        made = {way: net.synthesise(scans[way[0]], *way) for way in ways}
        forth = made[(self.source, self.target)]
        terms: dict[str, list[Tensor]] = {}
        translated: Tensor | None = None

        def add(name: str, *values: Tensor) -> None:
            if getattr(want, name) > 0:
                terms.setdefault(name, []).extend(values)

        if want.segmentation:
            add("segmentation", self.classes(forth.attended.scores.float(), batch["classes"][:, None]))
        for source, target in ways:
            result = made[(source, target)]
            if want.voxel:
                clean = batch["target_clean" if target == self.target else "source_clean"]
                add("voxel", self.distance(result.image, clean, self.weight(batch)))
            if want.usual:
                by_class = batch["target_by_class" if target == self.target else "source_by_class"]
                add("usual", self.usual_left(step) * self.distance(result.image, by_class))
            if want.orthogonality:
                add("orthogonality", orthogonality(result.attended.maps))
            if want.identity and self._can_read(target):
                same = net.synthesise(scans[target], source, target).image
                add("identity", self.distance(same, scans[target]), self.similarity(same.float(), scans[target]))
            if want.adversarial:
                outcome.judged[target] = (scans[target], result.image)
            if (target, source) not in made:
                continue
            if self.cycle_now(step):
                back = net.synthesise(result.image, target, source)
                add(
                    "cycle",
                    self.distance(back.image, scans[source]),
                    self.similarity(back.image.float(), scans[source]),
                )
                add("consistency", self.distance(result.attended.maps, back.attended.maps))
                if source == self.source:
                    translated = back.attended.scores.float()
                    add("segmentation_fake", self.classes(translated, batch["classes"][:, None]))
                elif want.pseudo:
                    # What the labelled contrast's module says of the translation is the label of the scan.
                    pseudo = back.attended.scores.detach().argmax(dim=1, keepdim=True)
                    add("pseudo", self.classes(result.attended.scores.float(), pseudo))
        if len(ways) > 1:
            there = made[(self.target, self.source)]
            if want.class_adversarial:
                found = [r.attended.scores.float() for r in (forth, there)] + (
                    [] if translated is None else [translated]
                )
                ours, *theirs = (scores.softmax(dim=1)[:, 1:] for scores in found)
                outcome.judged["classes"] = (ours.detach(), torch.cat(theirs))
            if want.latent_adversarial:
                outcome.judged["latent"] = (forth.code, there.code)
        outcome.terms = {name: torch.stack(values).sum() for name, values in terms.items()}
        return outcome

    def _can_read(self, contrast: str) -> bool:
        return self.network.share_attention or contrast in self.network.attention


OBJECTIVES: dict[str, type[Objective]] = {
    "sa_unit": SAUnitObjective,
    "sasan": SASANObjective,
    "regression": RegressionObjective,
}
