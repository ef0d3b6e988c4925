"""Estimated fields on a small phantom: known motion found, none invented, labelled, and bad pairs refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from moved_phantoms import PROVENANCE, field_of, oblique_grid, world

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.estimate import (
    CROSS,
    FLOORS,
    SAME,
    WITH_CT,
    estimate,
    estimated_translation,
    floor_of,
    relation,
    translation_of_pair,
)
from SITTranslateLib.traceability.similarity import LocalContrast, Window, noise_variance
from SITTranslateLib.translation import FieldOrigin
from SITTranslateLib.volume import Grid, Volume

TISSUES = {"T1w": (100.0, 700.0, 1000.0, 250.0), "T2w": (1000.0, 550.0, 300.0, 60.0)}


def head(grid: Grid, contrast: str, seed: int) -> Volume:
    """A head of four tissues with folds, in two contrasts that order them differently, with noise."""
    x = world(grid)
    folds = 2.5 * np.sin(x[..., 0] / 4) * np.cos(x[..., 1] / 5) * np.sin(x[..., 2] / 4.5)
    radius = np.linalg.norm(x / [1.0, 1.15, 0.95], axis=-1)
    fluid, grey, white, skull = TISSUES[contrast]

    def inside(limit: float) -> np.ndarray:
        return 1 / (1 + np.exp((radius + folds - limit) * 1.5))

    image = skull * inside(33) + (fluid - skull) * inside(29) + (grey - fluid) * inside(25)
    image = image + (white - grey) * inside(19) + (fluid - white) * inside(8)
    noise = np.random.default_rng(seed).normal(0, 12, grid.shape)
    return Volume(image + noise, grid.affine, f"{contrast} scan")


@pytest.fixture(scope="module")
def space() -> Grid:
    return oblique_grid((40, 44, 42), (2.0, 2.0, 2.2))


@pytest.fixture(scope="module")
def flow(space):
    velocity = field_of(
        space, lambda x: 3.5 * np.exp(-(((x - [6, -8, 4]) / 18) ** 2).sum(-1, keepdims=True)) * [1, 0.6, -0.8]
    )
    return tuple(fields.exponential(velocity, sign) for sign in (1.0, -1.0))


def brain_of(grid: Grid) -> np.ndarray:
    return np.linalg.norm(world(grid), axis=-1) < 24


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
@pytest.mark.parametrize(("contrast", "largest"), [("T1w", 0.35), ("T2w", 0.6)])
def test_a_known_motion_is_found_on_an_oblique_grid(space, flow, contrast, largest, device):
    motion, sampling = flow
    source, clean = head(space, "T1w", 1), head(space, contrast, 2)
    found = estimate(source, fields.warp(clean, sampling), device=device)
    brain = brain_of(space)
    error = np.linalg.norm(found.motion.array - motion.array, axis=-1)[brain]
    nothing = motion.magnitude()[brain]
    assert nothing.mean() > 1.4
    assert error.mean() < largest
    assert error.mean() < 0.4 * nothing.mean()
    assert found.jacobian.array.min() > 0
    assert np.percentile(fields.compose(found.sampling, found.motion).magnitude()[brain], 99) < 0.15


@pytest.mark.parametrize(("contrast", "largest"), [("T1w", 0.2), ("T2w", 0.35)])
def test_little_motion_is_seen_where_there_is_none(space, contrast, largest):
    found = estimate(head(space, "T1w", 1), head(space, contrast, 2))
    assert found.motion.magnitude()[brain_of(space)].mean() < largest


def test_a_last_level_of_1_mm_lowers_the_error():
    """Of scans of 1 mm, with a motion that bends within 10 mm."""
    grid = Grid.centred(np.zeros(3), (72, 72, 72), 1.0)
    velocity = field_of(
        grid, lambda x: 2.5 * np.exp(-(((x - [6, -8, 4]) / 11) ** 2).sum(-1, keepdims=True)) * np.ones(3)
    )
    motion, sampling = (fields.exponential(velocity, sign) for sign in (1.0, -1.0))
    x, brain, errors = world(grid), brain_of(grid), []
    texture = 120 * brain * np.sin(x[..., 0] / 2.2) * np.sin(x[..., 1] / 2.5) * np.sin(x[..., 2] / 2.0)
    source, moving = (scan.with_array(scan.array + texture) for scan in (head(grid, "T1w", n) for n in (1, 2)))
    translated = fields.warp(moving, sampling)
    for finer in (False, True):
        found = estimate(source, translated, finer=finer)
        assert found.velocity.grid.spacing == pytest.approx((4.0, 4.0, 4.0))
        errors.append(float(np.linalg.norm(found.motion.array - motion.array, axis=-1)[brain].mean()))
    assert errors[1] < 0.7 * errors[0] and errors[1] < 0.1


def test_grids_may_differ(space, flow):
    other = oblique_grid((50, 50, 50), (1.9, 1.8, 1.9))
    moved = fields.warp(head(other, "T1w", 2), fields.resample_field(flow[1], other))
    found = estimate(head(space, "T1w", 1), moved)
    error = np.linalg.norm(found.motion.array - flow[0].array, axis=-1)[brain_of(space)]
    assert error.mean() < 0.4


def test_estimates_are_labelled_and_carry_their_floor(space):
    pair = translation_of_pair(head(space, "T1w", 1), head(space, "T2w", 2))
    assert pair.field_origin is FieldOrigin.NONE
    found = estimated_translation(pair)
    assert found.field_origin is FieldOrigin.ESTIMATED
    assert found.provenance.noise_floor == floor_of(None, CROSS) and floor_of(None, CROSS).mean_mm > 0
    assert "Estimated" in floor_of(None, CROSS).sentence()
    assert found.provenance.package == PROVENANCE.package or found.provenance.system == "unknown"


def test_identical_images_have_not_moved(space):
    scan = head(space, "T1w", 1)
    assert estimate(scan, scan).motion.magnitude().max() == 0


def test_kinds_of_pairs_are_told_apart(space):
    t1, t2 = head(space, "T1w", 1), head(space, "T2w", 2)
    assert relation(t1, head(space, "T1w", 3)) == SAME
    assert relation(t1, t2) == CROSS
    assert relation(t1, t1.with_array(t1.array - 1000)) == WITH_CT
    # A CT of a brain alone has no air to be known by.
    assert relation(t1, t2, ("T1w", "CT")) == WITH_CT


def test_the_table_of_floors_covers_every_kind():
    pairs = json.loads(FLOORS.read_text(encoding="utf-8"))["pairs"]
    assert {SAME, CROSS, WITH_CT} <= set(pairs)
    assert all(0 < entry["mean_mm"] < entry["p95_mm"] for entry in pairs.values())
    assert floor_of(("never", "measured"), CROSS) == floor_of(None, CROSS)


def test_what_cannot_be_a_pair_is_refused(space):
    scan = head(space, "T1w", 1)
    with pytest.raises(InputError, match="constant"):
        estimate(scan, scan.with_array(np.zeros(space.shape)))
    with pytest.raises(InputError, match="label map"):
        estimate(scan, scan.with_array(np.rint(np.linalg.norm(world(space), axis=-1) / 12)))
    affine = space.affine.copy()
    affine[:3, 3] += 400
    with pytest.raises(InputError, match="do not overlap"):
        estimate(scan, Volume(scan.array, affine, "elsewhere"))
    with pytest.raises(InputError, match="no numbers"):
        estimate(scan, scan.with_array(np.where(scan.array > 500, np.nan, scan.array)))


def test_the_force_is_the_derivative_of_the_similarity():
    """Against differences of half the log residual variance, with an ordinary least-squares fit."""
    generator = torch.Generator().manual_seed(0)
    i = torch.randn(1, 1, 9, 9, 9, generator=generator)
    j = 0.5 * i - 0.3 * i**2 + 0.3 * torch.randn(i.shape, generator=generator)

    def energy(moving: torch.Tensor) -> float:
        window = [x.unfold(2, 5, 1).unfold(3, 5, 1).unfold(4, 5, 1).reshape(-1, 125).double() for x in (moving, j)]
        design = torch.stack((torch.ones_like(window[0]), window[0]), dim=-1)
        fit = torch.linalg.lstsq(design, window[1][..., None]).solution
        left = ((window[1][..., None] - design @ fit) ** 2).mean(dim=(1, 2))
        return float(0.5 * torch.log(left).sum())

    pull = LocalContrast(j, 2, 1e-9, 1.0).pull(i, 1e-9)
    gradient = np.gradient(i[0, 0].numpy().astype(np.float64), axis=2)[4, 4, 4]
    step = 1e-3
    up, down = i.clone(), i.clone()
    up[0, 0, 4, 4, 4] += step
    down[0, 0, 4, 4, 4] -= step
    derivative = (energy(up) - energy(down)) / (2 * step)
    # All 125 windows that hold the middle voxel lie inside the 9^3 cube; the force is minus dE/dI times grad I,
    # averaged over the windows, and a displacement d changes I by -grad I . d.
    assert float(pull.force[0, 0, 4, 4, 4]) * 1.0 == pytest.approx(derivative * gradient, rel=0.1)


def test_window_means_and_noise_are_what_they_say():
    image = torch.arange(7.0).view(1, 1, 1, 1, 7).expand(1, 1, 7, 7, 7).contiguous()
    assert Window((7, 7, 7), 2, image.device).mean(image)[0, 0, 3, 3].tolist() == pytest.approx(
        [0.6, 1.2, 2.0, 3.0, 4.0, 4.8, 5.4]
    )
    noise = torch.randn(1, 1, 30, 30, 30, generator=torch.Generator().manual_seed(1)) * 3
    assert noise_variance(noise) == pytest.approx(9.0, rel=0.1)
