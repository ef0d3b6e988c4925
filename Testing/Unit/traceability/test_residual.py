"""What the source's surroundings let one expect of the residual, and what they must never explain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.simulation import procedural_head, simulate_scan
from SITTranslateLib.traceability.estimate import translation_of_pair
from SITTranslateLib.traceability.explanation import explain, tissue_mask
from SITTranslateLib.traceability.residual import expected_residual, tissue_images
from SITTranslateLib.volume import Volume


@pytest.fixture(scope="module")
def scan() -> Volume:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.standard_normal((46, 44, 42)), 2.0).astype(np.float32)
    affine = np.diag((2.0, 2.0, 2.0, 1.0))
    return Volume(100.0 + 200.0 * smooth, affine, "scan")


def residual_of(scan: Volume) -> np.ndarray:
    """A different blur: what no map from intensity alone can follow."""
    return (scan.array - ndimage.gaussian_filter(scan.array, 1.0)).astype(np.float32)


@pytest.fixture(scope="module")
def of_blur(scan: Volume) -> np.ndarray:
    """What is expected of the blur."""
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    expected = expected_residual(residual_of(scan), scan, np.ones(scan.shape, bool), [], [])
    assert torch.equal(before, torch.random.get_rng_state()), "the random numbers are left alone"
    return expected


def test_blur_is_expected(scan: Volume, of_blur: np.ndarray) -> None:
    residual, expected = residual_of(scan), of_blur
    assert np.var(residual - expected) < 0.05 * np.var(residual)


def test_a_blob_is_not_expected(scan: Volume) -> None:
    residual, everywhere = residual_of(scan), np.ones(scan.shape, bool)
    blob = np.zeros(scan.shape, bool)
    blob[21:25, 20:24, 19:23] = True
    added = residual + np.float32(3.0 * residual.std()) * blob
    left = added - expected_residual(added, scan, everywhere, [], [])
    assert left[blob].mean() > 2.0 * residual.std()
    assert np.abs(left[~blob]).mean() < 0.3 * residual.std()


def test_the_same_input_gives_the_same_bytes(scan: Volume, of_blur: np.ndarray) -> None:
    torch.manual_seed(99)
    again = expected_residual(residual_of(scan), scan, np.ones(scan.shape, bool), [], [])
    assert np.array_equal(of_blur, again)


def test_too_little_to_learn_from_expects_nothing(scan: Volume) -> None:
    few = np.zeros(scan.shape, bool)
    few[:8, :8, :8] = True
    assert not expected_residual(residual_of(scan), scan, few, [], []).any()


def test_the_identity_stays_exact_across_contrasts() -> None:
    head = procedural_head(4, spacing=4.0)
    t1w, t2w = (simulate_scan(head, c, None, 1) for c in ("T1w", "T2w"))
    identity = explain(translation_of_pair(t1w, t2w))
    assert not identity.contrast_map.is_identity
    assert np.abs(identity.explained.array + identity.residual.array - t2w.array).max() < 1e-3 * t2w.array.max()


def test_tissue_is_found_on_any_grid_and_not_where_there_is_no_head() -> None:
    head = procedural_head(4, spacing=3.0)
    whole = simulate_scan(head, "T1w", None, 1)
    images = tissue_images(whole, tissue_mask(whole.array), None)
    assert len(images) == 2 * len(CLASSES)
    inside = tissue_mask(whole.array)
    expected, found = images[: len(CLASSES)], images[len(CLASSES) :]
    for total in (sum(expected), sum(found)):
        assert np.allclose(total[inside], 1.0, atol=0.02)
    alone = tissue_images(whole, inside, None, expected=False)
    assert all(np.array_equal(one, other) for one, other in zip(alone, found, strict=True))
    assert np.stack(found).max(axis=0)[inside].mean() > np.stack(expected).max(axis=0)[inside].mean(), "surer"
    sheared = Volume(whole.array, whole.affine @ np.diag((1.0, 1.0, 4.0, 1.0)), "no head")
    assert tissue_images(sheared, tissue_mask(sheared.array), None) == []
