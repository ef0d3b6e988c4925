"""Accuracy of estimated fields beside peers, on the same simulated pairs, in one run, with CPU seconds.

Run ``python -m benchmarks.estimated_fields FOLDER`` on head label maps or prepared subjects. Peers are
SimpleITK's diffeomorphic demons (one contrast) and B-splines and, where installed, ANTs' SyN and Greedy. All get the
same scans at 2 mm, no mask and no affine step (the pairs need none), one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from benchmarks.calibration import subjects_in
from benchmarks.known_pairs import KnownPair, known_pair
from SITTranslateLib.traceability.estimate import estimate

LPS = np.array([-1.0, -1.0, 1.0])
CASES: tuple[tuple[tuple[str, str], float, str, bool], ...] = (
    (("T1w", "T1w"), 8.0, "smooth", False),
    (("T1w", "T1w"), 4.0, "ageing", False),
    (("T1w", "T2w"), 8.0, "smooth", False),
    (("T1w", "T2w"), 4.0, "ageing", False),
    (("T1w", "T1w"), 4.0, "smooth", True),
    (("T1w", "T2w"), 4.0, "smooth", True),
    (("T1w", "T1w"), 0.0, "smooth", False),
    (("T1w", "T2w"), 0.0, "smooth", False),
)
Field = NDArray[np.floating]


@dataclass(frozen=True)
class Result:
    """One method on one pair; errors of the motion over the brain in mm."""

    method: str
    contrasts: tuple[str, str]
    field: str
    true_mean_mm: float
    error_mean_mm: float
    error_p95_mm: float
    cpu_seconds: float


def own(pair: KnownPair, finer: bool = False) -> Field:
    """This project's estimate, with a last level of 2 or 1 mm."""
    return estimate(pair.source, pair.translated, finer=finer).motion.array


def nothing(pair: KnownPair) -> Field:
    """No motion at all: what every method has to beat."""
    return np.zeros_like(pair.motion.array)


def demons(pair: KnownPair) -> Field:
    """SimpleITK's diffeomorphic demons after histogram matching, 8, 4 and 2 mm."""
    fixed, moving = (_image(scan) for scan in (pair.source, pair.translated))
    moving = SimpleITK.HistogramMatching(moving, fixed, 256, 7, True)
    field: SimpleITK.Image | None = None
    for factor, iterations in ((4, 60), (2, 40), (1, 20)):
        small = [_shrunk(image, factor) for image in (fixed, moving)]
        method = SimpleITK.DiffeomorphicDemonsRegistrationFilter()
        method.SetNumberOfIterations(iterations)
        method.SetStandardDeviations(1.5)
        start = [] if field is None else [SimpleITK.Resample(field, small[0])]
        field = method.Execute(*small, *start)
    assert field is not None
    return _array(SimpleITK.Resample(field, fixed))


def b_splines(pair: KnownPair) -> Field:
    """SimpleITK's B-splines with Mattes mutual information, control points every 16 mm, three levels."""
    fixed, moving = (_image(scan) for scan in (pair.source, pair.translated))
    mesh = [round(n * s / 16.0) for n, s in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.1, 1)
    method.SetOptimizerAsLBFGS2(numberOfIterations=25)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetInitialTransform(SimpleITK.BSplineTransformInitializer(fixed, mesh), inPlace=True)
    found = method.Execute(fixed, moving)
    to_field = SimpleITK.TransformToDisplacementFieldFilter()
    to_field.SetReferenceImage(fixed)
    return _array(to_field.Execute(found))


def syn(pair: KnownPair, steps: tuple[int, ...] = (40, 20, 10)) -> Field:
    """ANTs' symmetric normalisation, so many steps at 4, 2 and 1 voxels, Mattes mutual information."""
    import ants

    images = [
        ants.from_numpy(
            np.ascontiguousarray(scan.array.transpose(2, 1, 0)),
            origin=(scan.affine[:3, 3] * LPS).tolist(),
            spacing=scan.spacing,
            direction=np.diag(LPS) @ (scan.grid.axes / np.array(scan.spacing)),
        )
        for scan in (pair.source, pair.translated)
    ]
    found = ants.registration(
        images[0],
        images[1],
        "SyNOnly",
        initial_transform="identity",
        syn_metric="mattes",
        syn_sampling=32,
        reg_iterations=steps,
        random_seed=1,
    )
    warp = next(path for path in found["fwdtransforms"] if path.endswith("Warp.nii.gz"))
    return _array(SimpleITK.ReadImage(warp))


