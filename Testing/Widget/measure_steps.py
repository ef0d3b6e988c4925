# ruff: noqa: E402 - the harness must be found first
"""How long the module keeps the window: the longest step of its own in Slicer's main thread.

    python Testing/Widget/measure_steps.py --spacing 2 --spacing 1 --cube 256

Each scan (the ICBM152 average that nilearn brings along) is translated in the panel, with the real worker process and
the real scene. Between two looks at the clock the event loop runs once, as Slicer's does between two events: the
longest such turn is what a user can feel. CPU time of the main thread is given beside wall time, because a loaded
machine stretches the latter. Pixels are drawn apart (``draw``), in software; widgets are stand-ins for Slicer's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE), str(REPOSITORY)]

import numpy as np
from harness import Harness, harness
from scipy import ndimage

from SITTranslateLib.app.demo_brain import load_brain
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.ui import results
from SITTranslateLib.volume import Volume


class Clock:
    """Longest turns by phase: CPU and wall seconds of the main thread."""

    def __init__(self, box: Harness) -> None:
        self.box = box
        self.turns: dict[str, list[tuple[float, float]]] = defaultdict(list)

    @contextmanager
    def turn(self, phase: str) -> Iterator[None]:
        began = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self.note(phase, *began)

    def note(self, phase: str, cpu: float, wall: float) -> None:
        """A turn that began at these times has ended."""
        self.turns[phase].append((time.thread_time() - cpu, time.perf_counter() - wall))

    def wait(self, condition: Callable[[], bool], phase: str, seconds: float = 600.0) -> None:
        """Run the event loop, one turn after the other, until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"{phase}: nothing within {seconds:.0f} s")
            with self.turn(phase):
                self.box.qt_app.processEvents()
            time.sleep(0.002)

    def rows(self) -> Iterator[tuple[str, int, float, float, float]]:
        for phase, turns in self.turns.items():
            cpu, wall = ([turn[kind] for turn in turns] for kind in (0, 1))
            yield phase, len(turns), 1e3 * max(cpu), 1e3 * max(wall), sum(cpu)


def scans(spacings: list[float], cubes: list[int]) -> Iterator[tuple[str, Volume]]:
    brain, _labels = load_brain()
    for spacing in spacings:
        factors = [old / spacing for old in reversed(brain.spacing)]
        array = ndimage.zoom(brain.array, factors, order=1)
        affine = brain.affine.copy()
        affine[:3, :3] *= np.array(brain.array.shape[::-1]) / np.array(array.shape[::-1])
        yield f"{spacing:g} mm, {' x '.join(str(n) for n in array.shape[::-1])}", Volume(array, affine, "brain")
    for size in cubes:
        pads = [((size - n) // 2, size - n - (size - n) // 2) for n in brain.array.shape]
        affine = brain.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ np.array([before for before, _after in reversed(pads)], dtype=float)
        yield f"{size}^3", Volume(np.pad(brain.array, pads), affine, "brain")


def measure(box: Harness, widget: Any, scan: Volume, model: str) -> Clock:
    """One scan from Apply to the last click on its result."""
    import slicer

    clock, panel = Clock(box), widget.panel
    _time_steps(clock)
    node = add_volume_node(slicer.mrmlScene, scan, "brain")
    with clock.turn("choose the scan"):
        panel.input.set_node(node)
    panel.model.select(model)
    clock.wait(lambda: panel.input.ui.fitLabel.text != "", "look at the scan")
    with clock.turn("press Apply"):
        panel.apply.ui.applyButton.click()
    clock.wait(lambda: not panel.session.running, "wait and add the result")
    if panel.session.shown is None:
        raise SystemExit(panel.apply.ui.messageLabel.text)
    nodes = panel.session.shown.nodes
    clock.wait(lambda: panel.structures.found is not None and not panel.session.busy, "draw the structures")
    for percent in (60.0, 80.0, 40.0):
        with clock.turn("strength: move the slider"):
            panel.change.set_strength(percent)
        clock.wait(lambda: not _recomposes(panel), "strength: take the scan")
    time.sleep(0.4)
    clock.wait(lambda: not _recomposes(panel), "strength: take the maps")
    for point in ((10.0, -20.0, 15.0), (-14.0, 8.0, 20.0), (22.0, -30.0, 5.0)):
        known = len(panel.trace.points)
        with clock.turn("point: click"):
            panel.trace.trace(point)
        clock.wait(lambda known=known: len(panel.trace.points) > known, "point: show it")
    for button in ("jacobianMapButton", "noMapButton", "changeMapButton"):
        with clock.turn("overlay: switch"):
            getattr(panel.change.ui, button).click()
            box.qt_app.processEvents()
    with clock.turn("take up a result: let go of it"):
        panel.session.forget()
    panel.session.choose(nodes.folder)
    clock.wait(lambda: panel.session.shown is not None, "take up a result")
    clock.wait(lambda: not panel.session.busy, "take up a result: structures")
    nodes = panel.session.shown.nodes
    for name in (layout.SOURCE, layout.TRANSLATED, layout.MOTION, layout.CHANGE, layout.THREE_D):
        view = box.layout_manager.view(name)
        if view is not None:
            view.grab()
            if name != layout.THREE_D:
                layout.jump_to(slicer.mrmlScene, nodes.focus + 3.0)
            with clock.turn(f"draw {name}"):
                view.grab()
    with clock.turn("remove the result: click"):
        panel.session.remove_shown(at_once=False)
    clock.wait(lambda: not panel.session.busy, "remove the result: nodes")
    return clock


def _recomposes(panel: Any) -> bool:
    session = panel.session
    return bool(session.busy or panel.change._rest.isActive())


def _time_steps(clock: Clock) -> None:
    """Give the steps of adding a result a line for each function of ours that they end in."""
    adding = getattr(_time_steps, "adding", results.adding)
    _time_steps.adding = adding  # type: ignore[attr-defined]

    def timed(*arguments: Any, **options: Any) -> Any:
        steps = adding(*arguments, **options)
        while True:
            began = time.thread_time(), time.perf_counter()
            try:
                next(steps)
                name = _where(steps)
            except StopIteration as end:
                return end.value
            finally:
                clock.note(f"  add: {name if steps.gi_frame else 'end'}", *began)
            yield

    results.adding = timed


def _where(steps: Any) -> str:
    """The innermost function of a generator that is no pause."""
    names = []
    while getattr(steps, "gi_frame", None) is not None:
        names.append(steps.gi_code.co_name)
        steps = steps.gi_yieldfrom
    return next(name for name in reversed(names) if name not in ("pause", "paused"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spacing", type=float, action="append", default=[], help="mm; may be given again")
    parser.add_argument("--cube", type=int, action="append", default=[], help="voxels a side at 1 mm")
    parser.add_argument("--model", default="brain-ageing-t1w")
    options = parser.parse_args()
    box = harness()
    module, _ = box.load(REPOSITORY / "SITTranslate" / "SITTranslate.py")
    widget = box.open(module, "SITTranslate")
    for title, scan in scans(options.spacing or ([] if options.cube else [2.0]), options.cube):
        clock = measure(box, widget, scan, options.model)
        print(f"\n{title}\n{'turn':28} {'n':>5} {'CPU ms, longest':>16} {'wall ms':>8} {'CPU s, all':>11}")
        for phase, count, cpu, wall, total in clock.rows():
            print(f"{phase:28} {count:5} {cpu:16.0f} {wall:8.0f} {total:11.2f}")
        box.app.clear()
    widget.cleanup()


if __name__ == "__main__":
    main()
