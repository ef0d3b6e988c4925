"""The kernel distance: nothing between samples of one kind, more the further two kinds are apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from SITTranslateLib.evaluation.patch_kid import kernel_distance, patches


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


def test_patches_lie_inside_and_know_contrast_and_blur() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((16, 20, 18), bool)
    mask[3:13, 3:17, 3:15] = True

    def image(seed: int) -> np.ndarray:
        grain = np.random.default_rng(seed).normal(size=mask.shape)
        return np.where(mask, 0.5 + 0.2 * ndimage.gaussian_filter(grain, 1.0) / 0.15, 9.0).astype(np.float32)

    real = np.concatenate([patches(image(n), ndimage.binary_erosion(mask, iterations=2)) for n in range(3)])
    inside = ndimage.binary_erosion(mask, iterations=2)
    assert real.shape[1] == 27 and float(real.max()) < 9.0
    another = image(7)
    blurred = ndimage.gaussian_filter(another, 1.0)
    found = [kernel_distance(patches(i, inside), real) for i in (another, blurred, 1.0 - another)]
    assert found[0] < 0.5 * found[1] and found[0] < 0.5 * found[2]
    few = np.zeros(mask.shape, bool)
    few[5, 5, 5:8] = True
    assert patches(rng.random(mask.shape, dtype=np.float32), few).shape == (3, 27)
