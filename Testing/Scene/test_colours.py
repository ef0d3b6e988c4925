"""The language of colour: lightness says how much, hue says which way, also to colour-blind readers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from SITTranslateLib import report
from SITTranslateLib.scene import colours

#: Machado, Oliveira and Fernandes (IEEE TVCG 2009), severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(rgb: NDArray[np.float64], blindness: str = "") -> NDArray[np.float64]:
    """CIELAB (D65) of sRGB in 0..1, as a person with that colour blindness sees it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if blindness:
        linear = np.clip(linear @ np.array(BLINDNESS[blindness]).T, 0.0, 1.0)
    x, y, z = (linear @ XYZ.T / np.array([0.9505, 1.0, 1.089])).T
    fx, fy, fz = (np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z))
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def lightness(name: str) -> NDArray[np.float64]:
    return lab(colours.rgba(name)[:, :3])[:, 0]


@pytest.mark.parametrize("name", [colours.HOW_FAR, colours.HOW_MUCH])
def test_more_is_lighter(name: str) -> None:
    values = lightness(name)
    assert np.all(np.diff(values) > 0)
    assert values[0] > 25, "small values are seen on a black ground"
    assert values[-1] > 90


@pytest.mark.parametrize(("name", "left", "right"), [(colours.VOLUME, -1, 1), (colours.INTENSITY, 1, 1)])
def test_maps_of_change_are_monotone_on_either_side_of_their_centre(name: str, left: int, right: int) -> None:
    values, middle = lightness(name), colours.SIZE // 2
    assert np.all(left * np.diff(values[:middle]) > 0)
    assert np.all(right * np.diff(values[middle:]) > 0)
    chroma = np.linalg.norm(lab(colours.rgba(name)[:, :3])[:, 1:], axis=1)
    assert chroma[middle] < 4, "no change is grey"
    if name == colours.VOLUME:
        assert values[0] == pytest.approx(values[-1], abs=2), "shrinking weighs as much as expanding"


@pytest.mark.parametrize("blindness", ["", *BLINDNESS])
@pytest.mark.parametrize("name", [colours.VOLUME, colours.INTENSITY])
def test_the_two_sides_are_told_apart_by_everyone(name: str, blindness: str) -> None:
    table = lab(colours.rgba(name)[:, :3], blindness)
    for share in (0.25, 0.5, 1.0):
        offset = round(share * (colours.SIZE // 2 - 1))
        low, high = table[colours.SIZE // 2 - 1 - offset], table[colours.SIZE // 2 + offset]
        # 2.3 is a just noticeable difference.
        assert np.linalg.norm(low - high) > 15, (share, blindness)


def test_no_transparent_band_draws_an_edge_into_a_map_of_change() -> None:
    for name in (colours.VOLUME, colours.INTENSITY):
        assert np.all(colours.rgba(name)[:, 3] == 1)
    assert np.flatnonzero(colours.rgba(colours.HOW_MUCH)[:, 3] < 1).tolist() == [0]


def test_the_report_marks_in_the_same_colour() -> None:
    style = (Path(report.__file__).parent / "style.css").read_text(encoding="utf-8")
    assert re.search(r"--amber: (#\w+);", style)[1] == colours.hexadecimal(colours.MARK)  # type: ignore[index]
