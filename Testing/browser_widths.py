"""A page in headless Chromium at the widths of a phone, a tablet and a desk; skipped where there is no Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (390, 820, 1440)
#: What is measured in each frame: frames, since a window of Chromium is never narrower than 500 pixels.
_MEASURE = """<script>addEventListener("load", () => {
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, width = frame.clientWidth;
    const scrolled = e => e.parentElement && (e.parentElement.closest(".wide") !== null);
    const all = selector => [...page.body.querySelectorAll(selector)];
    return {
      width, needed: page.documentElement.scrollWidth,
      images: [...page.images].map(i => [i.naturalWidth > 0, i.alt]),
      outside: all("*").filter(e => e.getBoundingClientRect().right > width + 1 && !scrolled(e))
        .map(e => e.tagName + " " + e.textContent.slice(0, 40)),
      hidden: all("td").filter(e => e.textContent.trim() && !e.getClientRects().length).length,
      smallest: Math.min(...all("p, td, li, dd").map(e => parseFloat(getComputedStyle(e).fontSize))),
    }}))})</script>"""


def at_three_widths(page: str, folder: Path) -> list[dict[str, Any]]:
    """Measures of a page of its own text, by width: needed width, images, what lies outside, hidden cells, font."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(page, quote=True)}"></iframe>'
        for width in WIDTHS
    )
    file = folder / "frames.html"
    file.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{frames}{_MEASURE}', encoding="utf-8")
    answer = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1600,900", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"<title>(\[.*?\])</title>", answer.stdout, re.DOTALL)
    assert found, answer.stdout[:400]
    measured: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    assert [one["width"] for one in measured] == list(WIDTHS)
    return measured


def assert_fits(page: str, folder: Path) -> None:
    """The page shows everything at every width, with names for its pictures and letters that can be read."""
    for one in at_three_widths(page, folder):
        assert one["needed"] <= one["width"] and one["outside"] == [], one
        assert all(loaded and alt for loaded, alt in one["images"]), one
        assert one["hidden"] == 0 and one["smallest"] >= 12, one