def greedy(pair: KnownPair, steps: str = "100x50x20") -> Field:
    """Greedy, so many steps at 4, 2 and 1 voxels, by local cross-correlation with a radius of 2 voxels.

    Across contrasts by mutual information: its cross-correlation takes contrasts of opposite sign for a motion.
    """
    metric = "NCC 2x2x2" if pair.contrasts[0] == pair.contrasts[1] else "NMI"
    from picsl_greedy import Greedy3D

    with tempfile.TemporaryDirectory() as folder:
        program, warp = Greedy3D(), Path(folder, "warp.nii")
        program.execute(
            f"-threads 1 -V 0 -m {metric} -i fixed moving -n {steps} -o {warp}",
            fixed=_image(pair.source),
            moving=_image(pair.translated),
        )
        return _array(SimpleITK.ReadImage(warp)).reshape(pair.motion.array.shape)


def compare(pairs: list[KnownPair], methods: dict[str, Callable[[KnownPair], Field]]) -> list[Result]:
    """Every method on every pair; demons are left out across contrasts, which they cannot compare."""
    results = []
    for pair in pairs:
        true = float(pair.motion.magnitude()[pair.brain].mean())
        for name, method in methods.items():
            if method is demons and pair.contrasts[0] != pair.contrasts[1]:
                continue
            started = time.process_time()
            motion = method(pair)
            seconds = time.process_time() - started
            error = np.linalg.norm(motion[pair.brain] - pair.motion.array[pair.brain], axis=1)
            mean, high = float(error.mean()), float(np.percentile(error, 95))
            results.append(Result(name, pair.contrasts, pair.kind, true, mean, high, seconds))
            print(
                f"{'>'.join(pair.contrasts)} {pair.kind} {true:.2f} {name}: {mean:.3f} {high:.3f} {seconds:.1f}",
                flush=True,
            )
    return results


def table(results: list[Result]) -> list[dict[str, Any]]:
    """Means over the pairs of each two contrasts: moving pairs and still ones (the floor) apart."""
    rows = []
    keys = dict.fromkeys((r.contrasts, r.true_mean_mm > 0, r.method) for r in results)
    for contrasts, moves, method in sorted(keys, key=lambda key: (key[0], not key[1])):
        chosen = [r for r in results if (r.contrasts, r.true_mean_mm > 0, r.method) == (contrasts, moves, method)]
        row: dict[str, Any] = {"contrasts": ">".join(contrasts), "pairs": len(chosen), "moves": moves, "method": method}
        for key in ("true_mean_mm", "error_mean_mm", "error_p95_mm", "cpu_seconds"):
            row[key] = round(float(np.mean([getattr(r, key) for r in chosen])), 3)
        rows.append(row)
    return rows


def _image(scan: Any) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(scan.array)
    image.SetSpacing(scan.spacing)
    image.SetOrigin((scan.affine[:3, 3] * LPS).tolist())
    image.SetDirection((np.diag(LPS) @ (scan.grid.axes / np.array(scan.spacing))).ravel().tolist())
    return image


def _shrunk(image: SimpleITK.Image, factor: int) -> SimpleITK.Image:
    if factor == 1:
        return image
    return SimpleITK.Shrink(SimpleITK.SmoothingRecursiveGaussian(image, 0.5 * factor * 2.0), [factor] * 3)


def _array(field: SimpleITK.Image) -> Field:
    return SimpleITK.GetArrayFromImage(field).astype(np.float64) * LPS


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare estimated fields with peers on simulated pairs.")
    parser.add_argument("folder", type=Path, help="head label maps (.nii.gz) or prepared subjects (.npz)")
    parser.add_argument("--pairs", type=int, default=len(CASES), help="how many of the eight pairs")
    parser.add_argument("--subjects", type=int, default=2, help="how many heads")
    parser.add_argument(
        "--skip", type=int, default=0, help="heads to leave out first: those that settings were tuned on"
    )
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out, such as 'SimpleITK B-spline'")
    parser.add_argument("--out", type=Path, help="JSON file for the table")
    chosen = parser.parse_args()
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    subjects = subjects_in(chosen.folder, chosen.subjects, chosen.skip)
    pairs = [
        known_pair(subjects[index % len(subjects)], contrasts, peak, 500 + index, kind=kind, skull_strip=strip)
        for index, (contrasts, peak, kind, strip) in enumerate(CASES[: chosen.pairs])
    ]
    methods: dict[str, Callable[[KnownPair], Field]] = {"nothing": nothing, "SITTranslate": own}
    for name, module, method in (("ANTs SyN", "ants", syn), ("Greedy", "picsl_greedy", greedy)):
        if find_spec(module) is None:
            print(f"{name} is not installed (pip install 'sittranslate[peers]'): left out")
        else:
            methods[name] = method
    methods |= {"SimpleITK demons": demons, "SimpleITK B-spline": b_splines}
    methods = {name: method for name, method in methods.items() if name not in chosen.without}
    rows = table(compare(pairs, methods))
    text = json.dumps(rows, indent=1) + "\n"
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
