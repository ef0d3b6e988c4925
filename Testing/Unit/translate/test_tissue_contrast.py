"""Contrasts by how bright tissues are: the ratios of real scans, and what the suitability check makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import head, tiny_card

from SITTranslateLib.files import read_volume
from SITTranslateLib.packages import Attribute
from SITTranslateLib.translate import suitability
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.suitability import check_suitability
from SITTranslateLib.translate.tissue_contrast import named

#: Fluid and cortex over white matter, as measured on real scans.
RATIOS = [
    (0.36, 0.83, "T1w"),
    (0.47, 0.96, "T1w"),
    (0.50, 1.20, "FLAIR"),
    (0.66, 1.04, "FLAIR"),
    (1.12, 1.17, "T2w"),
    (1.60, 1.41, "T2w"),
    (1.97, 1.15, "ADC"),
]


@pytest.mark.parametrize(("fluid", "cortex", "contrast"), RATIOS)
def test_ratios_name_the_contrast(fluid: float, cortex: float, contrast: str) -> None:
    assert contrast in named(fluid, cortex).contrasts


@pytest.mark.parametrize(("fluid", "cortex"), [(0.9, 1.2), (0.5, 1.0), (1.4, 0.9)])
def test_between_the_limits_nothing_is_named(fluid: float, cortex: float) -> None:
    assert named(fluid, cortex).contrasts == ()


def test_tissues_lift_a_doubt_and_only_for_their_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = head()
    anatomy, card = locate_head(scan), tiny_card(source="FLAIR")

    def codes(contrasts: tuple[str, ...], said: str = "") -> list[str]:
        monkeypatch.setattr(suitability, "by_tissue", lambda volume, anatomy: contrasts)
        return [str(f.severity) for f in check_suitability(scan, anatomy, card, said) if f.code == "modality"]

    assert codes(()) == ["refuse"] and codes(("T1w",)) == ["refuse"]
    # The histogram is sure of T1w: a warning stays.
    assert codes(("FLAIR", "DWI")) == ["warn"]
    assert codes((), "FLAIR") == [] and codes((), "T2w") == ["refuse"]
    monkeypatch.setattr(suitability, "_surely_other", lambda seen, card: False)
    assert codes(("FLAIR", "DWI")) == []


def test_what_the_user_says_is_read_from_the_request() -> None:
    choices = ("as it looks", "T2w", "FLAIR")
    attribute = Attribute(
        name="source", title="The scan is", unit="", minimum=0, maximum=2, default=0, description="-", choices=choices
    )
    card = tiny_card(source="T2w", further_sources=("FLAIR",), attributes=(attribute,))
    assert [card.source_of({"source": n}) for n in (0.0, 1.0, 2.0)] == ["", "T2w", "FLAIR"]
    assert card.source_of({}) == "" and tiny_card().source_of({"source": 1.0}) == ""


@pytest.mark.parametrize(
    ("scan", "source"),
    [
        ("ms_cross/patient26_T1w.nii.gz", "T1w"),
        ("ms_cross/patient07_T2w.nii.gz", "T2w"),
        ("ms_cross/patient07_FLAIR.nii.gz", "FLAIR"),
        ("ms_long/patient01_study1_FLAIR.nii.gz", "FLAIR"),
    ],
)
def test_real_scans_that_were_refused_pass(scan: str, source: str, real_data: Path) -> None:
    volume = read_volume(real_data / scan)
    anatomy = locate_head(volume)
    found = check_suitability(volume, anatomy, tiny_card(source=source))
    assert [f.sentence for f in found if f.code == "modality"] == []
