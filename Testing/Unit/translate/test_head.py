"""What several steps ask of one scan is computed once, and anew for another scan, grid or voxel."""

from __future__ import annotations

import numpy as np

from SITTranslateLib.translate.head import kept_for_last_volume
from SITTranslateLib.volume import Grid, Volume


def test_only_what_was_asked_last_of_a_volume_is_kept() -> None:
    calls: list[str] = []

    @kept_for_last_volume
    def work(volume: Volume, grid: Grid, share: float = 1.0) -> int:
        calls.append(volume.name)
        return len(calls)

    one, other = (Volume(np.zeros((4, 4, 4), np.float32), np.eye(4), name) for name in ("one", "other"))
    grid, coarse = Grid((4, 4, 4), np.eye(4)), Grid((2, 2, 2), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert work(one, grid) == work(one, Grid((4, 4, 4), np.eye(4))) == 1
    assert work(one, coarse) == 2 and work(one, grid) == 3 and work(one, grid, share=0.5) == 4
    # Another scan with the same voxels, and one whose voxels were written in place.
    assert work(other, grid) == 5 and work(one, grid) == 6
    one.array[0, 0, 0] = 1.0
    assert work(one, grid) == 7 and calls.count("other") == 1
