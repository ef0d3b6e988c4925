"""Pictures of a run: source, translation, truth, motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

#: Motion that is drawn white, mm.
BRIGHTEST_MM = 4.0
#: Pictures are made at least this wide for each panel.
PANEL = 176


def draw_preview(network: nn.Module, batch: dict[str, Tensor], axes: NDArray[np.float64], path: Path) -> None:
    """The middle axial slice of the first scan of a batch: source, answer, follow-up (if known), ``|u|``.

    Without pillow nothing is drawn.
    """
    try:
        from PIL import Image
    except ImportError:
        return
    first = {name: value[:1] for name, value in batch.items()}
    training = network.training
    network.eval()
    with torch.no_grad():
        parts = network(first["source"], first["code"], axes, True)
    network.train(training)
    panels = [_slice(first["source"]), _slice(parts.translated)]
    if "target" in first:
        panels.append(_slice(first["target"]))
    if parts.sampling is not None:
        panels.append(_slice(parts.sampling.norm(dim=1, keepdim=True)) / BRIGHTEST_MM)
    row = np.concatenate(panels, axis=1)
    picture = Image.fromarray((255 * np.clip(row, 0, 1)).astype(np.uint8))
    factor = max(1, round(PANEL * len(panels) / picture.width))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST).save(path)


def _slice(image: Tensor) -> NDArray[np.float32]:
    """As a viewer shows it: the front up, the person's left on the right."""
    values = image[0, 0].float().cpu().numpy()
    return np.asarray(values[values.shape[0] // 2, ::-1, ::-1], dtype=np.float32)
