"""Prescribed lesions: the volume asked for is delivered, inside white matter, discrete, and can be taken away again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import SITTranslateLib as sit
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.systems.prescribed.lesions import GROWTH, LesionChange, lesion_change
from SITTranslateLib.systems.prescribed.regions import Shares, shares_of_labels
from SITTranslateLib.volume import Volume

WHITE = (2, 41, 25, 57)
LEVELS = {"T1w": (110.0, 80.0, 30.0), "T2w": (60.0, 90.0, 200.0), "FLAIR": (110.0, 130.0, 5.0)}
FLUID = (4, 5, 14, 15, 24, 43, 44)


@pytest.fixture(scope="module")
def labels() -> Volume:
    return procedural_head(3, spacing=2.0).as_volume()


@pytest.fixture(scope="module")
def shares(labels: Volume) -> Shares:
    return shares_of_labels(labels)


def scan_of(labels: Volume, contrast: str) -> Volume:
    white, grey, fluid = LEVELS[contrast]
    brightness = np.where(labels.array > 0, grey, 0.0)
    brightness[np.isin(labels.array, WHITE)] = white
    brightness[np.isin(labels.array, FLUID)] = fluid
    brightness += np.random.default_rng(0).normal(0.0, 2.0, brightness.shape) * (labels.array > 0)
    return Volume(brightness.astype(np.float32), labels.affine, "scan")


@pytest.fixture(scope="module")
def added(labels: Volume, shares: Shares) -> LesionChange:
    return lesion_change(scan_of(labels, "FLAIR"), shares, 6.0, seed=4)


def strong(found: LesionChange) -> NDArray[np.bool_]:
    return np.asarray(np.abs(found.change) >= 0.5 * abs(found.contrast) * (1 - 1e-6))


def test_the_millilitres_asked_for_are_delivered_inside_white_matter(added: LesionChange, labels: Volume) -> None:
    inside = np.isin(labels.array, WHITE)
    millilitres = float(strong(added).sum()) * labels.grid.voxel_volume / 1000.0
    assert millilitres == pytest.approx(6.0, rel=0.02) and added.delivered_ml == pytest.approx(millilitres)
    assert not added.change[~inside].any()
    whole = np.abs(added.change).sum()
    assert np.abs(added.change[strong(added)]).sum() > 0.95 * whole


def test_they_are_discrete_and_drawn_by_the_seed(added: LesionChange, labels: Volume, shares: Shares) -> None:
    pieces = ndimage.label(strong(added))[1]
    assert pieces > 20 and abs(added.count - pieces) < 0.3 * pieces
    scan = scan_of(labels, "FLAIR")
    assert lesion_change(scan, shares, 6.0, seed=4).change.tobytes() == added.change.tobytes()
    other = lesion_change(scan, shares, 6.0, seed=5)
    assert np.mean(strong(other)[strong(added)]) < 0.2


@pytest.mark.parametrize(("contrast", "sign"), [("T1w", -1.0), ("T2w", 1.0), ("FLAIR", 1.0)])
def test_they_look_as_in_each_contrast(contrast: str, sign: float, labels: Volume, shares: Shares) -> None:
    found = lesion_change(scan_of(labels, contrast), shares, 2.0)
    assert np.sign(found.contrast) == sign and np.all(sign * found.change >= 0)
    white, grey, fluid = LEVELS[contrast]
    assert abs(found.contrast) < 2.0 * max(abs(white - grey), abs(white - fluid))


def test_existing_lesions_grow_first(added: LesionChange, labels: Volume, shares: Shares) -> None:
    before = scan_of(labels, "FLAIR")
    with_them = before.with_array(before.array + added.change)
    grown = lesion_change(with_them, shares, 0.2 * GROWTH * 6.0, seed=9)
    # Those at the edge of white matter are left to partial volume.
    assert 3.0 < grown.found_ml < 6.5
    near = ndimage.binary_dilation(strong(added), iterations=3)
    assert np.mean(near[strong(grown)]) > 0.95


def test_lesions_that_were_taken_for_cortex_are_found(labels: Volume, shares: Shares) -> None:
    """On T1w they look like grey matter; cortex does not occur in pieces inside white matter."""
    deep = ndimage.distance_transform_edt(labels.array == 2)
    centre = np.unravel_index(int(deep.argmax()), labels.shape)
    ball = np.linalg.norm(np.indices(labels.shape) - np.reshape(centre, (3, 1, 1, 1)), axis=0) <= min(2.5, deep.max())
    scan = scan_of(labels.with_array(np.where(ball, 3, labels.array)), "T1w")
    taken_for_cortex = shares_of_labels(labels.with_array(np.where(ball, 3, labels.array)))
    millilitres = float(ball.sum()) * labels.grid.voxel_volume / 1000.0
    before = lesion_change(scan_of(labels, "T1w"), shares, 0.0).found_ml
    none = lesion_change(scan, taken_for_cortex, -20.0)
    assert none.found_ml - before == pytest.approx(millilitres, rel=0.4)
    assert np.mean(none.change[ball] > 0.5 * abs(none.contrast)) > 0.6


def test_they_can_be_removed_and_what_is_missing_is_said(added: LesionChange, labels: Volume, shares: Shares) -> None:
    before = scan_of(labels, "FLAIR")
    with_them = before.with_array(before.array + added.change)
    fewer = lesion_change(with_them, shares, -2.0)
    assert fewer.delivered_ml == pytest.approx(-2.0, rel=0.1) and not fewer.warnings
    none = lesion_change(with_them, shares, -20.0)
    assert none.delivered_ml == pytest.approx(-none.found_ml, rel=0.05) and "of 20.0 mL asked" in none.warnings[0]
    left = with_them.array + none.change - before.array
    assert np.abs(left[strong(none)]).mean() < 0.3 * abs(added.contrast)


def test_the_function_gives_a_translation_that_moves_nothing(labels: Volume) -> None:
    result = sit.prescribe(scan_of(labels, "T1w"), labels, lesions="+3 mL", seed=2)
    assert result.field_origin == "identity" and result.motion is None
    assert result.provenance.attributes == {"lesions": pytest.approx(3.0, rel=0.02)} and result.provenance.seed == 2
    assert sit.verify(result).verdict.startswith("PASS")
    both = sit.prescribe(scan_of(labels, "T1w"), labels, changes={"lateral ventricle": 20}, lesions=3, seed=2)
    assert both.motion is not None and both.intensity_change is not None
    assert np.array_equal(both.intensity_change.array, result.intensity_change.array)
    assert sit.verify(both).verdict.startswith("PASS")


@pytest.mark.parametrize("lesions", ["much", "3 cm", True, 1e9])
def test_odd_amounts_are_refused(lesions: object, labels: Volume) -> None:
    with pytest.raises(InputError):
        sit.prescribe(scan_of(labels, "T1w"), labels, lesions=lesions)  # type: ignore[arg-type]


def test_scans_without_such_tissues_are_refused(labels: Volume, shares: Shares) -> None:
    flat = scan_of(labels, "T1w")
    flat = flat.with_array(np.where(flat.array > 0, 100.0, 0.0).astype(np.float32))
    with pytest.raises(InputError, match="alike"):
        lesion_change(flat, shares, 3.0)
    with pytest.raises(InputError, match="beyond what is offered"):
        lesion_change(scan_of(labels, "T1w"), shares, 80.0)
