"""The kernel distance: nothing between samples of one kind, more the further two kinds are apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SITTranslateLib.evaluation.realism import features_of, kernel_distance
from SITTranslateLib.structure.network import TissueNetwork


def samples(count: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, 6))


def test_samples_of_one_kind_are_no_distance_apart() -> None:
    found = [kernel_distance(samples(200, seed=n), samples(400, seed=100 + n)) for n in range(20)]
    assert abs(np.mean(found)) < 0.02


def test_it_grows_with_what_differs() -> None:
    real = samples(400, seed=1)
    shifts = [kernel_distance(samples(200, shift), real) for shift in (0.0, 0.3, 0.8)]
    assert shifts[0] < shifts[1] < shifts[2]
    assert kernel_distance(samples(200, scale=2.0), real) > shifts[0] + 0.05


def test_it_is_the_formula() -> None:
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [2.0], [4.0]])
    spread = y.std() + 1e-6
    a, b = (x - 2.0) / spread, (y - 2.0) / spread

    def k(p: float, q: float) -> float:
        return float((p * q + 1.0) ** 3)

    own = k(a[0, 0], a[1, 0])
    other = np.mean([k(b[i, 0], b[j, 0]) for i in range(3) for j in range(3) if i != j])
    between = np.mean([k(p, q) for p in a[:, 0] for q in b[:, 0]])
    assert kernel_distance(x, y) == pytest.approx(own + other - 2 * between, rel=1e-9)


def test_one_sample_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two samples"):
        kernel_distance(samples(1), samples(5))


def test_features_are_the_deepest_level_inside_the_mask() -> None:
    torch.manual_seed(0)
    network = TissueNetwork((4, 6, 8)).eval()
    image = np.random.default_rng(0).random((16, 20, 18), dtype=np.float32)
    mask = np.zeros(image.shape, bool)
    mask[4:12, 4:16, 4:16] = True
    found = features_of(network)(image, mask)
    assert found.shape == (2 * 3 * 3, 8)
    outside = image.copy()
    outside[:2] = 5.0
    np.testing.assert_array_equal(features_of(network)(outside, mask), found)
