"""Content planted into and removed from real scans: which clusters of the map of unexplained content find it.

Run ``python -m benchmarks.planted_content SCANS CACHE --out FILE`` on the folder of the recipe's real scans. Every pair
is traced as it is (all that is found is a false alarm), with balls added, and with structure taken away.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.traceability.clusters import Limits, clusters_of
from SITTranslateLib.traceability.estimate import estimated_translation, translation_of_pair
from SITTranslateLib.traceability.explanation import explain
from SITTranslateLib.training.engine.visit_preparation import prepared
from SITTranslateLib.training.engine.visits import VISITS
from SITTranslateLib.volume import Volume

DIAMETERS = (4.0, 6.0, 8.0, 10.0, 12.0)
HEIGHT = 0.25
"""Of a ball: share of the brain's range (1 to 99 %), up or down."""
PAIRS = (("T1w", "T1w"), ("T1w", "T2w"), ("T1w", "FLAIR"))
Array = NDArray[np.float32]


def second_scan(image: Array, seed: int) -> Array:
    """The same head scanned again in one contrast: other shading, 2 % noise, moved by up to a third of a voxel."""
    rng = np.random.default_rng(seed)
    moved = ndimage.shift(image, rng.uniform(-0.3, 0.3, 3), order=3, mode="nearest")
    small = rng.uniform(-0.1, 0.1, (4, 4, 4))
    shading = np.exp(ndimage.zoom(small, np.array(image.shape) / 4.0, order=3))
    span = float(np.percentile(image[image > 0], 99))
    noise = rng.normal(0.0, 0.02 * span, image.shape)
    return np.where(image > 0, moved * shading + noise, 0.0).astype(np.float32)


def balls(brain: NDArray[np.bool_], seed: int, each: int = 3) -> tuple[NDArray[np.int32], list[float], Array]:
    """Numbers and soft shares of balls apart from each other, wholly inside the brain, and their diameters."""
    rng = np.random.default_rng(seed)
    numbers, share = np.zeros(brain.shape, np.int32), np.zeros(brain.shape, np.float32)
    deep = ndimage.distance_transform_edt(brain)
    diameters = [d for d in DIAMETERS for _ in range(each)]
    for number, diameter in enumerate(diameters, 1):
        places = np.argwhere(deep > diameter / 2 + 1)
        while True:
            centre = places[rng.integers(len(places))]
            box = tuple(slice(max(0, c - 16), c + 17) for c in centre)
            lines = [np.arange(b.start, b.start + n) - c for b, n, c in zip(box, share[box].shape, centre, strict=True)]
            distance = np.sqrt(sum(part.astype(np.float64) ** 2 for part in np.ix_(*lines)))
            if not numbers[box][distance < diameter + 4].any():
                break
        amount = np.clip(diameter / 2 - distance + 0.5, 0.0, 1.0).astype(np.float32)
        share[box] = np.maximum(share[box], amount)
        numbers[box][amount > 0.5] = number
    return numbers, diameters, share


def changed(
    image: Array, brain: NDArray[np.bool_], how: str, seed: int
) -> tuple[Array, NDArray[np.int32], list[float]]:
    """The scan with balls ``added`` or structure ``removed`` (balls filled with what lies around them)."""
    numbers, diameters, share = balls(brain, seed)
    span = float(np.subtract(*np.percentile(image[brain], (99, 1))))
    if how == "added":
        signs = np.random.default_rng(seed + 1).choice((-1.0, 1.0), len(diameters) + 1)
        return (image + HEIGHT * span * signs[numbers] * share).astype(np.float32), numbers, diameters
    inside = brain.astype(np.float32)
    smooth = ndimage.gaussian_filter(image * inside, 6.0) / np.maximum(ndimage.gaussian_filter(inside, 6.0), 1e-3)
    made = (image + share * (smooth - image)).astype(np.float32)
    # Where nothing stood out nothing was removed.
    moved = ndimage.mean(np.abs(made - image), numbers, range(1, len(diameters) + 1))
    for number, size in enumerate(moved, 1):
        if size < 0.5 * HEIGHT * span:
            made[numbers == number] = image[numbers == number]
            numbers[numbers == number] = 0
    return made, numbers, diameters


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant and remove content in real scans, and look for it.")
    parser.add_argument("scans", type=Path, help="folder of the real scans of the recipe mr-contrasts")
    parser.add_argument("cache", type=Path, help="folder that keeps prepared scans")
    parser.add_argument("--visits", nargs="+", default=["ms-cross-07", "ms-cross-19", "ms-cross-26"])
    parser.add_argument("--out", type=Path, required=True, help="JSON: every cluster above the map's edge")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for visit in (v for v in VISITS if v.name in chosen.visits):
        ready = prepared(visit, chosen.scans, chosen.cache)
        for seed, (source, target) in enumerate(PAIRS):
            scan = Volume(ready.scans[source], ready.affine, source)
            truth = ready.scans[target] if source != target else second_scan(ready.scans[target], seed)
            field = estimated_translation(translation_of_pair(scan, Volume(truth, ready.affine, target)))
            for how in ("as it is", "added", "removed"):
                made, numbers, diameters = truth, np.zeros(truth.shape, np.int32), list[float]()
                if how != "as it is":
                    made, numbers, diameters = changed(truth, ready.brain, how, 10 * seed + 1)
                # The field of the pair as it is: a ball hardly changes it.
                pair = replace(field, translated=field.translated.with_array(made))
                explanation = explain(pair)
                found, labels = clusters_of(explanation.unexplained, Limits(4.0, 4.0, 0.008))
                present = sorted(set(np.unique(numbers)) - {0})
                hits = [sorted(set(np.unique(numbers[labels == n + 1]).tolist()) - {0}) for n in range(len(found))]
                inside = [float(ready.brain[labels == n + 1].mean()) for n in range(len(found))]
                rows.append(
                    {
                        "visit": visit.name,
                        "pair": f"{source} to {target}",
                        "how": how,
                        "same": explanation.contrast_map.is_identity,
                        "diameters": {int(n): diameters[n - 1] for n in present},
                        "clusters": [
                            {"ml": c.millilitres, "peak": c.peak, "brain": b, "balls": h}
                            for c, b, h in zip(found, inside, hits, strict=True)
                        ],
                    }
                )
                print(visit.name, source, target, how, len(found), "clusters", flush=True)
                chosen.out.write_text(json.dumps(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
