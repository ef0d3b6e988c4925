"""Error against time of estimated fields: this project, Greedy, ANTs and demons on the same pairs of 1 mm."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import estimated_fields as methods
from benchmarks.calibration import subjects_in
from benchmarks.estimated_fields import Field
from benchmarks.known_pairs import KnownPair, known_pair
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Record, figure_of, use_threads
from SITTranslateLib.simulation import prepare_subject, procedural_head

CASES = {"estimated-fields": (("T1w", "T1w"), 500), "estimated-fields-across": (("T1w", "T2w"), 501)}
"""Contrasts and seed of the pair of each case."""
PEAK_MM = 6.0
OURS = "this project"
TUNED_ON = 12
"""So many heads of a folder had a part in choosing settings."""


def measured_on(heads: Path | None, case: str) -> Callable[[Inputs, int, int], list[Record]]:
    """The measurement of a case on a label map of a folder, one after the first twelve; on a drawn head without one."""

    def front(inputs: Inputs, threads: int, repeats: int) -> list[Record]:
        use_threads(threads)
        os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", str(threads))
        index, (contrasts, seed) = list(CASES).index(case), CASES[case]
        subject = prepare_subject(procedural_head(3)) if heads is None else subjects_in(heads, 1, TUNED_ON + index)[0]
        pair = known_pair(subject, contrasts, PEAK_MM, seed, spacing=1.0)
        records = []
        for (method, last), work in works(contrasts).items():
            (result,) = methods.compare([pair], {f"{method}, {last}": work})
            record = figure_of(case, pair.source.shape, threads, result.cpu_seconds, None, "", None)
            record.peer = method
            record.details = {
                "pair": " to ".join(contrasts),
                "last_level": last,
                "error_mean_mm": result.error_mean_mm,
                "error_p95_mm": result.error_p95_mm,
                "motion_mean_mm": result.true_mean_mm,
            }
            records.append(record)
        return records

    return front


def works(contrasts: tuple[str, str]) -> dict[tuple[str, str], Callable[[KnownPair], Field]]:
    """Every method that is installed and can compare the two contrasts, by its name and last level."""
    found: dict[tuple[str, str], Callable[[KnownPair], Field]] = {
        (OURS, "2 mm"): methods.own,
        (OURS, "1 mm"): partial(methods.own, finer=True),
    }
    if find_spec("picsl_greedy") is not None:
        found["Greedy", "2 mm"] = partial(methods.greedy, steps="100x50x0")
        found["Greedy", "1 mm"] = partial(methods.greedy, steps="100x50x20")
    if find_spec("ants") is not None:
        found["ANTs SyN", "2 mm"] = partial(methods.syn, steps=(40, 20, 0))
    if contrasts[0] == contrasts[1]:
        found["SimpleITK demons", "1 mm"] = methods.demons
    return found
