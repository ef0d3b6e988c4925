"""Uncertainty of a model: the spread of its outputs under irrelevant changes of the input.

A system that draws random numbers (a diffusion model) is asked again with other seeds. One that does not (a GAN, SIT)
is asked again about the same head mirrored, a voxel or two further, a little brighter or darker: changes that a good
model is indifferent to. Each answer is brought back to where it belongs; their standard deviation is the map. The
translation itself stays the first answer, byte for byte. Test-time augmentation as a measure of what the data leave
open: Wang et al., Neurocomputing 2019;338:34. It does not show what all answers have wrong alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from SITTranslateLib.systems import NetworkOutput

#: Names of the maps among a translation's extras: in the units of the translated scan, and in mm.
UNCERTAINTY, MOTION_UNCERTAINTY = "uncertainty", "uncertainty of the motion"
#: Voxels along each axis (even, so that a velocity on a grid coarsened by two moves along), and share of brightness.
FARTHEST_VOXELS, BRIGHTEST = 2, 0.03

#: One pass of a network on an image, with a seed and a progress to report to; whether it drew random numbers.
Run = Callable[[Tensor, int, Callable[[float], None]], tuple[NetworkOutput, bool]]


@dataclass(frozen=True)
class Jitter:
    """A change that a model should be indifferent to.

    Attributes:
        mirrored: left and right exchanged, along the last axis (the network's grid lies along +R).
        shift: voxels along (K, J, I).
        gain: factor of the intensities.
    """

    mirrored: bool = False
    shift: tuple[int, int, int] = (0, 0, 0)
    gain: float = 1.0

    def put_on(self, image: Tensor) -> Tensor:
        """The image ``(1, 1, K, J, I)`` changed."""
        changed = image.flip(-1) if self.mirrored else image
        return torch.roll(changed, self.shift, (-3, -2, -1)) * self.gain

    def taken_off(self, answer: Tensor, steps: int = 1) -> Tensor:
        """An answer ``(1, C, k, j, i)``, whose voxels are ``steps`` of the image's long, brought back to its place."""
        back = torch.roll(answer, tuple(-n // steps for n in self.shift), (-3, -2, -1))
        return back.flip(-1) if self.mirrored else back


def jitters(count: int, seed: int) -> list[Jitter]:
    """So many changes, the first of them the mirror image alone; the same for the same seed."""
    rng = np.random.default_rng([seed, 7])
    drawn = [Jitter(mirrored=True)]
    while len(drawn) < count:
        k, j, i = (int(n) for n in FARTHEST_VOXELS * rng.integers(-1, 2, 3))
        drawn.append(Jitter(len(drawn) % 2 == 0, (k, j, i), 1.0 + float(rng.uniform(-BRIGHTEST, BRIGHTEST))))
    return drawn[:count]


def with_uncertainty(
    run: Run,
    image: Tensor,
    seed: int,
    members: int,
    progress: Callable[[float], None] | None = None,
    *,
    keeps_units: bool = True,
) -> NetworkOutput:
    """The answer for ``seed`` with the maps of uncertainty among its extras.

    Args:
        run: one pass of the network.
        image: ``(1, 1, K, J, I)``, network units.
        members: how many answers; each takes as long as a translation.
        keeps_units: a brighter scan should give a brighter answer (not so where the target is another contrast).
    """
    report = progress or (lambda fraction: None)

    def part(number: int) -> Callable[[float], None]:
        return lambda fraction: report((number + fraction) / members)

    first, drew = run(image, seed, part(0))
    images, motions = [first.translated.float()], [first.velocity]
    changes = jitters(members - 1, seed)
    for number in range(1, members):
        change = Jitter() if drew else changes[number - 1]
        other, _ = run(change.put_on(image), seed + number if drew else seed, part(number))
        brought = change.taken_off(other.translated.float())
        images.append(brought / change.gain if keeps_units else brought)
        motions.append(None if other.velocity is None else _unmirrored(change, other.velocity.float(), image))
    extras: dict[str, Tensor] = {UNCERTAINTY: torch.stack(images).std(dim=0)}
    known = [motion for motion in motions if motion is not None]
    if len(known) == members:
        spread = torch.stack([motion.float() for motion in known]).std(dim=0)
        extras[MOTION_UNCERTAINTY] = _as_large_as(spread.square().sum(dim=1, keepdim=True).sqrt(), image)
    return replace(first, extras={**first.extras, **extras})


def _unmirrored(change: Jitter, velocity: Tensor, image: Tensor) -> Tensor:
    """A velocity ``(1, 3, k, j, i)`` in mm RAS brought back; of a mirrored head it points the other way along R."""
    back = change.taken_off(velocity, max(1, round(image.shape[-1] / velocity.shape[-1])))
    return back * back.new_tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1, 1) if change.mirrored else back


def _as_large_as(values: Tensor, image: Tensor) -> Tensor:
    if values.shape[2:] == image.shape[2:]:
        return values
    return torch.nn.functional.interpolate(values, size=image.shape[2:], mode="trilinear", align_corners=False)


def summary(extras: Mapping[str, np.ndarray]) -> str:
    """A line about the maps for the terminal; empty where there are none."""
    if UNCERTAINTY not in extras:
        return ""
    parts = [f"99th percentile {np.percentile(extras[UNCERTAINTY], 99):.3g} native units"]
    if MOTION_UNCERTAINTY in extras:
        parts.append(f"of the motion {np.percentile(extras[MOTION_UNCERTAINTY], 99):.2g} mm")
    return "Uncertainty: " + ", ".join(parts)
