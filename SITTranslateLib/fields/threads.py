"""Number of threads of the field engine, and slabs of layers for them.

The setting is one number for the process: :func:`set_threads`, else ``SITTRANSLATE_THREADS``, else torch's own number
where torch is loaded, else the processors this process may use. One thread runs in the caller, with no pool at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Below this many voxels a second thread costs more than it gives.
SMALLEST_SHARE = 32_768
#: Slabs per thread, so that a thread that is held up does not hold up all.
SLABS_PER_THREAD = 4

_chosen: int | None = None


def set_threads(count: int | None) -> None:
    """Use ``count`` threads from now on; None returns to the default."""
    global _chosen
    if count is not None and count < 1:
        raise ValueError(f"threads must be 1 or more, got {count}")
    _chosen = count


def thread_count() -> int:
    """Threads the field engine uses now."""
    if _chosen is not None:
        return _chosen
    wanted = os.environ.get("SITTRANSLATE_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_slabs(work: Callable[[int, int], Any], length: int, voxels: int) -> list[Any]:
    """``work(first, last)`` for slabs that cover ``range(length)``; its answers, in order.

    Args:
        work: lets go of the interpreter's lock, and writes to its own slab only.
        length: layers (or voxels) to cut.
        voxels: size of the whole, by which small work stays in one thread.
    """
    threads = min(thread_count(), length, max(1, voxels // SMALLEST_SHARE))
    if threads <= 1:
        return [work(0, length)]
    slabs = min(length, threads * SLABS_PER_THREAD)
    edges = [length * n // slabs for n in range(slabs + 1)]
    # The pool lives for one call: it costs less than the work, and survives no fork of a data loader.
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, edges[:-1], edges[1:]))
