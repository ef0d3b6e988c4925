"""Several MR contrasts of a head from any one of them: a 2.5D U-Net, averaged over three axes.

The network sees three neighbouring slices, standardised by the middle of the brain, and one plane for each contrast
that the scan may have. It gives every contrast at once, and how far off each may be (the scale of a Laplace
distribution), which a calibration on held-out patients corrects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.systems.layers.blocks import ConvolutionBlock, convolution
from SITTranslateLib.systems.layers.unet import UNet
from SITTranslateLib.systems.layers.volumes import neighbours
from SITTranslateLib.systems.network import NetworkOutput, Progress

MIDDLE_MM = (42.0, 52.0, 36.0)
"""Half axes (R, A, S) of the ellipsoid about the grid's middle whose values standardise a scan: brain alone."""
CURVE_BINS, FEWEST_IN_BIN = 64, 20
"""Bins of the intensity curve, equally wide, and the fewest voxels of one that counts."""
TRIM = (5.0, 95.0)
"""Percentiles between which the ellipsoid's values count."""
AIR = 0.06
"""Network units below which a voxel of the scan is no tissue."""
CLIP = (-6.0, 8.0)
"""Standardised values beyond these carry nothing."""
LEVEL, SPREAD = 0.5, 0.125
"""Network units of a standardised value of 0, and of one standard deviation."""
OUTSIDE = (-LEVEL / SPREAD, 0.0)
"""Means and logarithms of scales where there is no tissue."""
SLICES_AT_ONCE = 4
MARGIN = 8
"""Air around the tissue of a slice that the network sees, voxels."""


def middle_values(array: NDArray[np.float32], spacing_mm: float = 1.0) -> NDArray[np.float32]:
    """The scan's values ``(N,)`` in an ellipsoid about the grid's middle, tissue only.

    Args:
        array: ``(K, J, I)`` in network units (air 0), on a grid that is centred on the brain.
        spacing_mm: of the grid.
    """
    box, inside = middle_of_brain(array, spacing_mm)
    values = array[box][inside]
    return values if values.size > 1000 else array[array > AIR]


def middle_of_brain(
    array: NDArray[np.float32], spacing_mm: float
) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]]:
    """The box about the grid's middle, and where in it tissue lies inside the ellipsoid; see :func:`middle_values`."""
    half = np.array(MIDDLE_MM[::-1]) / spacing_mm
    middle = (np.array(array.shape) - 1) / 2.0
    low = np.maximum(0, np.floor(middle - half)).astype(int)
    high = np.minimum(array.shape, np.ceil(middle + half).astype(int) + 1)
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    axes = [((np.arange(a, b) - m) / h) ** 2 for a, b, m, h in zip(low, high, middle, half, strict=True)]
    radius = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    return (k, j, i), (radius < 1.0) & (array[k, j, i] > AIR)


