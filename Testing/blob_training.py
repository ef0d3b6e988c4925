"""A training problem of seconds: a bright ball that grows when aged. Run as a script it trains, in several processes.

python Testing/blob_training.py FOLDER PROCESSES STEPS
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from SITTranslateLib.fields import tensors  # noqa: E402
from SITTranslateLib.training.recipes.sit.config import Data, Losses, Schedule, TrainingConfig  # noqa: E402

AXES = np.eye(3) * 2.0
SHAPE = (16, 16, 16)
Batch = dict[str, torch.Tensor]


def a_config(steps: int, *, geometry_first: float = 0.0, **weights: float) -> TrainingConfig:
    return TrainingConfig(
        name="tiny",
        system="sit",
        network={"variant": "dit", "attributes": ["age", "lesions"], "scales": [10.0, 10.0], "widths": [8, 12]},
        data=Data(training_maps=("01",)),
        losses=Losses(**weights),
        schedule=Schedule(steps=steps, geometry_first=geometry_first, average=0.9, penalty_every=2),
    )


def blob_batches(start: int = 0, stride: int = 1) -> Iterator[Batch]:
    """Batch ``start``, ``start + stride``, ...; batch n is the same in every run."""
    centre = tensors.identity_indices(SHAPE, torch.device("cpu")) - 7.5
    step = start
    while True:
        generator = torch.Generator().manual_seed(step)
        centred = centre + torch.rand(3, generator=generator) - 0.5
        radius = centred.norm(dim=-1)
        years = float(torch.rand(1, generator=generator) * 20 - 10)
        velocity = centred.permute(3, 0, 1, 2)[None] * torch.exp(-(radius**2) / 30) * 2 * 0.2 * years / 10
        sampling = tensors.exponential(velocity, AXES, -1.0, 5)
        source = torch.sigmoid(5 - radius)[None, None]
        yield {
            "source": source,
            "target": tensors.warp(source, sampling, AXES),
            "sampling": sampling,
            "intensity_change": torch.zeros_like(source),
            "mask": torch.ones_like(source),
            "change_mask": (radius < 7).float()[None, None],
            "code": torch.tensor([[years / 10, 0.0, 1.0, 0.0]]),
            "other": source,
            "other_values": torch.tensor([[0.0, 0.0]]),
        }
        step += stride


def in_pairs() -> Iterator[Batch]:
    """Two of the batches at a time, as one process sees what two processes see."""
    one = blob_batches()
    while True:
        first, second = next(one), next(one)
        yield {name: torch.cat((first[name], second[name])) for name in first}


def main(folder: Path, processes: int, steps: int) -> None:
    """Train with the given number of processes; every step sees the same two balls."""
    from SITTranslateLib.training.engine.trainer import RunOptions
    from SITTranslateLib.training.recipes.sit.recipe import SITTrainer

    fabric = RunOptions(accelerator="cpu", devices=processes, precision="32-true", threads=1).launch()
    config = a_config(steps, geometry_first=0.5, follow_up=10.0, motion=1.0, smoothness=0.01)

    def data(start: int) -> Iterator[Batch]:
        return in_pairs() if processes == 1 else blob_batches(fabric.global_rank, processes)

    trainer = SITTrainer(config, fabric, data, AXES)
    trainer.log_every = 1
    trainer.train(folder)
    if fabric.is_global_zero:
        torch.save(trainer.shipped_weights(), folder / "shipped.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
