"""Where a slice lies, in words."""

from __future__ import annotations

import pytest

from SITTranslateLib.scene.presentation import normal_axis, position_text


@pytest.mark.parametrize(
    ("orientation", "place", "axis", "text"),
    [
        ("Axial", 12.46, 2, "S 12.5 mm"),
        ("Axial", -3.0, 2, "I 3.0 mm"),
        ("Coronal", 7.0, 1, "A 7.0 mm"),
        ("Coronal", -7.0, 1, "P 7.0 mm"),
        ("Sagittal", 20.0, 0, "R 20.0 mm"),
        ("Sagittal", -20.0, 0, "L 20.0 mm"),
    ],
)
def test_a_position_is_named_by_its_side(orientation: str, place: float, axis: int, text: str) -> None:
    assert normal_axis(orientation) == axis and position_text(orientation, place) == text
