"""A translation put together again from what a saved scene keeps of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic_translation import synthetic_translation

from SITTranslateLib.errors import InputError
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.translate.reassembly import reassembled
from SITTranslateLib.translation import FieldOrigin, Translation


@pytest.fixture(scope="module")
def made() -> Translation:
    translation = synthetic_translation()
    known = replace(translation.provenance, source_sha256=hash_of(translation.source))
    return replace(translation, provenance=known)


def parts_of(made: Translation, **others: Any) -> dict[str, Any]:
    """All parts, the change kept only where the head is."""
    head = made.source.array > 0
    parts = {
        "source": made.source, "translated": made.translated, "velocity": made.velocity, "origin": made.field_origin,
        "change": made.intensity_change.with_array(made.intensity_change.array * head),
        "within": made.source.with_array(head.astype(np.float32)),
        "recomposition_error": made.recomposition_error, "provenance": made.provenance,
    }  # fmt: skip
    return parts | others


def test_every_strength_comes_back(made: Translation) -> None:
    again = reassembled(**parts_of(made))
    np.testing.assert_array_equal(again.translated.array, made.translated.array)
    np.testing.assert_allclose(again.motion.array, made.motion.array, atol=1e-4)
    head = made.source.array > 0
    for strength in (0.0, 0.5, 1.5):
        off = np.abs(again.at(strength).array - made.at(strength).array)[head]
        assert np.percentile(off, 99) < 0.01 * np.ptp(made.source.array), strength


def test_a_result_saved_at_another_strength_is_made_again_from_its_parts(made: Translation) -> None:
    again = reassembled(**parts_of(made, translated=None))
    head = made.source.array > 0
    off = np.abs(again.translated.array - made.translated.array)[head]
    assert np.percentile(off, 99) < 0.01 * np.ptp(made.source.array)


def test_a_sampling_field_alone_is_enough_to_trace(made: Translation) -> None:
    again = reassembled(**parts_of(made, velocity=None, sampling=made.sampling))
    assert np.abs(again.motion.array - made.motion.array).max() < 0.05


def test_an_estimated_motion_comes_back_without_an_intensity_change(made: Translation) -> None:
    again = reassembled(**parts_of(made, origin=FieldOrigin.ESTIMATED, change=None))
    assert again.intensity_change is None
    assert again.jacobian is not None


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: {"source": m.source.with_array(2 * m.source.array)}, "not the scan"),
        (lambda m: {"translated": m.translated.with_array(m.translated.array[::-1])}, "edited"),
        (lambda m: {"translated": replace(m.translated, affine=np.eye(4))}, "one grid"),
        (lambda m: {"translated": None, "velocity": None, "change": None}, "another strength"),
    ],
)
def test_parts_that_do_not_belong_together_are_one_sentence(made: Translation, edit: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        reassembled(**parts_of(made, **edit(made)))
