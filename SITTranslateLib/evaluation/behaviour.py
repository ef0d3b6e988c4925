"""Properties of a translation between contrasts: cycle consistency, shift equivariance, repeatability."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.evaluation.metrics import ssim

Array = NDArray[np.float32]


def translated(network: Any, source: Array) -> Array:
    """A volume in network units through a network."""
    with torch.inference_mode():
        output = network.translate(torch.from_numpy(np.ascontiguousarray(source))[None, None], {}, np.eye(4))
    return np.asarray(output.translated[0, 0].numpy(), dtype=np.float32)


def cycle_similarity(there: Any, back: Any, source: Array, mask: NDArray[np.bool_], span: float) -> float:
    """SSIM of a scan with itself after it was translated and translated back."""
    return ssim(translated(back, translated(there, source)), source, mask, span)


def shift_error(network: Any, source: Array, mask: NDArray[np.bool_], shift: int = 8) -> float:
    """Largest and mean effect of moving the input in plane by a multiple of the stride: mean over the mask."""
    moved = translated(network, np.roll(source, (shift, shift), axis=(1, 2)))
    back = np.roll(moved, (-shift, -shift), axis=(1, 2))
    return float(np.abs(back - translated(network, source))[mask].mean())


def repeats_exactly(network: Any, source: Array) -> bool:
    """Two runs give the same bytes."""
    return translated(network, source).tobytes() == translated(network, source).tobytes()