def by_intensity_curve(
    scan: NDArray[np.float32], made: NDArray[np.float32], chosen: NDArray[np.float32], target: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``made`` as a curve of the scan's intensity alone: the mean of what was made of voxels of one brightness.

    Args:
        scan, made: ``(K, J, I)``.
        chosen, target: ``(N,)``, values of both in the middle of the brain, which the curve is fitted to.

    Returns:
        ``(K, J, I)``; ``made`` itself where there are too few values for a curve.
    """
    if chosen.size < CURVE_BINS * FEWEST_IN_BIN or np.ptp(chosen) <= 0:
        return made
    # Equally wide: of equally filled ones the darkest would mix fluid with what lies around it.
    edges = np.linspace(chosen.min(), chosen.max(), CURVE_BINS + 1)
    where = np.clip(np.digitize(chosen, edges) - 1, 0, CURVE_BINS - 1)
    counts = np.bincount(where, minlength=CURVE_BINS)
    filled = counts >= FEWEST_IN_BIN
    centres, values = (np.bincount(where, part, CURVE_BINS)[filled] / counts[filled] for part in (chosen, target))
    return np.interp(scan, centres, values).astype(np.float32)


def trimmed_statistics(values: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation of the middle 90 % of values ``(N,)``; 0.5 and 0.125 without any."""
    if values.size < 10:
        return LEVEL, SPREAD
    low, high = np.percentile(values, TRIM)
    kept = values[(values >= low) & (values <= high)]
    return float(kept.mean()), max(float(kept.std()), 1e-3)


class MultiContrastNetwork(nn.Module):
    """See the module.

    Args:
        contrasts: that can be read and made, in the order of the network's planes.
        targets, sources: in the order of the card's attributes; all contrasts if not given.
        widths: channels at each level.
        norm: ``batch`` in training; ``none`` in packages, where it has been multiplied into the convolutions.
        slices: neighbours that are seen; odd.
        coverage: factor on the predicted scale for each of ``contrasts``, from the calibration; empty for no map.
        curve: direction (``SOURCE>TARGET``, ``>TARGET`` where the scan's contrast is not named) to the share that an
            intensity curve has in the result. The curve is fitted to the network's own answer on the scan: it has the
            scan's sharpness and errors of its own; see docs/cross-contrast.md.
    """

    def __init__(
        self,
        contrasts: Sequence[str],
        targets: Sequence[str] = (),
        sources: Sequence[str] = (),
        widths: Sequence[int] = (16, 32, 64, 128),
        norm: str = "none",
        slices: int = 3,
        coverage: Sequence[float] = (),
        curve: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.contrasts, self.targets = tuple(contrasts), tuple(targets or contrasts)
        self.sources = tuple(sources or self.targets)
        self.slices, self.coverage = slices, tuple(coverage)
        self.curve = dict(curve or {})
        self.multiple = 2 ** (len(widths) - 1)
        count = len(self.contrasts)
        self.unet = UNet(2, slices + count, widths, norm)
        self.fine = ConvolutionBlock(2, widths[0], widths[0], norm)
        self.mean = convolution(2, widths[0], count, 1)
        self.scale = nn.Sequential(
            convolution(2, widths[0], widths[0]), nn.LeakyReLU(0.1), convolution(2, widths[0], count, 1)
        )

    def forward(self, stack: Tensor, code: Tensor, scales: bool = True) -> tuple[Tensor, ...]:
        """Means and logarithms of scales ``(B, contrasts, J, I)``, standardised, of the middle slices.

        Args:
            stack: neighbouring slices ``(B, slices, J, I)``, standardised and clipped to :data:`CLIP`.
            code: the scan's contrast, one-hot ``(B, contrasts)``; zeros where it is not known.
            scales: False leaves them out.
        """
        planes = code[:, :, None, None].expand(-1, -1, *stack.shape[2:])
        features = self.fine(self.unet(torch.cat((LEVEL + SPREAD * stack, planes), dim=1)))
        means: Tensor = self.mean(features).float()
        # The scales learn from the features and do not shape them.
        return (means, self.scale(features.detach()).float()) if scales else (means,)

    @torch.no_grad()
    def standardised(self, image: Tensor, spacing_mm: float = 1.0) -> Tensor:
        """A scan ``(1, 1, K, J, I)`` in network units with mean 0 and spread 1 in the middle of the brain."""
        mean, spread = trimmed_statistics(middle_values(image[0, 0].float().cpu().numpy(), spacing_mm))
        return ((image.float() - mean) / spread).clamp(*CLIP)

    @torch.no_grad()
    def everything(
        self,
        image: Tensor,
        source: str = "",
        spacing_mm: float = 1.0,
        progress: Progress | None = None,
        scales: bool = True,
    ) -> tuple[Tensor, ...]:
        """All contrasts and their scales ``(contrasts, K, J, I)``, standardised, averaged over three axes.

        Args:
            scales: False gives the contrasts alone.
        """
        standard = self.standardised(image, spacing_mm)
        code = torch.zeros(1, len(self.contrasts), device=image.device)
        if source in self.contrasts:
            code[0, self.contrasts.index(source)] = 1.0
        box = _tissue_box(image[0, 0])
        inner, there = standard[0, 0][box], (image[0, 0] > AIR)[box]
        total = torch.zeros(1 + scales, len(self.contrasts), *inner.shape, device=image.device)
        done, whole = 0, sum(inner.shape)
        for axis in range(3):
            turned, tissue = inner.movedim(axis, 0), there.movedim(axis, 0)
            count, rows, columns = turned.shape
            # Whatever lies beside a crop is as dark as air.
            padding = (0, -columns % self.multiple, 0, -rows % self.multiple)
            padded = nn.functional.pad(turned, padding, value=float(turned.min()))
            for first in range(0, count, SLICES_AT_ONCE):
                many = min(SLICES_AT_ONCE, count - first)
                window = self._window(tissue[max(0, first - 1) : first + many + 1].any(dim=0), padded.shape[1:])
                stack = neighbours(padded[(slice(None), *window)], first, many, self.slices)
                answers = self(stack.contiguous(memory_format=torch.channels_last), code.expand(many, -1), scales)
                j, i = (slice(w.start, min(w.stop, n)) for w, n in zip(window, (rows, columns), strict=True))
                for into, answer, outside in zip(total, answers, OUTSIDE, strict=False):
                    slices = into.movedim(axis + 1, 1)[:, first : first + many]
                    slices += outside
                    here = answer[..., : j.stop - j.start, : i.stop - i.start].movedim(1, 0)
                    slices[..., j, i] += here - outside
                done += many
                if progress is not None:
                    progress(done / whole)
        total /= 3.0
        self._mix_with_curve(total[0], image[0, 0], standard[0, 0], box, source, spacing_mm)
        found = []
        for part, outside in zip(total, OUTSIDE, strict=False):
            filled = torch.full((len(self.contrasts), *standard.shape[2:]), outside, device=image.device)
            filled[(slice(None), *box)] = part
            found.append(filled)
        return tuple(found)

    def _mix_with_curve(
        self,
        means: Tensor,
        image: Tensor,
        standard: Tensor,
        box: tuple[slice, slice, slice],
        source: str,
        spacing_mm: float,
    ) -> None:
        """Give the means ``(contrasts, ...)`` of a box of the scan their share of an intensity curve, in place."""
        shares = {target: self.curve.get(f"{source}>{target}", 0.0) for target in self.contrasts}
        if not any(shares.values()):
            return
        middle, inside = middle_of_brain(image.float().cpu().numpy(), spacing_mm)
        brain = np.zeros(image.shape, dtype=bool)
        brain[middle] = inside
        scan, brain = standard[box].cpu().numpy(), brain[box]
        for target, share in shares.items():
            if share:
                mean = means[self.contrasts.index(target)]
                made = mean.cpu().numpy()
                curve = by_intensity_curve(scan, made, scan[brain], made[brain])
                mean += share * (torch.from_numpy(curve).to(mean.device) - mean)

    def _window(self, tissue: Tensor, shape: torch.Size) -> tuple[slice, slice]:
        """The part of some slices ``(J, I)`` that shows tissue, with a margin, of sizes that the network takes."""
        found = []
        for axis, size in enumerate(shape):
            where = torch.nonzero(tissue.any(dim=1 - axis))
            low, high = (int(where[0]), int(where[-1]) + 1) if len(where) else (0, self.multiple)
            start = max(0, low - MARGIN) // self.multiple * self.multiple
            stop = min(size, -(-(high + MARGIN) // self.multiple) * self.multiple)
            found.append(slice(start, stop))
        return found[0], found[1]

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`SITTranslateLib.systems.network.TranslationNetwork`.

        ``target`` is the index of a target, ``source`` 0 where the contrast is not known, or 1 and the index of the
        scan's among the sources.
        """
        spacing = float(np.linalg.norm(np.asarray(affine)[:3, 0]))
        chosen = self.targets[int(request.get("target", 0))]
        named = int(request.get("source", 0))
        source = self.sources[named - 1] if named else ""
        # Scales are the map of uncertainty alone.
        means, *scales = self.everything(image, source, spacing, progress, scales=bool(self.coverage))
        index = self.contrasts.index(chosen)
        tissue = torch.from_numpy(tissue_mask(image[0, 0].float().cpu().numpy())).to(image.device)
        translated = ((LEVEL + SPREAD * means[index]).clamp(0.0, 4.0) * tissue)[None, None]
        extras = {}
        if self.coverage:
            spread = SPREAD * self.coverage[index] * scales[0][index].exp()
            extras["uncertainty"] = (spread * tissue)[None, None]
        return NetworkOutput(translated=translated, keeps_geometry=True, extras=extras)


def _tissue_box(image: Tensor) -> tuple[slice, slice, slice]:
    """The part of ``(K, J, I)`` that holds tissue, with the margin that a slice's neighbours need."""
    there = image > AIR
    found = []
    for axis in range(3):
        where = torch.nonzero(_profile(there, axis))
        size = image.shape[axis]
        low, high = (int(where[0]), int(where[-1])) if len(where) else (0, size - 1)
        found.append(slice(max(0, low - 4), min(size, high + 5)))
    return found[0], found[1], found[2]


def _profile(there: Tensor, axis: int) -> Tensor:
    """Which slices along an axis hold more than a few voxels of the mask."""
    others = [other for other in range(3) if other != axis]
    return there.sum(dim=others) > 8


def tissue_mask(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 where the scan ``(K, J, I)`` shows a head, what is dark inside it included, and 0 in the air around it."""
    # Only here: loading a model stays light.
    from scipy import ndimage

    there = ndimage.binary_opening(image > AIR)
    closed = ndimage.binary_closing(np.pad(there, 4), iterations=3)[4:-4, 4:-4, 4:-4]
    for z in range(closed.shape[0]):
        closed[z] = ndimage.binary_fill_holes(closed[z])
    return np.asarray(closed | there, dtype=np.float32)
