"""A result with known motion, opened by the real program and driven by clicks in a real browser."""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browsing import OTHER, Browser, Program, browser, difference, start
from synthetic_translation import synthetic_translation

from SITTranslateLib import fields
from SITTranslateLib.app.main import run
from SITTranslateLib.structure_table import StructureVolume, StructureVolumes
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.translate.saving import save_translation
from SITTranslateLib.translation import Translation

# Opt-in: in the environment that has trame-slicer and a browser's driver.
pytest.importorskip("trame_slicer", reason="trame-slicer has an environment of its own: make test-view")
pytest.importorskip("playwright", reason="playwright drives the browser: make test-view")


@pytest.fixture(scope="module")
def translation() -> Translation:
    made = synthetic_translation()
    return replace(made, provenance=replace(made.provenance, source_sha256=hash_of(made.source)))


@pytest.fixture(scope="module")
def program(translation: Translation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("view")
    rows = (StructureVolume("lateral ventricle", "both", 17.7, 25.8), StructureVolume("cortex", "both", 512.0, 500.0))
    save_translation(replace(translation, given_structures=StructureVolumes(rows)), folder / "result")
    running = start(str(folder / "result"), log=folder / "log.txt")
    yield running
    if running.process.poll() is None:
        running.process.kill()


@pytest.fixture(scope="module")
def page(program: Program) -> Iterator[Browser]:
    with browser(program.address) as shown:
        shown.settled("3D")
        yield shown


def test_without_the_token_nothing_is_served(program: Program) -> None:
    bare = program.address.partition("?")[0]
    for address, headers in (
        (bare, {}),
        (bare + "index.html", {}),
        (bare + "?token=guessed", {}),
        (bare + "ws", {"Upgrade": "websocket", "Connection": "Upgrade"}),
        (program.address, {"Host": "elsewhere.example"}),
        (program.address, {"Origin": "http://127.0.0.1:1"}),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10)
        assert refused.value.code == 403, address


def test_the_four_views_show_four_things_and_nothing_is_fetched_from_elsewhere(page: Browser) -> None:
    pictures = {pane: page.settled(pane) for pane in ("source", "translated", "motion", "change")}
    for pane, picture in pictures.items():
        assert picture.std() > 20, f"{pane} is empty"
    for pane in ("translated", "motion", "change"):
        assert difference(pictures["source"], pictures[pane]) > OTHER, pane
    assert page.elsewhere == [] and page.complaints == []
    assert "token" not in page.page.url
    if folder := os.environ.get("SITTRANSLATE_PICTURES"):
        page.page.screenshot(path=Path(folder) / "view.png")


def test_strength_nothing_is_the_source_and_back(page: Browser) -> None:
    full, source, arrows = (page.settled(pane) for pane in ("translated", "source", "motion"))
    thumb = page.page.locator(".v-slider-thumb").first
    thumb.press("Home")
    assert page.becomes("translated", source)
    assert page.becomes("motion", source), "an arrow is left"
    slider = page.page.locator(".v-slider__container").first.bounding_box()
    page.page.mouse.click(slider["x"] + 0.8 * slider["width"], slider["y"] + slider["height"] / 2)
    stronger = page.leaves("translated", source)
    assert re.fullmatch(r".* 1[12]\d %", page.page.locator("#strength-words").inner_text())
    assert difference(stronger, full) > OTHER
    for _ in range(60):
        if page.page.locator("#strength-words").inner_text().endswith(" 100 %"):
            break
        thumb.press("ArrowLeft")
    assert page.becomes("translated", full) and page.becomes("motion", arrows)


def test_one_part_alone(page: Browser) -> None:
    source, both = page.settled("source"), page.settled("translated")
    page.click("parts-anatomy")
    anatomy = page.leaves("translated", both)
    page.click("parts-intensity")
    intensity = page.leaves("translated", anatomy)
    assert page.becomes("motion", source), "nothing moves then, so no arrow is drawn"
    assert difference(anatomy, source) > OTHER and difference(intensity, source) > OTHER
    page.click("parts-both")
    assert page.becomes("translated", both)


def test_maps_and_motion_are_switched(page: Browser) -> None:
    source, change, arrows = (page.settled(pane) for pane in ("source", "change", "motion"))
    page.click("map-jacobian")
    jacobian = page.leaves("change", change)
    page.click("map-none")
    assert page.becomes("change", source)
    page.click("motion-grid")
    grid = page.leaves("motion", arrows)
    page.click("motion-none")
    assert page.becomes("motion", source)
    assert difference(jacobian, source) > OTHER and difference(grid, source) > OTHER
    page.click("motion-glyphs")
    page.click("map-change")
    assert page.becomes("motion", arrows) and page.becomes("change", change)


def test_the_wheel_scrolls_all_views_and_planes_turn_together(page: Browser) -> None:
    before = {pane: page.settled(pane) for pane in ("source", "translated", "motion", "change")}
    page.page.mouse.move(*page.at("source"))
    for _ in range(6):
        page.page.mouse.wheel(0, -120)
        page.page.wait_for_timeout(50)
    scrolled = {pane: page.leaves(pane, picture) for pane, picture in before.items()}
    page.click("orientation-Coronal")
    for pane, picture in scrolled.items():
        page.leaves(pane, picture)
    page.click("orientation-Axial")
    page.click("centre")
    for pane, picture in before.items():
        assert page.becomes(pane, picture), pane


def test_the_slices_say_where_they_are_and_the_keyboard_moves_them(page: Browser) -> None:
    before, text = page.settled("source"), page.page.locator("#position").inner_text()
    thumb = page.page.locator(".v-slider-thumb").nth(1)
    place = float(thumb.get_attribute("aria-valuenow"))
    assert re.fullmatch(r"SLICES: [SI] \d+\.\d MM", text.upper()) and thumb.get_attribute("aria-label")
    thumb.press("PageUp")
    page.leaves("source", before)
    moved = float(thumb.get_attribute("aria-valuenow"))
    assert moved > place
    side, millimetres = page.page.locator("#position").inner_text().upper().split()[1:3]
    assert abs((1 if side == "S" else -1) * float(millimetres) - moved) <= 0.5
    page.click("centre")
    assert page.becomes("source", before)


def test_volumes_stand_in_a_table(page: Browser) -> None:
    rows = page.page.locator("#volumes tr").all_inner_texts()
    assert [row.split() for row in rows[1:]] == [
        ["lateral", "ventricles", "17.7", "25.8", "+45.8"],
        ["cortex", "512.0", "500.0", "-2.3"],
    ]


def test_everything_that_is_used_has_a_name(page: Browser) -> None:
    names = page.page.evaluate(
        """[...document.querySelectorAll("button, input, [role=slider], [role=group], [role=region], img")].map(e =>
        [e.tagName, e.getAttribute("aria-label") || e.innerText || e.alt || e.title || (e.labels && e.labels.length ?
        e.labels[0].innerText : "") || (e.closest("[aria-label]") ? e.closest("[aria-label]").ariaLabel : "")])"""
    )
    assert len(names) > 12 and [tag for tag, name in names if not name] == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180), (1440, 900)])
