"""The ageing velocity keeps its promises: published rates, no folding, a closed skull."""

from __future__ import annotations

import numpy as np
import pytest

from SITTranslateLib import fields
from SITTranslateLib.simulation import RATES, LabelMap, Subject
from SITTranslateLib.simulation.ageing import _OuterFluid, _Poisson, ageing, cavity_mask
from SITTranslateLib.volume import Grid, VectorField


def change_of(subject: Subject, years: float, *labels: int) -> float:
    """Relative volume change of labels, from the integral of the Jacobian."""
    jacobian = fields.jacobian(fields.exponential(subject.velocity, years / 10.0))
    on_labels = fields.resample_volume(jacobian, subject.labels.grid).array
    return float(on_labels[subject.labels.mask(*labels)].mean()) - 1.0


def test_poisson_gives_the_velocity_of_a_known_source() -> None:
    # laplace(phi) = cos(pi x / L) with no flux through the ends: v = (L / pi) sin(pi x / L).
    mask = np.ones((4, 4, 64), bool)
    x = (np.arange(64) + 0.5) / 64
    source = np.broadcast_to(np.cos(np.pi * x), mask.shape).astype(np.float32)
    along_i, along_j, _ = _Poisson(mask, (2.0, 2.0, 2.0)).gradient_of_solution(source)
    expected = 128.0 / np.pi * np.sin(np.pi * x)
    assert np.abs(along_i[2, 2, 2:-2] - expected[2:-2]).max() < 0.01 * expected.max()
    assert np.abs(along_j).max() < 1e-3 * expected.max()


def test_outer_fluid_takes_exactly_what_is_given_and_mostly_near_by() -> None:
    share = np.zeros((20, 20, 60), np.float32)
    share[:2] = 1.0
    given = np.zeros_like(share)
    given[10, 10, 10] = 3.0
    taken = _OuterFluid(share, Grid(share.shape, np.diag([2.0, 2.0, 2.0, 1.0]))).taking(given)
    assert taken.sum() == pytest.approx(3.0, rel=1e-4)
    assert (taken[share == 0] == 0).all()
    assert taken[..., :25].sum() > 20 * taken[..., 35:].sum()


def test_ventricles_grow_at_the_published_rate(subject: Subject) -> None:
    target = 100 * np.log1p(RATES["lateral ventricles"].percent_per_year / 100)
    realised = 100 * np.log1p(subject.realised["lateral ventricles"] / 100)
    assert realised == pytest.approx(target, abs=0.35)
    assert change_of(subject, 10, 4, 5, 43, 44) == pytest.approx(np.exp(target / 10) - 1, abs=0.08)


def test_tissue_shrinks_and_outer_csf_takes_its_place(subject: Subject) -> None:
    for name in ("cortex", "white matter", "thalamus", "cerebellum"):
        assert subject.realised[name] < -0.2, name
    assert subject.realised["outer CSF"] > 0


@pytest.mark.parametrize("years", [-30, 30])
def test_thirty_years_fold_nothing(subject: Subject, years: float) -> None:
    jacobian = fields.jacobian(fields.exponential(subject.velocity, years / 10.0)).array
    assert jacobian.min() > 0.05


def test_age_and_its_inverse_cancel(subject: Subject) -> None:
    forward = fields.exponential(subject.velocity, 2.0)
    backward = fields.exponential(subject.velocity, -2.0)
    residual = fields.compose(forward, backward).magnitude()
    assert np.percentile(residual, 99) < 0.05 * forward.magnitude().max()


def test_the_skull_keeps_its_volume_and_the_face_does_not_move(subject: Subject) -> None:
    cavity = cavity_mask(subject.labels)
    jacobian = fields.jacobian(fields.exponential(subject.velocity, 1.0))
    inside = fields.resample_volume(jacobian, subject.labels.grid).array[cavity]
    assert abs(float(inside.mean()) - 1) < 0.01
    speed = fields.resample_field(subject.velocity, subject.labels.grid).magnitude()
    assert np.percentile(speed[subject.labels.mask(506, 511)], 99) < 0.05


def test_right_is_mirrored_left(head: LabelMap) -> None:
    symmetric = head.array.copy()
    middle = symmetric.shape[2] // 2
    swap = {2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 26: 58, 28: 60}
    half = symmetric[..., :middle][..., ::-1].copy()
    for left, right in swap.items():
        half[symmetric[..., :middle][..., ::-1] == left] = right
    symmetric[..., -middle:] = half
    velocity = ageing(LabelMap(symmetric, head.affine), corrections=1).velocity.array
    mirrored = velocity[:, :, ::-1] * np.array([-1, 1, 1], np.float32)
    assert np.abs(velocity - mirrored).max() < 0.05 * np.abs(velocity).max()


def test_velocity_is_band_limited(subject: Subject) -> None:
    velocity = subject.velocity
    smoother = fields.band_limit(velocity, 1.0)
    difference = VectorField(velocity.array - smoother.array, velocity.affine).magnitude()
    assert difference.max() < 0.12 * velocity.magnitude().max()
