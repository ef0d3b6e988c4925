"""What the numbers depend on: not on the run, hardly on threads, precision of the network and device; bounds stated.

Differences are given as shares of the scan's intensity range (0.5th to 99.5th percentile) and in mm of motion.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.version import Version
from tiny_model import head

from SITTranslateLib.fields.rounding import FIELD_STEP_MM
from SITTranslateLib.packages import find
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

#: The model that ships with the project: bounds on random weights would say nothing.
MODEL = "brain-ageing-t1w"
REQUEST = {"age": 20.0, "lesions": 10.0}
#: Shares of the intensity range and mm. Threads change the order of sums, so that a value near the middle of two steps
#: of the saved motion goes to the other one; bfloat16 keeps 8 bits of a network's values.
THREADS, BFLOAT16, GPU = (5e-4, 1.05 * FIELD_STEP_MM), (0.02, 0.1), (1e-3, 0.02)

#: PyTorch 2.5 differs by 1e-6 between two processes; the version that is locked does not.
SAME_BYTES = Version("2.13")


@pytest.fixture(scope="module")
def scan() -> Volume:
    return head(spacing=(3.0, 3.0, 3.0))


def made(scan: Volume, device: str = "cpu") -> Translation:
    return translate(scan, load_model(find(MODEL), device), seed=5, force=True, attributes=REQUEST)


@pytest.fixture(scope="module")
def usual(scan: Volume) -> Translation:
    return made(scan)


def apart(one: Translation, two: Translation) -> tuple[float, float]:
    """Largest differences: share of the intensity range, mm of motion."""
    assert one.motion is not None and two.motion is not None
    span = float(np.ptp(np.percentile(one.source.array, (0.5, 99.5))))
    shift = np.linalg.norm(one.motion.array - two.motion.array, axis=-1).max()
    return float(np.abs(one.translated.array - two.translated.array).max()) / span, float(shift)


def elsewhere(tmp_path: Path, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """The same translation by a fresh process with so many threads everywhere: translated scan and motion."""
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        f"import torch; torch.set_num_threads({threads})\n"
        "import numpy as np, test_numbers as numbers\n"
        "result = numbers.made(numbers.head(spacing=(3.0, 3.0, 3.0)))\n"
        f"np.save({str(tmp_path / 'scan.npy')!r}, result.translated.array)\n"
        f"np.save({str(tmp_path / 'motion.npy')!r}, result.motion.array)\n"
    )
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")}
    repository = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **counts, "PYTHONPATH": repository}, check=True)
    return np.load(tmp_path / "scan.npy"), np.load(tmp_path / "motion.npy")


def test_the_same_seed_gives_the_same_bytes_in_one_process(scan: Volume, usual: Translation) -> None:
    again = made(scan)
    assert usual.motion is not None and again.motion is not None
    assert usual.translated.array.tobytes() == again.translated.array.tobytes()
    assert usual.motion.array.tobytes() == again.motion.array.tobytes()
    assert usual.provenance.source_sha256 == again.provenance.source_sha256


@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_and_more_threads(threads: int, usual: Translation, tmp_path: Path) -> None:
    translated, motion = elsewhere(tmp_path, threads)
    assert usual.motion is not None
    span = float(np.ptp(np.percentile(usual.source.array, (0.5, 99.5))))
    difference = float(np.abs(translated - usual.translated.array).max()) / span
    shift = float(np.linalg.norm(motion - usual.motion.array, axis=-1).max())
    print(f"{threads} threads: {difference:.2g} of the range, {shift:.2g} mm")
    if threads == 1 and Version(torch.__version__) >= SAME_BYTES:
        assert (difference, shift) == (0.0, 0.0)
    assert difference <= THREADS[0] and shift <= THREADS[1]


def test_a_network_in_bfloat16_stays_near(scan: Volume, usual: Translation) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(scan)
    difference, shift = apart(usual, half)
    print(f"bfloat16: {difference:.2g} of the range, {shift:.2g} mm")
    assert 0 < difference <= BFLOAT16[0] and shift <= BFLOAT16[1]
    # The field is still integrated in single precision: nothing folds and the parts still give the whole.
    assert half.jacobian is not None and float(half.jacobian.array.min()) > 0
    assert half.recomposition_error < 0.01 * float(np.ptp(scan.array))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch can use")
def test_the_GPU_agrees_with_the_CPU(scan: Volume, usual: Translation) -> None:
    difference, shift = apart(usual, made(scan, "cuda"))
    print(f"GPU: {difference:.2g} of the range, {shift:.2g} mm")
    assert difference <= GPU[0] and shift <= GPU[1]
    assert made(scan, "cuda").translated.array.tobytes() == made(scan, "cuda").translated.array.tobytes()
