"""The identity: exact, honest about contrast, and finding what was planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from moved_phantoms import field_of, moved, oblique_grid, world

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.explanation import explain
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Grid, Volume

BLOB = np.array([4.0, -3.0, 5.0])


def head(grid: Grid, seed: int = 0) -> Volume:
    x = world(grid)
    radius = np.linalg.norm(x, axis=-1) + 2 * np.sin(x[..., 0] / 4) * np.cos(x[..., 1] / 5)
    image = 250 / (1 + np.exp(radius - 26)) + 450 / (1 + np.exp(radius - 22)) + 300 / (1 + np.exp(radius - 15))
    return Volume(image + np.random.default_rng(seed).normal(0, 8, grid.shape), grid.affine, "scan")


def other_contrast(scan: Volume, seed: int = 5) -> Volume:
    """Brightness turned about, as T2w does to T1w, with noise of its own."""
    value = np.clip(scan.array, 0, None)
    turned = 900 * np.sin(np.clip(value / 1000, 0, 1.1) * np.pi) + 0.1 * value
    return scan.with_array(turned + np.random.default_rng(seed).normal(0, 8, scan.shape), "other")


@pytest.fixture(scope="module")
def space() -> Grid:
    return oblique_grid((34, 38, 36), (1.7, 1.7, 1.9))


@pytest.fixture(scope="module")
def flow(space):
    velocity = field_of(space, lambda x: 3 * np.exp(-((x / 18) ** 2).sum(-1, keepdims=True)) * [1, -0.5, 0.7])
    return tuple(fields.exponential(velocity, sign) for sign in (1.0, -1.0))


def translated_by(source: Volume, flow, contrast: bool, blob: float = 0.0) -> Translation:
    base = moved(source, *flow)
    image = other_contrast(base.translated) if contrast else base.translated
    distance = np.linalg.norm(world(source.grid) - BLOB, axis=-1)
    image = image.with_array(image.array + blob * (distance < 3.5))
    return replace(base, translated=image, intensity_change=None, field_origin=FieldOrigin.MODEL)


@pytest.mark.parametrize("contrast", [False, True])
def test_explained_and_residual_give_the_translated_scan_exactly(space, flow, contrast):
    translation = translated_by(head(space), flow, contrast, 150.0)
    found = explain(translation)
    difference = found.explained.array + found.residual.array - translation.translated.array
    assert np.abs(difference).max() <= 1e-4
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert min(found.shares.values()) >= 0


def test_within_one_contrast_the_map_is_the_identity(space, flow):
    found = explain(translated_by(head(space), flow, False))
    assert found.contrast_map.is_identity
    assert found.shares["contrast map"] == 0
    assert found.shares["geometry"] > 0.01
    assert found.shares["rest"] < 0.001


def test_across_contrasts_map_and_geometry_explain_most(space, flow):
    found = explain(translated_by(head(space), flow, True))
    assert not found.contrast_map.is_identity
    assert found.shares["contrast map"] > 0.3
    assert found.shares["rest"] < 0.1
    unmoved = replace(translated_by(head(space), flow, True), motion=None, sampling=None, jacobian=None)
    still = explain(replace(unmoved, field_origin=FieldOrigin.NONE))
    assert still.shares["rest"] > found.shares["rest"]
    assert still.shares["geometry"] == 0


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("height", [200.0, -200.0])
def test_a_planted_blob_stands_out(space, flow, contrast, height):
    source = head(space)
    translation = translated_by(source, flow, contrast, height)
    noise = np.random.default_rng(3).normal(0, 8, space.shape)
    noisy = translation.translated.with_array(translation.translated.array + noise)
    unexplained = explain(replace(translation, translated=noisy)).unexplained.array
    distance = np.linalg.norm(world(space) - BLOB, axis=-1)
    tissue = np.linalg.norm(world(space), axis=-1) < 20
    inside, outside = unexplained[distance < 2.5], unexplained[(distance > 7) & tissue]
    assert np.median(inside) > 4
    assert np.percentile(outside, 95) < 4
    assert np.mean(inside[:, None] > outside[None, ::7]) > 0.98


def test_refuses_other_grids_and_empty_scans(space, flow):
    translation = translated_by(head(space), flow, False)
    other = Volume(translation.translated.array[:-1], translation.translated.affine, "cut")
    with pytest.raises(InputError, match="another grid"):
        explain(replace(translation, translated=other))
    empty = translation.source.with_array(np.zeros(space.shape))
    with pytest.raises(InputError, match="no tissue"):
        explain(replace(translation, source=empty, translated=empty))
