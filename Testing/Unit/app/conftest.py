"""Commands on heads of no anatomy: their structures are given, so that no network has to look for them."""

from __future__ import annotations

import numpy as np
import pytest

from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.translate import structures
from SITTranslateLib.volume import Grid, Volume


@pytest.fixture(autouse=True)
def _two_structures(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(scan: Volume) -> Shares:
        shape = (20, 20, 20)
        grid = Grid.centred(scan.grid.to_world((np.array(scan.shape[::-1]) - 1) / 2), shape, 2.0)
        boxes = {name: np.zeros(shape, np.float32) for name in ("left lateral ventricle", "right lateral ventricle")}
        boxes["left lateral ventricle"][:, :, 2:9] = 1.0
        boxes["right lateral ventricle"][:, :, 11:18] = 1.0
        return Shares(boxes, np.zeros(shape, np.float32), grid, dict.fromkeys(boxes, 22.4))

    monkeypatch.setattr(structures, "find_structures", found)
