"""A pair's truth is exact, its parts agree, and a seed fixes its bytes."""

from __future__ import annotations

import numpy as np
import pytest

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import (
    DeformationRange,
    Scanner,
    SimulatedPair,
    Subject,
    network_grid,
    simulate_pair,
)
from SITTranslateLib.volume import Grid

CHANGE = {"age_change": 15.0, "lesion_load": 4.0, "lesion_change": 6.0}
VENTRICLES = (4, 5, 43, 44)


@pytest.fixture(scope="module")
def grid(subject: Subject) -> Grid:
    return network_grid(subject.centre, 4.0)


@pytest.fixture(scope="module")
def pair(subject: Subject, grid: Grid) -> SimulatedPair:
    return simulate_pair(subject, 3, grid=grid, **CHANGE)


def test_truth_is_exact(pair: SimulatedPair) -> None:
    changed = pair.clean_source.with_array(pair.clean_source.array + pair.intensity_change.array)
    u = fields.resample_field(fields.exponential(pair.velocity, -1.0), pair.source.grid)
    recomposed = fields.warp(changed, u).array
    assert np.abs(recomposed - pair.clean_target.array).max() <= 1e-5 * pair.scanner.gain
    assert np.array_equal(u.array, pair.sampling.array)


def test_same_seed_same_bytes_other_seed_other_bytes(subject: Subject, grid: Grid, pair: SimulatedPair) -> None:
    again = simulate_pair(subject, 3, grid=grid, **CHANGE)
    for name in ("source", "target", "clean_source", "clean_target", "intensity_change"):
        assert getattr(again, name).array.tobytes() == getattr(pair, name).array.tobytes(), name
    assert again.velocity.array.tobytes() == pair.velocity.array.tobytes()
    assert again.scanner == pair.scanner
    other = simulate_pair(subject, 4, grid=grid, **CHANGE)
    assert not np.array_equal(other.source.array, pair.source.array)


def test_no_change_gives_the_same_clean_scan(subject: Subject, grid: Grid) -> None:
    still = simulate_pair(subject, 0, grid=grid, lesion_load=5.0)
    assert np.array_equal(still.clean_source.array, still.clean_target.array)
    assert not still.change_mask.any()
    assert not still.intensity_change.array.any()
    assert still.motion.magnitude().max() == 0
    assert not np.array_equal(still.source.array, still.target.array), "noise must be independent"


def test_velocity_lies_on_the_coarsened_grid(pair: SimulatedPair) -> None:
    assert pair.velocity.grid.matches(pair.source.grid.coarsened(2))


def test_motion_and_sampling_are_inverse(pair: SimulatedPair) -> None:
    residual = fields.compose(pair.motion, pair.sampling).magnitude()[pair.brain_mask]
    assert np.percentile(residual, 99) < 0.1 * pair.motion.magnitude().max()
    assert pair.jacobian.array.min() > 0


def test_ventricles_enlarge_with_age_and_shrink_without(subject: Subject) -> None:
    grid = network_grid(subject.centre, 2.0)
    for years in (20.0, -20.0):
        aged = simulate_pair(subject, 8, grid=grid, age_change=years, deform=False)
        moved = fields.warp(aged.labels.as_volume(), aged.sampling, mode="nearest").array
        after = float(np.isin(moved, VENTRICLES).sum()) * grid.voxel_volume / 1000
        before = aged.labels.millilitres(*VENTRICLES)
        by_jacobian = float(aged.jacobian.array[aged.labels.mask(*VENTRICLES)].sum()) * grid.voxel_volume / 1000
        assert (by_jacobian / before - 1) * years > 2
        assert (after - before) * years > 0
        assert after == pytest.approx(by_jacobian, rel=0.3)


def test_a_deformed_head_ages_at_the_same_rate(subject: Subject, grid: Grid) -> None:
    """The transported velocity changes the volume of structures by the same ratio as in the subject."""
    shapes = DeformationRange(years=0.0)
    plain = simulate_pair(subject, 2, grid=grid, age_change=10, deform=False)
    ratios = [
        float(p.jacobian.array[p.labels.mask(*VENTRICLES)].mean())
        for p in (plain, simulate_pair(subject, 2, grid=grid, age_change=10, deform=shapes))
    ]
    assert ratios[1] == pytest.approx(ratios[0], abs=0.08)


def test_flip_exchanges_sides(subject: Subject, grid: Grid) -> None:
    still = {"rotation_degrees": 0.0, "shift_mm": 0.0, "scale": (1.0, 1.0), "smooth_mm": 0.0, "years": 0.0}
    seen = simulate_pair(subject, 0, grid=grid, age_change=10, deform=DeformationRange(**still, flip=0.0))
    flipped = simulate_pair(subject, 0, grid=grid, age_change=10, deform=DeformationRange(**still, flip=1.0))
    assert np.array_equal(seen.labels.mask(43), flipped.labels.mask(4)[:, :, ::-1])
    mirrored = flipped.velocity.array[:, :, ::-1] * np.array([-1, 1, 1], np.float32)
    assert np.abs(mirrored - seen.velocity.array).max() < 1e-3
    for p in (seen, flipped):
        x = p.labels.grid.to_world(np.argwhere(p.labels.mask(41))[:, ::-1].astype(float))[:, 0].mean()
        assert x > subject.centre[0], "right white matter lies on the right"


def test_contrast_of_t1(pair: SimulatedPair) -> None:
    image, labels = pair.clean_source.array, pair.labels
    white, grey, fluid = (float(np.median(image[labels.mask(*m)])) for m in ((2, 41), (3, 42), VENTRICLES))
    assert white > 1.1 * grey > 1.3 * fluid


def test_intensity_change_is_local_dark_and_exactly_zero_elsewhere(pair: SimulatedPair) -> None:
    change = pair.intensity_change.array
    assert (change <= 0).all()
    assert change.min() < -0.05 * pair.scanner.gain
    assert 0 < np.count_nonzero(change) < 0.05 * change.size
    white = pair.labels.mask(2, 41)
    assert np.abs(change[white]).sum() > 0.7 * np.abs(change).sum()


def test_fewer_lesions_undo_more_lesions(subject: Subject, grid: Grid) -> None:
    more = simulate_pair(subject, 1, grid=grid, lesion_load=2, lesion_change=8, scanner=None)
    fewer = simulate_pair(subject, 1, grid=grid, lesion_load=10, lesion_change=-8, scanner=None)
    assert np.allclose(more.intensity_change.array, -fewer.intensity_change.array, atol=1e-2)


def test_skull_strip_leaves_the_brain_only(subject: Subject, grid: Grid) -> None:
    stripped = simulate_pair(subject, 1, grid=grid, age_change=10, scanner=None, skull_strip=True)
    assert (stripped.source.array[~stripped.brain_mask] == 0).all()
    assert (stripped.source.array[stripped.labels.mask(2, 41)] > 0).all()


def test_both_scans_share_the_scanner(subject: Subject, grid: Grid) -> None:
    pair = simulate_pair(subject, 1, grid=grid, scanner=Scanner(bias=0.3, bias_seed=4, gamma=1.2), **CHANGE)
    assert np.array_equal(pair.scanner.acquire(pair.clean_target, None).array, pair.target.array)


def test_unknown_names_are_refused_in_a_sentence(subject: Subject, grid: Grid) -> None:
    with pytest.raises(InputError, match="contrast 'T9'"):
        simulate_pair(subject, 0, grid=grid, contrast="T9")
    with pytest.raises(InputError, match="scanner range 'best'"):
        simulate_pair(subject, 0, grid=grid, scanner="best")
