"""The real program in a process of its own, and a real browser that is clicked."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

#: Which pane stands where in the page, row by row; then the 3D view.
PANES = ("source", "translated", "motion", "change", "3D")
#: Mean difference of two pictures (grey levels of 255): at most this of one thing, more than that of two.
SAME, OTHER = 0.02, 0.1
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


@dataclass
class Program:
    """A running ``sittranslate view``."""

    process: subprocess.Popen[str]
    address: str

    def stop(self) -> int:
        """As Ctrl+C does; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait()


def start(*arguments: str, log: Path) -> Program:
    """Start the program and wait for its page."""
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "SITTranslateLib.app.main", "view", *arguments, "--no-browser"],
            stdout=stream, stderr=stream, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    end = time.monotonic() + 500
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"^Open (\S+)$", log.read_text(encoding="utf-8"), flags=re.MULTILINE):
            return Program(process, found.group(1))
        time.sleep(0.2)
    process.kill()
    raise AssertionError(log.read_text(encoding="utf-8"))


@dataclass
class Browser:
    """A page that is looked at and clicked."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def picture(self, pane: str) -> np.ndarray:
        """What a pane shows now, ``(height, width, 3)``, without title, mark and legend."""
        raw = self.page.locator(".layout-grid-item").nth(PANES.index(pane)).screenshot()
        pixels = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), dtype=np.int16)
        return pixels[56:-30, 30:-110]

    def settled(self, pane: str) -> np.ndarray:
        """The pane once its picture has come to rest, at full quality."""
        before, times = self.picture(pane), 0
        for _ in range(600):
            self.page.wait_for_timeout(400)
            after = self.picture(pane)
            same = before.shape == after.shape and not self.busy and np.array_equal(before, after)
            before, times = after, times + 1 if same else 0
            if times == 3:
                return after
        raise AssertionError(f"the view '{pane}' does not come to rest")

    def becomes(self, pane: str, wanted: np.ndarray) -> bool:
        """Whether a pane comes to show that very picture; no is said late, since a machine may be slow."""
        for _ in range(600):
            now = self.picture(pane)
            if now.shape == wanted.shape and difference(now, wanted) < SAME:
                return True
            self.page.wait_for_timeout(400)
        return False

    def leaves(self, pane: str, before: np.ndarray) -> np.ndarray:
        """The pane's next picture, at rest, once it shows another one than before."""
        for _ in range(600):
            if difference(self.picture(pane), before) > OTHER:
                return self.settled(pane)
            self.page.wait_for_timeout(400)
        raise AssertionError(f"the view '{pane}' does not change")

    @property
    def busy(self) -> bool:
        return self.page.locator("#busy").count() > 0

    def click(self, identifier: str) -> None:
        self.page.locator(f"#{identifier}").click()

    def at(self, pane: str, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """A place in a pane, as shares of its width and height, in the page's pixels."""
        box = self.page.locator(".layout-grid-item").nth(PANES.index(pane)).bounding_box()
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    def click_in(self, pane: str, across: float, down: float) -> None:
        self.page.mouse.move(*self.at(pane, across, down))
        # As fast as a person, not as a program: the page tells the mouse's doings a hundred times a second.
        self.page.wait_for_timeout(60)
        self.page.mouse.down()
        self.page.wait_for_timeout(60)
        self.page.mouse.up()


@contextlib.contextmanager
def browser(address: str) -> Iterator[Browser]:
    """Headless Chromium at an address; the system's own, else the one that playwright brought."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        if found is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("no Chromium: install Debian's chromium, or playwright install chromium")
        program = driver.chromium.launch(executable_path=found, headless=True, args=_FLAGS)
        page = program.new_page(viewport={"width": 1500, "height": 950})
        shown = Browser(page)
        page.on("console", lambda m: shown.complaints.append(m.text) if _complains(m) else None)
        page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        page.on("request", lambda r: shown.elsewhere.append(r.url) if _leaves(r.url) else None)
        page.goto(address)
        page.wait_for_selector(".layout-grid-item img", timeout=300_000)
        yield shown
        program.close()


def _complains(message: Any) -> bool:
    # trame's client asks first whether a launcher answers here; there is none, and that is well.
    return message.type == "error" and "405 (Method Not Allowed)" not in message.text


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
