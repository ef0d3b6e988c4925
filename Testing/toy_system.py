"""A system of one's own, whole: network, config, trainer, recipe and table, as ``docs/adding-a-model.md`` says.

It learns one gain and one offset that turn a dark ball bright.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.metrics import mean_absolute_error
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.schedule import average_of, warm_up_and_cosine
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer


class ToyNetwork(nn.Module):
    """``gain * image + offset``."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.gain, self.offset = nn.Parameter(torch.tensor([start])), nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        return self.gain * image + self.offset

    @torch.no_grad()
    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        return NetworkOutput(translated=self(image), keeps_geometry=True)


@dataclass(frozen=True)
class ToyConfig(RunConfig):
    name: str
    system: str
    steps: int = 100
    seed: int = 0
    network: dict[str, Any] = field(default_factory=dict)


def balls(seed: int) -> tuple[Tensor, Tensor]:
    """A dark ball and the bright one that it is to become: twice as bright, and 0.1 more."""
    dark = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
    return dark, 2.0 * dark + 0.1


class ToyTrainer(Trainer):
    def __init__(self, config: ToyConfig, fabric: Fabric) -> None:
        super().__init__(config, fabric)
        network = RECIPE.network(config)
        adam = torch.optim.Adam(network.parameters(), lr=0.1)
        self.rates = LambdaLR(adam, warm_up_and_cosine(config.steps, 5))
        self.average = average_of(network, 0.5)
        self.network, self.adam = fabric.setup(network, adam)

    def batches(self, start: int) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        step = start
        while True:
            dark, bright = balls(step)
            yield {"dark": dark, "bright": bright}
            step += 1

    def losses(self, batch: dict[str, Tensor]) -> Outcome:
        return Outcome({"error": (self.network(batch["dark"]) - batch["bright"]).abs().mean()})


class ToyRecipe(Recipe):
    config_class = ToyConfig

    def trainer(self, config: ToyConfig, labels: Path, cache: Path, fabric: Fabric, options: RunOptions) -> ToyTrainer:
        return ToyTrainer(config, fabric)

    def evaluate(self, request: EvaluationRequest) -> None:
        if not request.runs:
            raise InputError("There is nothing to evaluate: give --run.")
        dark, bright = (ball[0, 0].numpy() for ball in balls(10_000))
        mask = np.ones(dark.shape, bool)
        rows = {"identity": mean_absolute_error(dark, bright, mask)}
        for name, folder in request.runs.items():
            network = recipes.finished(folder)[2]
            made = network.translate(torch.from_numpy(dark)[None, None], {}, np.eye(4)).translated[0, 0].numpy()
            rows[name] = mean_absolute_error(made, bright, mask)
        say("\n".join(f"| {name} | {error:.4f} |" for name, error in rows.items()))


RECIPE = ToyRecipe()
