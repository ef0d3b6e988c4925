"""The picture of the page in ``view.md``: build/view/bin/python docs/_site/photograph_view.py FOLDER_OF_A_RESULT."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Testing" / "View"))
from browsing import browser, start  # noqa: E402

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        program = start(sys.argv[1], log=Path(folder) / "log.txt")
        with browser(program.address) as page:
            page.settled("3D")
            page.click("tracing")
            for place in ((0.44, 0.42), (0.585, 0.55)):
                page.click_in("source", *place)
                page.page.wait_for_timeout(2500)
            for pane in ("source", "translated", "motion", "change", "3D"):
                page.settled(pane)
            page.page.screenshot(path=REPOSITORY / "docs" / "pictures" / "view.png")
        program.stop()
