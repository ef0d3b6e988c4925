"""ALDM: 3D latent diffusion between any of several contrasts, with one network, for whole heads.

Kim & Park, "Adaptive Latent Diffusion Model for 3D Medical Image to Image Translation: Multi-modal Magnetic Resonance
Imaging Study", WACV 2024, pp. 7604-7613. Written from its formulas; what differs is said in docs/diffusion.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.aldm.codec import FACTOR, Codec
from SITTranslateLib.systems.aldm.denoiser import LATENT_PREDICTIONS, Detail, LatentDenoiser, ResidualDenoiser
from SITTranslateLib.systems.aldm.switchable import SwitchableGenerator, one_hot
from SITTranslateLib.systems.aldm.tissue_mapping import TissueIntensityMapping
from SITTranslateLib.systems.layers.samplers import SAMPLERS, SCHEDULES, clean_of, noised, sample
from SITTranslateLib.systems.network import NetworkOutput, Progress, after_step
from SITTranslateLib.systems.plasticine.structure_map import NOTHING

#: Latent slices that are decoded together.
SLAB = 16
#: Range of network units that an image may have.
LEAST, MOST = 0.0, 4.0


class View(NamedTuple):
    """Features of a source for one target.

    Attributes:
        image, latent: of the source ``(1, 1, K, J, I)``, ``(1, latent, K/4, J/4, I/4)``.
        mapped, mapped_latent: the source in the target's intensities; None without :class:`TissueIntensityMapping`.
        empty: air, or removed by skull stripping ``(1, 1, K, J, I)``; None without tissue intensity mapping.
    """

    image: Tensor
    latent: Tensor
    mapped: Tensor | None = None
    mapped_latent: Tensor | None = None
    empty: Tensor | None = None


class ALDMNetwork(nn.Module):
    """One codec, one switchable generator and one denoiser for all directions.

    Args:
        contrasts: that can be read and made, by class.
        targets: those that are offered, by the index that a request gives; all if empty.
        latent, codes, codec: of :class:`Codec`.
        spade, hidden: widths of the switchable generator and of its branches.
        widths: of the denoiser.
        detail: widths of the network that brings the source's detail back; empty for none, as in the paper.
        prediction, schedule: of the denoiser; see :mod:`SITTranslateLib.systems.layers.samplers`, for ``residual``
            :class:`ResidualDenoiser`.
        sampler, steps: if a request asks for nothing else.
        start: noise level of the first step; below 1 it starts from the noised preview.
        paint: begin with the scan in the target's brightness, tissue by tissue; without it, as in the paper.
    """

    def __init__(
        self,
        contrasts: Sequence[str],
        targets: Sequence[str] = (),
        latent: int = 8,
        codes: int = 512,
        codec: Sequence[int] = (24, 48),
        spade: Sequence[int] = (32, 48, 32),
        hidden: int = 12,
        widths: Sequence[int] = (32, 64, 96),
        detail: Sequence[int] = (24, 48),
        prediction: str = "clean",
        schedule: str = "cosine",
        sampler: str = "ddim",
        steps: int = 3,
        start: float = 1.0,
        paint: bool = False,
    ) -> None:
        super().__init__()
        for value, known in ((prediction, LATENT_PREDICTIONS), (schedule, SCHEDULES), (sampler, SAMPLERS)):
            if value not in known:
                raise ValueError(f"'{value}' is not one of {', '.join(known)}")
        if len(set(contrasts)) < max(2, len(contrasts)) or set(targets) - set(contrasts):
            raise ValueError("there must be two contrasts, each once, and the targets must be among them")
        if (sampler == "flow") != (schedule == "linear"):
            raise ValueError("the sampler 'flow' and the schedule 'linear' belong together")
        self.contrasts, self.targets = tuple(contrasts), tuple(targets or contrasts)
        # A residual denoiser answers with the clean latent.
        self.prediction = "clean" if prediction == "residual" else prediction
        self.schedule, self.sampler, self.steps, self.start = schedule, sampler, steps, start
        count = len(self.contrasts)
        self.codec = Codec(latent, codes, codec)
        self.generator = SwitchableGenerator(latent, spade, hidden, count, mapped=paint)
        self.denoiser: LatentDenoiser = (
            ResidualDenoiser(latent, widths, count, schedule)
            if prediction == "residual"
            else LatentDenoiser(latent, widths, count, prediction)
        )
        self.detail = Detail(detail, count, 3 if paint else 1) if detail else None
        self.painter = TissueIntensityMapping(count) if paint else None

    # ------------------------------------------------------------------ parts
    def view(self, image: Tensor, target: int, shares: Tensor | None = None, source: Tensor | None = None) -> View:
        """Features of a source ``(1, 1, K, J, I)``, sizes multiples of 4, for a target.

        Args:
            target: index of a contrast.
            shares, source: as :class:`TissueIntensityMapping` takes them; found if not given.
        """
        latent = self.codec.encode(image)
        return self.view_of(image, latent, target, shares, source)

    def view_of(
        self, image: Tensor, latent: Tensor, target: int, shares: Tensor | None = None, source: Tensor | None = None
    ) -> View:
        """As :meth:`view`, the source's latent being known."""
        if self.painter is None:
            return View(image, latent)
        shares = self.painter.shares(image) if shares is None else shares
        source = self.painter.source_of(image, shares) if source is None else source
        mapped = self.painter(image, shares, source, target)
        return View(image, latent, mapped, self.codec.encode(mapped), shares[:, :1] > NOTHING)

    def preview(self, view: View, target: int) -> Tensor:
        """The target-like latent by the switchable generator alone; ``target`` is the index of a contrast."""
        return self.generator(view.latent, target, view.mapped_latent).float()

    def denoise(self, noisy: Tensor, level: Tensor, latent: Tensor, like: Tensor, target: int) -> Tensor:
        """The clean latent of a noisy one at levels ``(B,)``, given the source's and the target-like one."""
        said = self.denoiser(noisy, latent, like, level, one_hot(target, len(self.contrasts), noisy))
        return clean_of(self.prediction, said, noisy, level, self.schedule)

    def diffuse(
        self,
        latent: Tensor,
        like: Tensor,
        target: int,
        *,
        steps: int,
        start: float = 1.0,
        sampler: str = "",
        done: Progress | None = None,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """The target's latent drawn by diffusion, with torch's random numbers; ``seen`` gets that of every step."""

        def after(fraction: float, clean: Tensor) -> None:
            if seen is not None:
                seen.append(clean)
            if done is not None:
                done(fraction)

        return sample(
            lambda noisy, level: self.denoise(noisy, noisy.new_full((len(noisy),), level), latent, like, target),
            noised(like, torch.randn_like(like), start, self.schedule),
            steps=steps,
            sampler=sampler or self.sampler,
            schedule=self.schedule,
            start=start,
            done=after,
        )

    def detailed(
        self, decoded: Tensor, image: Tensor, mapped: Tensor | None, lost: Tensor | None, target: int
    ) -> Tensor:
        """A decoded image with what the codec ``lost`` of the mapped scan, and the detail that is learned."""
        assert self.detail is not None
        code = one_hot(target, len(self.contrasts), decoded)
        if mapped is None or lost is None:
            return self.detail(decoded, image, code)
        return self.detail(decoded + lost, torch.cat((image, mapped, lost), dim=1), code)

    def lost(self, view: View) -> Tensor | None:
        """Detail of the mapped scan that the codec loses; it does not depend on the sample."""
        if self.detail is None or view.mapped is None or view.mapped_latent is None:
            return None
        return view.mapped - self.codec.decode_in_slabs(view.mapped_latent, SLAB)

    def image_of(self, latent: Tensor, view: View, target: int, lost: Tensor | None = None) -> Tensor:
        """The image of a target's latent with the source's detail, network units; ``lost`` as in :meth:`lost`."""
        image = self.codec.decode_in_slabs(latent, SLAB)
        if self.detail is not None:
            image = self.detailed(image, view.image, view.mapped, lost, target)
        # Air stays 0: no grey box about a head.
        return (image if view.empty is None else image.masked_fill(view.empty, LEAST)).clamp(LEAST, MOST)

    # ------------------------------------------------------------------ the whole
    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`.

        The request may name ``target`` (index into the targets), ``source`` (1 and more: that the image is the
        first, second ... of the targets; 0: as it looks), ``steps`` (0: the preview alone), ``samples`` (more
        than one: their mean, and their standard deviation as ``uncertainty``) and ``intermediate`` (1: what the image
        was taken to be after every step).
        """
        report = progress or (lambda fraction: None)
        target = self.contrasts.index(self._offered(_whole(request, "target", 0, 0)))
        steps = _whole(request, "steps", self.steps, 0)
        samples = _whole(request, "samples", 1, 1) if steps else 1
        shape = image.shape[2:]
        short = [-n % FACTOR for n in reversed(shape)]
        source = nn.functional.pad(image.float(), [v for n in short for v in (0, n)])

        view = self.view(source, target, source=self._source(request, source))
        report(0.1)
        lost = self.lost(view)
        like = self.preview(view, target)
        report(0.15)

        def shown(latent: Tensor) -> Tensor:
            k, j, i = shape
            return self.image_of(latent, view, target, lost)[..., :k, :j, :i]

        drawn: list[Tensor] = []
        between: list[Tensor] = []
        for n in range(samples if steps else 0):
            seen: list[Tensor] | None = between if n == 0 and request.get("intermediate", 0.0) >= 0.5 else None
            made = self.diffuse(
                view.latent, like, target, steps=steps, start=self.start, seen=seen,
                done=lambda f, n=n: report(0.15 + 0.7 * (n + f) / samples),  # type: ignore[misc]
            )  # fmt: skip
            drawn.append(shown(made))
        extras = {after_step(n + 1, steps): shown(latent_) for n, latent_ in enumerate(between)}
        if len(drawn) > 1:
            extras["uncertainty"] = torch.stack(drawn).std(dim=0)
        translated = torch.stack(drawn).mean(dim=0) if drawn else shown(like)
        report(1.0)
        return NetworkOutput(translated=translated, keeps_geometry=True, extras=extras)

    def _offered(self, index: int) -> str:
        if index >= len(self.targets):
            raise InputError(f"There is no target {index}; this network makes {', '.join(self.targets)}.")
        return self.targets[index]

    def _source(self, request: Mapping[str, float], image: Tensor) -> Tensor | None:
        """The requested source contrast for the tissue intensity mapping; None without a request."""
        said = _whole(request, "source", 0, 0)
        if said == 0:
            return None
        return one_hot(self.contrasts.index(self._offered(said - 1)), len(self.contrasts), image)


def _whole(request: Mapping[str, float], name: str, default: int, least: int) -> int:
    value = float(request.get(name, default))
    if value != round(value) or value < least:
        raise InputError(f"'{name}' must be a whole number of {least} or more, not {value:g}.")
    return int(value)
