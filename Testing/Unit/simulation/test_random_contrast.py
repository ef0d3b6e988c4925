"""Heads in contrasts that no scanner has."""

from __future__ import annotations

import numpy as np
import pytest

from SITTranslateLib.simulation import procedural_head
from SITTranslateLib.simulation.labels import TISSUE_LABELS
from SITTranslateLib.simulation.random_contrast import random_contrast, random_table

LABELS = procedural_head(seed=3, spacing=3.0).array


def test_the_same_seed_gives_the_same_image() -> None:
    one, again, other = (random_contrast(LABELS, np.random.default_rng(s), None) for s in (5, 5, 6))
    assert one.dtype == np.float32
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)


def test_brightness_has_no_fixed_order() -> None:
    """White matter is brighter than grey in about half of the contrasts: nothing to rely on."""
    white, grey = TISSUE_LABELS["wm"][0], TISSUE_LABELS["gm"][0]
    brighter = [
        table[white] > table[grey] for table, _ in (random_table(np.random.default_rng(seed)) for seed in range(200))
    ]
    assert 60 <= sum(brighter) <= 140


def test_brightness_lies_between_zero_and_one() -> None:
    for seed in range(100):
        table, spread = random_table(np.random.default_rng(seed))
        assert table.min() >= 0.0
        assert table.max() <= 1.0
        assert 0.0 <= spread < 0.1


def test_known_sequences_are_among_them() -> None:
    """With nothing but signal equations fluid is the brightest tissue of some contrasts and the darkest of others."""
    fluid, white = TISSUE_LABELS["csf"][0], TISSUE_LABELS["wm"][0]
    tables = [random_table(np.random.default_rng(seed), physical=1.0)[0] for seed in range(60)]
    assert any(t[fluid] > 1.5 * t[white] for t in tables)
    assert any(t[fluid] < 0.7 * t[white] for t in tables)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_stripped_is_dark(seed: int) -> None:
    mask = np.zeros(LABELS.shape, bool)
    mask[12:-12, 12:-12, 12:-12] = True
    image = random_contrast(np.where(mask, LABELS, 0).astype(np.int16), np.random.default_rng(seed), mask)
    assert image[:10].mean() < 0.12
    assert np.isfinite(image).all()
