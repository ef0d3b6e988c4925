"""The three states of an answer: which one it is in, and that each puts the answer together again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic_translation import PROVENANCE
from tiny_model import head, tiny_card

from SITTranslateLib.systems import NetworkOutput
from SITTranslateLib.translate.decomposition import AdditiveChange, ContrastChange, OpaqueChange, decompose
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.normalisation import ARBITRARY
from SITTranslateLib.translate.preparation import Prepared, prepare
from SITTranslateLib.translation import FieldOrigin
from SITTranslateLib.volume import Volume

CARD = tiny_card()
OTHER = tiny_card(targets=("T2w",), target_scale=ARBITRARY)


@pytest.fixture(scope="module")
def scan() -> Volume:
    return head(spacing=(8.0, 8.0, 8.0))


@pytest.fixture(scope="module")
def prepared(scan: Volume) -> Prepared:
    return prepare(scan, locate_head(scan), CARD)


def output_of(prepared: Prepared, share: float, **values: object) -> NetworkOutput:
    image = torch.from_numpy(prepared.image.array)[None, None]
    return NetworkOutput(image * share, **values)  # type: ignore[arg-type]


def test_an_answer_that_keeps_geometry_is_an_addition(scan: Volume, prepared: Prepared) -> None:
    output = output_of(prepared, 0.5, keeps_geometry=True)
    parts = decompose(output, prepared, CARD)
    assert isinstance(parts, AdditiveChange) and parts.origin is FieldOrigin.IDENTITY
    error = parts.recomposition_error(output, prepared, CARD)
    assert error < 1e-3
    made = parts.on_scan(scan, error, PROVENANCE)
    assert made.motion is None and made.intensity_change is not None
    np.testing.assert_allclose(made.translated.array, scan.array + made.intensity_change.array, atol=1e-3)


def test_a_displacement_moves_what_was_changed(scan: Volume, prepared: Prepared) -> None:
    shift = torch.zeros(1, 3, *prepared.image.shape)
    shift[:, 0] = 8.0
    change = 0.1 * torch.from_numpy(prepared.image.array)[None, None]
    moved = torch.from_numpy(prepared.image.array)[None, None] * 1.1
    output = NetworkOutput(torch.roll(moved, -2, -1), displacement=shift, intensity_change=change)
    parts = decompose(output, prepared, CARD)
    assert isinstance(parts, AdditiveChange) and parts.origin is FieldOrigin.MODEL
    # 8 mm along +R are two of its voxels; at the border nothing comes in.
    recomposed, expected = parts.recomposed(prepared).array, prepared.scale.restore(1.1 * prepared.image.array)
    np.testing.assert_allclose(recomposed[4:-4, 4:-4, 4:-6], expected[4:-4, 4:-4, 6:-4], atol=0.5)
    made = parts.on_scan(scan, 0.0, PROVENANCE)
    assert made.sampling is not None and made.motion is not None and made.velocity is None
    middle = tuple(n // 2 for n in scan.shape)
    np.testing.assert_allclose(made.sampling.array[middle], [8.0, 0.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(made.motion.array[middle], [-8.0, 0.0, 0.0], atol=1e-2)


@pytest.mark.parametrize(("keeps", "origin"), [(True, FieldOrigin.IDENTITY), (False, FieldOrigin.NONE)])
def test_another_contrast_is_kept_in_its_own_units(
    scan: Volume, prepared: Prepared, keeps: bool, origin: FieldOrigin
) -> None:
    output = output_of(prepared, 0.25, keeps_geometry=keeps)
    parts = decompose(output, prepared, OTHER)
    assert isinstance(parts, ContrastChange) and parts.origin is origin
    assert parts.recomposition_error(output, prepared, OTHER) < 1e-3
    made = parts.on_scan(scan, 0.0, PROVENANCE)
    assert (made.intensity_change is None) == (not keeps), "nobody promised that nothing moved: no change to trace"


def test_an_answer_that_says_nothing_is_opaque(scan: Volume, prepared: Prepared) -> None:
    output = output_of(prepared, 0.5)
    parts = decompose(output, prepared, CARD)
    assert isinstance(parts, OpaqueChange) and parts.origin is FieldOrigin.NONE
    assert parts.recomposition_error(output, prepared, CARD) < 1e-3
    made = parts.on_scan(scan, 0.0, PROVENANCE)
    assert made.intensity_change is None and made.motion is None
    assert float(made.translated.array.mean()) == pytest.approx(0.5 * float(scan.array.mean()), rel=0.1)
