"""How far estimated fields can be trusted: measured on simulated pairs, written to ``floors.json``.

Run it again with ``python -m benchmarks.calibration FOLDER`` on any folder of head label maps
(``*.nii.gz`` with FreeSurfer labels) or prepared subjects (``*.npz``).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.known_pairs import KnownPair, known_pair
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import load_subject, prepare_subject, read_label_map
from SITTranslateLib.simulation.subject import Subject
from SITTranslateLib.traceability.estimate import CROSS, FLOORS, SAME, WITH_CT, estimate

PAIRS: dict[tuple[str, str], str] = {
    ("T1w", "T1w"): SAME,
    ("T1w", "T2w"): CROSS,
    ("T2w", "T1w"): CROSS,
    ("T1w", "FLAIR"): CROSS,
    ("T1w", "CT"): WITH_CT,
}
"""Contrasts that are measured, and the kind of pair each stands for."""
CASES: tuple[tuple[float, str, bool], ...] = (
    (0.0, "smooth", False),
    (4.0, "ageing", False),
    (8.0, "smooth", False),
    (0.0, "smooth", True),
    (4.0, "smooth", True),
)
"""Peak motion (mm), kind of field, and whether the skull is stripped; at least the first two are needed."""


def subjects_in(folder: Path, count: int, skip: int = 0) -> list[Subject]:
    """The first heads of a folder after ``skip`` others, prepared.

    Raises:
        InputError: there is none.
    """
    prepared, maps = sorted(folder.glob("*.npz")), sorted(folder.glob("*.nii.gz"))
    if len(prepared or maps) <= skip:
        raise InputError(
            f"{folder.name} holds no prepared subjects (.npz) and no label maps (.nii.gz), or all are skipped."
        )
    if prepared:
        return [load_subject(path) for path in prepared[skip : skip + count]]
    return [prepare_subject(read_label_map(path)) for path in maps[skip : skip + count]]


def calibrate(subjects: list[Subject], cases: int = len(CASES), seeds: int = 1) -> dict[str, dict[str, float | int]]:
    """Floors and errors in mm of every measured pair of contrasts, and of every kind of pair (its worst)."""
    table: dict[str, dict[str, float | int]] = {}
    kinds = defaultdict(list)
    for contrasts, kind in PAIRS.items():
        still: list[tuple[float, float]] = []
        moving: list[tuple[float, float]] = []
        for seed in range(seeds):
            for index, (peak, field, stripped) in enumerate(CASES[: max(2, cases)]):
                subject = subjects[(seed + index) % len(subjects)]
                pair = known_pair(subject, contrasts, peak, 1000 + 10 * seed + index, kind=field, skull_strip=stripped)
                errors = _errors(pair)
                (moving if peak else still).append((float(errors.mean()), float(np.percentile(errors, 95))))
        entry = {
            "mean_mm": round(float(np.mean(still, axis=0)[0]), 3),
            "p95_mm": round(float(np.mean(still, axis=0)[1]), 3),
            "error_mm": round(float(np.mean(moving, axis=0)[0]), 3),
            "pairs": len(still) + len(moving),
        }
        table[">".join(contrasts)] = entry
        kinds[kind].append(entry)
        print(contrasts, entry, flush=True)
    for kind, entries in kinds.items():
        table[kind] = {key: max(entry[key] for entry in entries) for key in ("mean_mm", "p95_mm", "error_mm")}
        table[kind]["pairs"] = sum(int(entry["pairs"]) for entry in entries)
    return table


def _errors(pair: KnownPair) -> np.ndarray:
    return pair.error(estimate(pair.source, pair.translated).motion)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the floor of estimated fields on simulated pairs.")
    parser.add_argument("folder", type=Path, help="head label maps (.nii.gz) or prepared subjects (.npz)")
    parser.add_argument("--subjects", type=int, default=4, help="how many heads")
    parser.add_argument("--cases", type=int, default=len(CASES), help="how many of the five cases, at least two")
    parser.add_argument("--seeds", type=int, default=1, help="how many rounds of five pairs for each two contrasts")
    parser.add_argument("--out", type=Path, default=FLOORS, help="where the table is written")
    chosen = parser.parse_args()
    table = calibrate(subjects_in(chosen.folder, chosen.subjects), chosen.cases, chosen.seeds)
    document = {"version": 1, "measured_on": "simulated heads at 2 mm, brain", "pairs": table}
    chosen.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
