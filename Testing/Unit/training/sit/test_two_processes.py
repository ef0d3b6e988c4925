"""Two processes train as one does: the same losses and the same averaged weights, by gloo on the CPU."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import blob_training
import pytest
import torch

STEPS = 4


def losses(folder: Path) -> list[float]:
    (log,) = folder.rglob("metrics.csv")
    return [float(row["total"]) for row in csv.DictReader(log.open())]


def test_two_processes_give_the_losses_and_weights_of_one(tmp_path: Path) -> None:
    blob_training.main(tmp_path / "1", 1, STEPS)
    done = subprocess.run(
        [sys.executable, blob_training.__file__, str(tmp_path / "2"), "2", str(STEPS)],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert len(one) == len(two) == STEPS and one[0] != one[-1]
    assert two == pytest.approx(one, rel=1e-3)
    weights = [torch.load(tmp_path / n / "shipped.pt", weights_only=True) for n in ("1", "2")]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=2e-3), name
