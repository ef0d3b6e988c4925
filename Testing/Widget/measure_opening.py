"""How long the module takes to open: from the import of its file to the panel shown, and to its list of models.

    python Testing/Widget/measure_opening.py --runs 7

Every run is a process of its own, because a user opens the module once. What the harness does and Slicer does not
(checking each ``.ui`` file strictly, making the loader know the stand-ins) is taken off; compiled Python is kept
between the runs, as in an installation. Widgets are PySide6's and stand-ins for CTK's and Slicer's own, so
the figure is of our code and our files, not of Slicer's widgets.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
STEPS = ("import", "setup", "enter", "show", "models")
HEAVY = ("torch", "monai", "SimpleITK", "scipy", "numba")


def measure_here() -> dict[str, Any]:
    """One opening in this process: CPU and wall milliseconds of each step, and what heavy it imported."""
    sys.path[:0] = [str(HERE), str(REPOSITORY)]
    import slicer
    from harness import harness, ui_files
    from harness.mrml_widgets import qSlicerWidget
    from PySide6 import QtWidgets

    box = harness()
    harness_alone = [0.0, 0.0]
    ui_files.check = _timed(ui_files.check, harness_alone)
    ui_files.UiLoader.__init__ = _timed(ui_files.UiLoader.__init__, harness_alone)
    figures: dict[str, Any] = {}
    state: dict[str, Any] = {}

    def load() -> None:
        state["module"], _parent = box.load(REPOSITORY / "SITTranslate" / "SITTranslate.py")

    def setup() -> None:
        container = qSlicerWidget()
        container.setLayout(QtWidgets.QVBoxLayout())
        container.setMRMLScene(slicer.mrmlScene)
        state["container"], state["widget"] = container, state["module"].SITTranslateWidget(container)
        state["widget"].setup()

    def show() -> None:
        state["container"].show()
        state["widget"].panel.listing.stop()
        box.qt_app.processEvents()

    works = (load, setup, lambda: state["widget"].enter(), show, lambda: state["widget"].panel.list_models())
    for step, work in zip(STEPS, works, strict=True):
        harness_alone[:] = [0.0, 0.0]
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        figures[step] = [1e3 * (cpu - harness_alone[0]), 1e3 * (wall - harness_alone[1])]
    figures["heavy"] = [name for name in HEAVY if name in sys.modules]
    state["widget"].cleanup()
    return figures


def _timed(function: Callable[..., None], total: list[float]) -> Callable[..., None]:
    def timed(*arguments: Any) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        function(*arguments)
        total[0] += time.process_time() - cpu
        total[1] += time.perf_counter() - wall

    return timed


def measure(runs: int) -> list[dict[str, Any]]:
    """So many openings, each in a fresh process; one before them fills the cache of compiled Python."""
    with tempfile.TemporaryDirectory() as cache:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return [_opening(kept | {"PYTHONPYCACHEPREFIX": cache}) for _ in range(runs + 1)][1:]


def _opening(environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--here"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--here", action="store_true", help="one opening in this process, as JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure_here()))
        return
    openings = measure(options.runs)
    print(f"{'step':8} CPU ms  wall ms   (medians of {options.runs})")
    for step in STEPS:
        print(f"{step:8} {_median(openings, step, 0):6.0f} {_median(openings, step, 1):8.0f}")
    totals = [[sum(o[step][kind] for step in STEPS[:-1]) for o in openings] for kind in (0, 1)]
    print(f"{'shown':8} {statistics.median(totals[0]):6.0f} {statistics.median(totals[1]):8.0f}")
    print("imported meanwhile:", ", ".join(sorted({name for o in openings for name in o["heavy"]})) or "nothing heavy")


def _median(openings: list[dict[str, Any]], step: str, kind: int) -> float:
    return statistics.median(opening[step][kind] for opening in openings)


if __name__ == "__main__":
    main()
