"""Translations to another contrast on the scan's own grid, with the detail of scans finer than the network's voxels.

The network says what the target looks like on its own grid. Between its voxels the scan knows more: where source and
translation rise and fall together in a neighbourhood (a line through both, by least squares), the scan's detail
beyond the network's grid is carried over with that slope. He, Sun, Tang, "Guided Image Filtering", IEEE TPAMI 2013,
in the form of joint upsampling; nothing is carried over where the two are unrelated, as in noise and in bone.
"""

from __future__ import annotations

import numpy as np
import torch

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.translate.restoration import faded_outwards, with_rim
from SITTranslateLib.volume import Volume

#: Neighbourhood of the line, voxels of the network's grid (Gaussian), and its slope's upper end in units of the
#: ratio of the two ranges.
NEIGHBOURHOOD, STEEPEST = 1.0, 2.0
#: Variation of the source below which it counts as noise, share of its range.
NOISE = 0.05


def on_scan_grid(source: Volume, coarse_source: Volume, coarse_target: Volume, outside: float) -> Volume:
    """The translation at the scan's voxels.

    Args:
        source: the scan, its own grid, native units.
        coarse_source: the scan as the network saw it, native units.
        coarse_target: the translation on the network's grid, the target's units.
        outside: the target's value for air, given beyond the network's grid.
    """
    shifted = coarse_target.with_array(coarse_target.array - np.float32(outside))
    target = fields.resample_volume(with_rim(shifted), source.grid).array + np.float32(outside)
    slope = fields.resample_volume(with_rim(local_slope(coarse_source, coarse_target)), source.grid).array
    seen = fields.resample_volume(faded_outwards(coarse_source), source.grid).array
    # At the edge of a head the line may lead below air.
    darkest = np.float32(min(outside, float(coarse_target.array.min())))
    target += slope * (source.array - seen)
    return source.with_array(np.maximum(target, darkest, out=target))


def local_slope(source: Volume, target: Volume) -> Volume:
    """Slope of the line through source and target about each voxel (target's units per source's), damped in noise."""
    spans = [float(np.subtract(*np.percentile(v.array, (99, 1)))) or 1.0 for v in (source, target)]
    s, t = (
        torch.from_numpy(v.array / np.float32(span))[None, None]
        for v, span in zip((source, target), spans, strict=True)
    )

    def mean(values: torch.Tensor) -> torch.Tensor:
        return tensors.gaussian(values, (NEIGHBOURHOOD,) * 3)

    mean_s, mean_t = mean(s), mean(t)
    covariance = mean(s * t) - mean_s * mean_t
    variance = (mean(s * s) - mean_s**2).clamp(min=0.0)
    slope = (covariance / (variance + NOISE**2)).clamp(-STEEPEST, STEEPEST)
    return source.with_array(slope[0, 0].numpy() * np.float32(spans[1] / spans[0]))
