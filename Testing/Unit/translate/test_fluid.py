"""Brains whose CSF was cut out to 0 get one again, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import head, tiny_card

from SITTranslateLib.packages import ModelCard, NetworkGrid
from SITTranslateLib.packages.card import WeightFile
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.preparation import prepare, with_fluid

FLUID = 0.12


def brain_without_fluid(size: int = 40) -> np.ndarray:
    """A ball of tissue with a ventricle of 0 within and a sulcus of 0 from the outside, edges at the array's end."""
    k, j, i = np.indices((size,) * 3) - size // 2
    radius = np.sqrt(k**2 + j**2 + i**2)
    brain = np.where(radius < 18, 0.6, 0.0).astype(np.float32)
    brain[radius < 5] = 0.0
    brain[size // 2 : size // 2 + 3, size // 2 + 8 :, :] = 0.0
    return brain


def test_ventricle_and_sulcus_are_filled_and_the_outside_stays() -> None:
    brain = brain_without_fluid()
    filled = with_fluid(brain, FLUID, 1.0)
    assert filled[20, 20, 20] == pytest.approx(FLUID) and filled[21, 30, 20] == pytest.approx(FLUID)
    assert filled[0, 0, 0] == 0.0 and filled.dtype == np.float32
    np.testing.assert_array_equal(filled[brain > FLUID], brain[brain > FLUID])


def test_fluid_that_is_there_stays_as_it_is() -> None:
    brain = np.where(brain_without_fluid() > 0, 0.6, 0.2).astype(np.float32)
    np.testing.assert_array_equal(with_fluid(brain, FLUID, 1.0), brain)


def test_tissue_at_the_grids_end_does_not_grow_out_of_it() -> None:
    brain = np.zeros((20, 20, 20), np.float32)
    brain[:10] = 0.6
    assert not with_fluid(brain, FLUID, 1.0)[14:].any()


@pytest.mark.parametrize(("skull", "filled"), [(False, True), (True, False)])
def test_only_stripped_scans_and_only_if_the_card_says_so(skull: bool, filled: bool) -> None:
    scan = head(spacing=(4.0, 4.0, 4.0))
    anatomy = replace(locate_head(scan), skull=skull)
    plain = tiny_card(grid=NetworkGrid(4.0, (48, 56, 48)))
    card = replace(plain, normalisation=replace(plain.normalisation, fluid=0.5))
    before, after = prepare(scan, anatomy, plain).image.array, prepare(scan, anatomy, card).image.array
    assert (not np.array_equal(before, after)) == filled


def test_a_card_keeps_it_and_one_without_says_nothing() -> None:
    plain = tiny_card(files=(WeightFile("weights.safetensors", "0" * 64, 1),))
    card = replace(plain, normalisation=replace(plain.normalisation, fluid=FLUID))
    assert ModelCard.from_dict(card.to_dict()).normalisation.fluid == FLUID
    assert "fluid" not in plain.to_dict()["normalisation"]
