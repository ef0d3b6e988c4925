"""The report of a traced pair: pictures from Slicer's views, in a browser on a desk, on a phone and on paper."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser_widths import CHROMIUM, assert_fits
from synthetic_translation import head, oblique_grid, synthetic_translation

from SITTranslateLib.errors import InputError
from SITTranslateLib.report.trace_page import trace_html, write_trace_report
from SITTranslateLib.scene.headless.messages import MessageCatcher
from SITTranslateLib.scene.headless.pair_pictures import PairStudio
from SITTranslateLib.scene.headless.pictures import Outlines, Picture
from SITTranslateLib.traceability.tracing import PairTrace, trace_pair
from SITTranslateLib.traceability.verdict import SMALL_CHANGES
from SITTranslateLib.volume import Volume

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
NAMES = {1: "Brain", 2: "Ventricles", 3: "Forgotten"}


@pytest.fixture(scope="module")
def found() -> PairTrace:
    """The synthetic head and its translation, as if somebody else had made it, with a mark added by that somebody."""
    pair = synthetic_translation()
    grid = oblique_grid()
    source, labels = head(grid)
    rng = np.random.default_rng(0)
    array = pair.translated.array + rng.normal(0, 6, grid.shape).astype(np.float32)
    array[24:28, 36:40, 20:24] += 300.0
    noisy = source.with_array(source.array + rng.normal(0, 6, grid.shape).astype(np.float32))
    landmarks = (["middle", "far away"], np.array([[5.0, -8.0, 12.0], [400.0, 0.0, 0.0]]))
    return trace_pair(noisy, Volume(array, grid.affine, "Other's image"), labels, NAMES, landmarks=landmarks)


@pytest.fixture(scope="module")
def pictures(found: PairTrace, tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    outlines = Outlines(head(found.translation.source.grid)[1], {2: "Ventricles"}, 2)
    identity = found.identity
    with (
        MessageCatcher() as messages,
        PairStudio(found.translation, identity.unexplained, identity.residual, outlines) as studio,
    ):
        drawn = studio.draw(tmp_path_factory.mktemp("pictures"))
    assert messages.errors == []
    return drawn


@pytest.fixture(scope="module")
def page(found: PairTrace, pictures: list[Picture]) -> str:
    return trace_html(found, pictures)


def test_the_pictures_show_what_they_say(pictures: list[Picture]) -> None:
    assert [p.name for p in pictures] == ["overview", "close_up", "not_explained", "grid", "jacobian"]
    from vtk import vtkPNGReader
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtkPNGReader()
    reader.SetFileName(str(pictures[0].path))
    reader.Update()
    pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars()).reshape(-1, 3).astype(int)
    yellow = (pixels[:, 0] - pixels[:, 2] > 45) & (pixels[:, 1] - pixels[:, 2] > 45) & (pixels[:, 0] > 150)
    # The added mark is yellow on the last panel; arrows and legends alone are far fewer pixels.
    assert yellow.sum() > 1500
    assert (np.ptp(pixels, axis=1) < 8).mean() > 0.5
    # The map is transparent outside the head: no grey around it in the last panel.
    width, height, _depth = reader.GetOutput().GetDimensions()
    last = pixels.reshape(height, width, 3)[: height // 2 - 8, width // 2 + 8 :]
    assert (abs(last - 77).max(axis=2) < 6).mean() < 0.05


def test_it_says_what_was_found_with_floor_reasons_and_rows_without_a_figure(page: str, found: PairTrace) -> None:
    for words in (
        "Other&#39;s image", "estimated", found.floor.sentence(), "Where did", f"Verdict: {found.table.verdict}",
        "What explains the image", "not explained by the source", "Ventricles", "empty: no voxel", "middle",
        "cannot be traced here", "SHA-256", "Floor measured on", "may be used for diagnosis",
    ):  # fmt: skip
        assert words in page, words
    assert SMALL_CHANGES in page
    assert "is NOT what it says" not in page
    assert trace_html(found) == trace_html(found)


def test_it_fetches_nothing_and_names_cannot_inject_anything(page: str, found: PairTrace) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    # Without the pictures, whose letters may spell anything.
    text = re.sub(r"data:[^\"')]+", "", page)
    assert "http" not in text
    assert "url(" not in text
    pair = found.translation
    named = replace(pair, source=replace(pair.source, name="<script>alert(1)</script>"))
    assert "<script" not in trace_html(replace(found, translation=named))


def test_without_opengl_it_says_why_there_are_no_pictures(found: PairTrace) -> None:
    assert "No pictures: because" in trace_html(found, (), "No pictures: because")


def test_a_place_that_cannot_be_written_is_one_sentence(found: PairTrace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'r\.html' cannot be written"):
        write_trace_report(tmp_path / "missing" / "r.html", found)


def browser(tmp_path: Path, *arguments: str) -> str:
    """What Chromium answers; it has no network to reach, and needs none."""
    answer = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}", *arguments,
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return answer.stdout


def test_a_browser_shows_it_on_a_phone_a_tablet_and_a_desk(page: str, tmp_path: Path) -> None:
    assert_fits(page, tmp_path)


@in_a_browser
def test_it_prints_as_a_pdf_of_several_pages(page: str, tmp_path: Path) -> None:
    file, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    file.write_text(page, encoding="utf-8")
    browser(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", file.as_uri())
    pages = len(re.findall(rb"/Type /Page\b", paper.read_bytes()))
    assert paper.read_bytes()[:5] == b"%PDF-"
    assert 2 <= pages <= 12
