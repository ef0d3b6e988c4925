"""The benchmark as a whole: which names, how many threads, one list of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.speed import estimated, growth
from benchmarks.speed.figures import FIGURES
from benchmarks.speed.inputs import make_inputs
from benchmarks.speed.measuring import Record, run_race, use_threads
from benchmarks.speed.races import RACES
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import set_threads

#: The size of the goals.
SHAPE = (160, 192, 160)


def names() -> list[str]:
    """Everything that can be asked for."""
    return [*RACES, *FIGURES, "second-apply"]


def run_benchmark(
    only: Sequence[str] = (),
    threads: Sequence[int] = (1, 2),
    shape: tuple[int, int, int] = SHAPE,
    repeats: int = 5,
    large: bool = False,
    progress: Callable[[str, float], None] | None = None,
    heads: Path | None = None,
) -> list[Record]:
    """Measure what is asked for (all by default).

    Raises:
        InputError: an unknown name or a shape too small to compare.
        AssertionError: an answer differs from the peer's by more than the stated tolerance.
    """
    wanted = ["translate-overhead" if name == "second-apply" else name for name in only] or [*RACES, *FIGURES]
    if unknown := [name for name in wanted if name not in RACES and name not in FIGURES]:
        raise InputError(f"No benchmark is called {unknown[0]!r}; choose from {', '.join(names())}.")
    if min(shape) < 24:
        raise InputError("A benchmark needs at least 24 voxels along each axis; give a larger shape.")
    use_threads(max(threads))
    inputs = make_inputs(shape)
    records: list[Record] = []
    steps = [(name, count) for name in wanted for count in threads]
    try:
        for done, (name, count) in enumerate(steps):
            if progress:
                progress(f"{name}, {count} thread{'s' if count > 1 else ''}", done / len(steps))
            use_threads(count)
            made: list[Record] = []
            if name in RACES:
                made = [run_race(race, count, repeats) for race in RACES[name](inputs)]
            elif count == threads[0] or name == "slider":
                measure = FIGURES[name]
                if large and name == "growth-voxels":
                    measure = growth.voxels(growth.SIZES + growth.LARGE_SIZES)
                elif name in estimated.CASES:
                    measure = estimated.measured_on(heads, name)
                made = measure(inputs, count, repeats)
            for record in made:
                record.case = name
            records += made
    finally:
        set_threads(None)
    return records
