"""Measures of a translated contrast: values that can be worked out by hand, or that scikit-image gives too."""

from __future__ import annotations

import numpy as np
import pytest

from SITTranslateLib.evaluation import contrast_metrics as metrics


@pytest.fixture
def scan() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 0.1, (24, 30, 28)), axis=1).astype(np.float32)
    return 2.0 + smooth - smooth.min()


@pytest.fixture
def brain(scan: np.ndarray) -> np.ndarray:
    mask = np.zeros(scan.shape, bool)
    mask[3:-3, 3:-3, 3:-3] = True
    return mask


def test_gain_and_offset_do_not_matter_and_a_sign_does(scan: np.ndarray, brain: np.ndarray) -> None:
    truth = metrics.truth_of(scan, brain)
    same = metrics.scores(3.0 * scan - 7.0, truth)
    assert same.ssim == pytest.approx(1.0, abs=1e-4) and same.psnr > 80 and same.sharpness == pytest.approx(1, abs=1e-3)
    turned = metrics.scores(-scan, truth)
    assert turned.sharpness == pytest.approx(0.0, abs=1e-6)
    assert metrics.scores(-scan, truth, free_sign=True).ssim == pytest.approx(1.0, abs=1e-4)


def test_ssim_is_that_of_scikit_image(scan: np.ndarray, brain: np.ndarray) -> None:
    structural = pytest.importorskip("skimage.metrics").structural_similarity
    other = scan + np.random.default_rng(1).normal(0, 0.3, scan.shape).astype(np.float32)
    _, whole = structural(np.where(brain, other, scan), scan, win_size=7, data_range=5.0, full=True)
    assert metrics.windowed_ssim(other, scan, brain, 5.0) == pytest.approx(float(whole[brain].mean()), abs=1e-3)


def test_air_does_not_count(scan: np.ndarray, brain: np.ndarray) -> None:
    other = np.where(brain, scan, 9.0).astype(np.float32)
    assert metrics.windowed_ssim(other, scan, brain, 5.0) == pytest.approx(1.0, abs=1e-5)


def test_lesions_are_told_from_their_shell(scan: np.ndarray, brain: np.ndarray) -> None:
    lesions = np.zeros_like(brain)
    lesions[10:15, 12:17, 12:17] = True
    flat = np.ones_like(scan) + 1e-3 * scan
    truth = metrics.truth_of(flat + lesions, brain, lesions)
    assert metrics.scores(flat + lesions, truth).auc == 1.0
    assert metrics.scores(flat - lesions, truth, free_sign=False).lesion_contrast == pytest.approx(0.0, abs=1.0)
    half = metrics.scores(flat + lesions + 3.0 * np.random.default_rng(2).normal(0, 1, scan.shape), truth)
    assert 0.5 < half.auc < 0.9
    tiny = np.zeros_like(brain)
    tiny[12, 12, 12:20] = True
    assert np.isnan(metrics.scores(flat, metrics.truth_of(flat, brain, tiny)).auc)


def test_jitter_is_of_slices_alone(scan: np.ndarray) -> None:
    flat = np.broadcast_to(np.linspace(0, 1, 60, dtype=np.float32), (24, 60, 60)).copy()
    mask = np.ones(flat.shape, bool)
    assert metrics.jitter(flat, mask) == pytest.approx(0.0, abs=1e-6)
    steps = flat + 0.1 * (np.arange(24) % 2)[:, None, None].astype(np.float32)
    # The second difference of 0, 0.1, 0, 0.1 is +-0.2.
    assert metrics.jitter(steps, mask) == pytest.approx(0.2 / steps.std(), rel=1e-3)


def test_the_middle_slices_count(brain: np.ndarray) -> None:
    assert np.flatnonzero(metrics.middle_of(brain, 6).any(axis=(1, 2))).tolist() == [9, 10, 11, 12, 13, 14]
