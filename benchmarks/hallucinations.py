"""Are hallucinations found? Blobs planted into translated scans, and whether ``identity`` calls them unexplained.

Run ``python -m benchmarks.hallucinations FOLDER`` on head label maps or prepared subjects.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration import subjects_in
from benchmarks.known_pairs import KnownPair, known_pair
from SITTranslateLib import fields
from SITTranslateLib.evaluation.metrics import area_under_curve
from SITTranslateLib.traceability.estimate import estimated_translation, translation_of_pair
from SITTranslateLib.traceability.explanation import explain
from SITTranslateLib.traceability.segments import UNEXPLAINED_ABOVE
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Volume

SHARE_OF_RANGE = 0.25
"""Height of a blob: this share of the brain's range (1 to 99 %) in the translated scan, up or down."""


@dataclass(frozen=True, eq=False)
class Planted:
    """A scan with blobs that its source does not have; ``blobs`` numbers them from 1, ``diameters`` in mm."""

    scan: Volume
    blobs: NDArray[np.int32]
    diameters: tuple[float, ...]


def plant(pair: KnownPair, diameters: tuple[float, ...], seed: int) -> Planted:
    """Add or remove round blobs of given diameters at random places of the brain, apart from each other."""
    rng = np.random.default_rng(seed)
    array, blobs = pair.translated.array.copy(), np.zeros(pair.translated.shape, np.int32)
    height = SHARE_OF_RANGE * float(np.subtract(*np.percentile(array[pair.brain], (99, 1))))
    places = np.argwhere(pair.brain)
    spacing = np.array(pair.translated.spacing[::-1])
    indices = np.indices(array.shape)
    for number, diameter in enumerate(diameters, 1):
        while True:
            centre = places[rng.integers(len(places))]
            offset = (indices - centre.reshape(3, 1, 1, 1)) * spacing.reshape(3, 1, 1, 1)
            distance = np.sqrt((offset**2).sum(axis=0))
            # The edge fades over a voxel, as partial volume makes it.
            amount = np.clip((diameter / 2 - distance) / spacing.mean() + 0.5, 0.0, 1.0)
            if not blobs[distance < diameter].any():
                break
        array += np.float32(rng.choice((-1.0, 1.0)) * height) * amount.astype(np.float32)
        blobs[amount > 0.5] = number
    return Planted(pair.translated.with_array(array), blobs, diameters)


def detect(pair: KnownPair, planted: Planted, estimated: bool) -> tuple[float, list[bool], float]:
    """Voxelwise AUC of "not explained" in the brain, which blobs pass the verdict's threshold, and how much else does.

    Args:
        pair: the pair without blobs.
        planted: its translated scan with blobs.
        estimated: with the estimated field; otherwise with the true one, as a model that declares it.
    """
    bare = translation_of_pair(pair.source, planted.scan)
    translation = estimated_translation(bare) if estimated else _declared(bare, pair)
    unexplained = explain(translation).unexplained.array
    inside = planted.blobs[pair.brain] > 0
    found = [
        bool((unexplained[planted.blobs == n + 1] > UNEXPLAINED_ABOVE).any()) for n in range(len(planted.diameters))
    ]
    false = float((unexplained[pair.brain & (planted.blobs == 0)] > UNEXPLAINED_ABOVE).mean())
    return area_under_curve(unexplained[pair.brain][inside], unexplained[pair.brain][~inside]), found, false


def _declared(bare: Translation, pair: KnownPair) -> Translation:
    jacobian = fields.jacobian(pair.motion)
    return replace(bare, motion=pair.motion, sampling=pair.sampling, jacobian=jacobian, field_origin=FieldOrigin.MODEL)


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant blobs into simulated translations and look for them.")
    parser.add_argument("folder", type=Path, help="head label maps (.nii.gz) or prepared subjects (.npz)")
    parser.add_argument("--pairs", type=int, default=2, help="pairs for each two contrasts")
    parser.add_argument("--estimated", action="store_true", help="with estimated fields instead of the true ones")
    parser.add_argument(
        "--skip", type=int, default=0, help="heads to leave out first: those that settings were tuned on"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the table")
    chosen = parser.parse_args()
    subjects = subjects_in(chosen.folder, 2, chosen.skip)
    rows = []
    for contrasts in (("T1w", "T1w"), ("T1w", "T2w"), ("T1w", "FLAIR"), ("T1w", "CT")):
        curves: list[float] = []
        alarms: list[float] = []
        found: dict[int, list[bool]] = {size: [] for size in (2, 3, 4, 5, 6, 7, 8, 10)}
        for index in range(chosen.pairs):
            pair = known_pair(subjects[index % len(subjects)], contrasts, 4.0, 700 + index, skull_strip=index % 2 == 1)
            curve, _, false = detect(pair, plant(pair, (5.0, 6.0, 7.0, 8.0) * 2, index), chosen.estimated)
            curves.append(curve)
            alarms.append(false)
            sizes = plant(pair, tuple(float(size) for size in found for _ in range(3)), 50 + index)
            for size, seen in zip(sizes.diameters, detect(pair, sizes, chosen.estimated)[1], strict=True):
                found[int(size)].append(seen)
        rates = {size: float(np.mean(seen)) for size, seen in found.items()}
        half = next((size for size, rate in rates.items() if rate >= 0.5), None)
        rows.append(
            {
                "contrasts": ">".join(contrasts),
                "auc": round(float(np.mean(curves)), 3),
                "half_found_mm": half,
                "else_above_percent": round(100.0 * float(np.mean(alarms)), 2),
            }
        )
        print(rows[-1], {size: round(rate, 2) for size, rate in rates.items()}, flush=True)
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
