"""Whole volumes through a network for slices, slices with neighbours, or blocks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from SITTranslateLib.systems.network import Progress

#: Slices that go through the network together; more are not faster on a CPU.
SLICES_AT_ONCE = 4
#: Block of a 3D network, voxels, and how much blocks overlap.
BLOCK, OVERLAP = (64, 64, 64), 0.25


def neighbours(volume: Tensor, first: int, count: int, width: int) -> Tensor:
    """Slices ``first`` to ``first + count`` of ``(K, J, I)`` with neighbours as channels ``(count, width, J, I)``.

    ``width`` is odd; the border slice is repeated.
    """
    half = width // 2
    where = torch.arange(first, first + count)[:, None] + torch.arange(-half, half + 1)[None]
    return volume[where.clamp(0, volume.shape[0] - 1).to(volume.device)]


def through_volume(
    run: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    dims: float,
    slices: int,
    multiple: int,
    progress: Progress | None = None,
) -> Tensor:
    """``run`` over a volume ``(1, 1, K, J, I)``; ``(1, C, K, J, I)`` float32.

    A 2.5D network gives its ``slices`` images, one for each slice that it sees, then further channels for the middle
    one. Each slice of the result is the mean of what was said of it, which takes the flicker between slices out.

    Args:
        run: 2D and 2.5D: ``(B, slices, J, I)`` to ``(B, slices + C - 1, J, I)``; 3D: blocks to blocks of C channels.
        slices: neighbours that a 2.5D network sees, itself among them; odd.
        multiple: the network's sizes must be divisible by it; air is added and taken off again.
    """
    if dims == 3:
        # Here, since MONAI takes two seconds to import.
        from monai.inferers.utils import sliding_window_inference

        whole = sliding_window_inference(
            image, BLOCK, 1, lambda block: run(block).float(), overlap=OVERLAP, mode="gaussian"
        )
        if progress is not None:
            progress(1.0)
        return whole  # type: ignore[return-value]
    width = slices if dims == 2.5 else 1
    volume = image[0, 0]
    count, rows, columns = volume.shape
    padded = nn.functional.pad(volume, (0, -columns % multiple, 0, -rows % multiple))
    total, times = torch.zeros_like(volume), torch.zeros(count, device=volume.device)
    further = []
    for first in range(0, count, SLICES_AT_ONCE):
        stack = neighbours(padded, first, min(SLICES_AT_ONCE, count - first), width)
        given = run(stack.contiguous(memory_format=torch.channels_last)).float()[..., :rows, :columns]
        for offset in range(width):
            places = torch.arange(first, first + len(stack)) + offset - width // 2
            inside = (places >= 0) & (places < count)
            total[places[inside]] += given[inside, offset]
            times[places[inside]] += 1
        further.append(given[:, width:])
        if progress is not None:
            progress(min(1.0, (first + SLICES_AT_ONCE) / count))
    mean = total / times[:, None, None]
    return torch.cat((mean[:, None], torch.cat(further)), dim=1).transpose(0, 1)[None].contiguous()
