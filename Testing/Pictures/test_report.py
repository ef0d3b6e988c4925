"""The report: complete, self-contained, safe against names, and readable in a browser on a desk and on a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_it_without_a_sideways_scroll(page: str, tmp_path: Path, width: int) -> None:
    """The page reports its own widths through its title, so that nothing but the browser is needed."""
    probe = "<script>document.title = [document.documentElement.scrollWidth, innerWidth, [...document.images].every(i => i.naturalWidth > 0)].join()</script>"  # noqa: E501
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", f"{probe}</body>"), encoding="utf-8")
    answer = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"<title>(\d+),(\d+),(true|false)</title>", answer.stdout)
    assert found, answer.stdout[:400]
    assert int(found[1]) <= int(found[2])
    assert found[3] == "true"
