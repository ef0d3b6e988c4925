"""The report: complete, self-contained, safe against names, and readable in a browser on a desk and on a phone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser_widths import assert_fits

from SITTranslateLib.app.batch.job import Record, picture_of
from SITTranslateLib.app.batch.summary import Summary
from SITTranslateLib.errors import InputError
from SITTranslateLib.packages.card import read_card
from SITTranslateLib.report.page import report_html, write_report
from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.scene.headless.images import png
from SITTranslateLib.scene.headless.pictures import Picture
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.translate.verification import verify
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Volume

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = {1: "Brain", 2: "Ventricles"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    panel = png(np.full((34, 40, 3), (0, 160, 90), np.uint8))
    return [
        Picture("overview", tmp_path_factory.mktemp("p") / "overview.png", "Overview", "What is seen.", (panel,) * 4)
    ]


@pytest.fixture(scope="module")
def page(translation: Translation, labels: Volume, pictures: list[Picture]) -> str:
    table = segment_table(translation, labels, NAMES)
    return report_html(translation, verify(translation), pictures, table)


def test_it_says_what_was_done_and_how_far_to_trust_it(page: str, translation: Translation) -> None:
    for words in (
        "age +20", "brain-ageing-t1w", "Recomposition error", "Folded voxels", "There and back", "Largest motion",
        "expanded", "shrank", "Overview", "What is seen.", "Ventricles", translation.provenance.source_sha256,
        "must not be used for", "The motion is the model&#39;s own",
    ):  # fmt: skip
        assert words in page, words
    assert page.count(SYNTHETIC) >= 3


def test_choices_are_words_where_the_card_is_there(translation: Translation) -> None:
    card = read_card(REPOSITORY / "Resources" / "Models" / "brain-contrasts")
    asked = replace(translation, provenance=replace(translation.provenance, attributes={"target": 1.0, "steps": 2.0}))
    page = report_html(asked, verify(asked), card=card)
    assert "target FLAIR, steps +2" in page
    assert "target +1, steps +2" in report_html(asked, verify(asked))


def test_it_fetches_nothing(page: str) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http" not in page
    assert "url(" not in page
    assert page.count("data:image/png;base64,") == 4


def test_the_same_result_gives_the_same_page(
    page: str, translation: Translation, labels: Volume, pictures: list[Picture]
) -> None:
    table = segment_table(translation, labels, NAMES)
    assert report_html(translation, verify(translation), pictures, table) == page


def test_names_cannot_inject_anything(translation: Translation) -> None:
    named = replace(translation, source=replace(translation.source, name="<script>alert(1)</script>"))
    page = report_html(named, verify(named))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_result_that_is_not_what_it_says_is_told_in_red(translation: Translation) -> None:
    wrong = replace(translation, translated=translation.translated.with_array(translation.translated.array + 100))
    page = report_html(wrong, verify(wrong))
    assert "The result is NOT what it says" in page
    assert 'class="figure bad"' in page


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (FieldOrigin.NONE, "No motion is known"),
        (FieldOrigin.ESTIMATED, "ESTIMATED"),
        (FieldOrigin.IDENTITY, "promises"),
    ],
)
def test_every_origin_of_the_field_is_said(translation: Translation, origin: FieldOrigin, words: str) -> None:
    shown = replace(translation, field_origin=origin)
    if origin is FieldOrigin.NONE:
        shown = replace(shown, motion=None, sampling=None, velocity=None, jacobian=None, intensity_change=None)
    assert words in report_html(shown, verify(shown))


def test_a_place_that_cannot_be_written_is_one_sentence(translation: Translation, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'r\.html' cannot be written"):
        write_report(tmp_path / "missing" / "r.html", translation, verify(translation))


def test_a_browser_shows_it_on_a_phone_a_tablet_and_a_desk(page: str, tmp_path: Path) -> None:
    assert_fits(page, tmp_path)


def test_a_browser_shows_the_summary_of_a_batch(tmp_path: Path) -> None:
    records = [
        Record("sub-1_T1w", "sub-1/anat/sub-1_T1w.nii.gz", None, "done", verdict="PASS: " + "recomposed exactly, " * 6,
               field_origin="model", recomposition_percent=0.001, folded_voxels=0, largest_motion_mm=3.2,
               translated="sub-1/anat/sub-1_desc-older_T1w.nii.gz"),
        Record("x", "a/very/deep/" + "n" * 80 + ".nii.gz", 3, "failed", reason="The scan is damaged."),
    ]  # fmt: skip
    (tmp_path / "figures").mkdir()
    (tmp_path / picture_of("sub-1_T1w")).write_bytes(png(np.full((18, 54, 3), 90, np.uint8)))
    page = Summary("Model", "age +10", tuple(records)).to_html(tmp_path)
    assert page.index("The scan is damaged.") < page.index("recomposed exactly"), "failures first"
    assert page.count("<img") == 1
    assert_fits(page, tmp_path)
