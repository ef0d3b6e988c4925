"""Which voxels of one grid lie in another: axis by axis it is the same as point by point."""

from __future__ import annotations

import numpy as np
import pytest

from SITTranslateLib.traceability.geometry import inside, voxels_inside
from SITTranslateLib.volume import Grid

SCAN = Grid((9, 1, 12), np.array([[-1.0, 0, 0, 5], [0, 2.0, 0, -3], [0, 0, 1.5, 1], [0, 0, 0, 1]]))
TURNED = np.array([[0.9, -0.3, 0, 0], [0.3, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


FINE = np.array([[0.7, 0, 0, -3], [0, 0.7, 0, -4], [0, 0, 0.7, 9], [0, 0, 0, 1]])
FAR = np.array([[1.0, 0, 0, 90], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("margin", [0.5, -0.5, -2.0])
@pytest.mark.parametrize(
    ("affine", "some"), [(SCAN.affine, True), (FINE, True), (SCAN.affine @ TURNED, True), (FAR, False)]
)
def test_voxels_are_inside_as_their_points_are(affine: np.ndarray, some: bool, margin: float) -> None:
    part = Grid((8, 3, 10), affine)
    k, j, i = np.indices(part.shape)
    expected = inside(SCAN, part.to_world(np.stack((i, j, k), axis=-1)), margin)
    assert np.array_equal(voxels_inside(SCAN, part, margin), expected)
    if margin == 0.5:
        assert expected.any() == some and not expected.all()


def test_a_turned_grid_in_the_middle_is_inside_as_a_whole() -> None:
    large = Grid((40, 40, 40), np.eye(4))
    part = Grid((5, 5, 5), np.block([[TURNED[:3, :3], np.full((3, 1), 15.0)], [np.zeros((1, 3)), np.ones((1, 1))]]))
    assert voxels_inside(large, part).all()