def test_it_fits_a_phone_a_tablet_and_a_desk(page: Browser, width: int, height: int) -> None:
    page.page.set_viewport_size({"width": width, "height": height})
    page.page.wait_for_timeout(1500)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [one.bounding_box() for one in page.page.locator(".layout-grid-item").all()]
    assert len(boxes) == 5
    for box in boxes:
        assert box["x"] >= 0 and box["x"] + box["width"] <= width + 1 and min(box["width"], box["height"]) > 150, boxes
    controls = page.page.locator(".controls").bounding_box()
    assert controls["width"] >= 290
    for box in boxes:
        apart = box["y"] + box["height"] <= controls["y"] + 1 or box["x"] >= controls["x"] + controls["width"] - 1
        assert apart, "controls do not lie on the views"
    if folder := os.environ.get("SITTRANSLATE_PICTURES"):
        page.page.screenshot(path=Path(folder) / f"view-{width}.png", full_page=True)
    page.page.set_viewport_size({"width": 1500, "height": 950})
    page.settled("3D")


def test_a_clicked_point_goes_where_the_known_motion_takes_it_and_back(page: Browser, translation: Translation) -> None:
    page.click_in("source", 0.6, 0.5)
    page.page.wait_for_timeout(500)
    assert page.page.locator("#points").count() == 0, "nothing is traced unless it is asked for"
    page.click("tracing")
    page.click_in("source", 0.6, 0.5)
    page.page.wait_for_selector("#points tr:nth-child(2)", timeout=300_000)
    start, end = (np.array(p) for p in places(page, 2))
    assert translation.motion is not None
    w = fields.sample_field(translation.motion, start[None])[0]
    assert np.linalg.norm(w) > 1.0
    np.testing.assert_allclose(end - start, w, atol=0.05)
    page.click_in("translated", 0.42, 0.56)
    page.page.wait_for_selector("#points tr:nth-child(3)", timeout=300_000)
    origin, partner = (np.array(p) for p in places(page, 3))
    # Here it is the partner that was clicked: to the person's right of the first one, and behind it.
    assert partner[0] > start[0] + 10 and partner[1] < start[1] - 3
    np.testing.assert_allclose(partner - origin, fields.sample_field(translation.motion, origin[None])[0], atol=0.1)
    page.page.locator("#points tr:nth-child(2)").click()
    page.click("clear")
    page.page.wait_for_selector("#points", state="detached", timeout=300_000)
    page.click("tracing")
    assert page.complaints == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "'nowhere' is not there"),
        ([__file__], "to translate it first, say --model"),
        ([str(Path(__file__).parent)], "is not the folder of a translation"),
        ([__file__, "--set", "age=+10"], "give --model too"),
        ([__file__, "--model", "nothing-of-that-name"], "There is no model"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["view", *words, "--no-browser"]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1


def test_it_stops_when_told_and_leaves_nothing(program: Program, page: Browser) -> None:
    port = int(re.search(r":(\d+)/", program.address).group(1))  # type: ignore[union-attr]
    assert program.stop() == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def places(page: Browser, row: int) -> list[list[float]]:
    """Source and partner of a row of the table, RAS mm to two decimals."""
    about = page.page.locator(f"#points tr:nth-child({row})").get_attribute("title")
    source, _, rest = about.partition(": ")[2].partition(" -> ")
    return [[float(v) for v in part.split()] for part in (source, rest.partition(";")[0])]
