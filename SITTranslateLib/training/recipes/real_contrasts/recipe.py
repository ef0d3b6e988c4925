"""The recipe for contrasts from real pairs, as used by the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.regression.multi_contrast import MultiContrastNetwork
from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe
from SITTranslateLib.training.engine.trainer import CONFIG, RunOptions, Trainer
from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.training.recipes.real_contrasts.subjects import CONTRASTS
from SITTranslateLib.training.recipes.real_contrasts.trainer import CHECKPOINT, COVERAGE, FINISHED, train


@dataclass(frozen=True)
class Trained:
    """Result of a run."""

    step: int
    network: MultiContrastNetwork


class RealContrastsRecipe(Recipe):
    """A network between contrasts, trained on real scans; ``--labels`` is the folder of the scans."""

    config_class = RealContrastsConfig
    simulated = False

    def trainer(self, config: Any, labels: Any, cache: Path, fabric: Fabric, options: RunOptions) -> Trainer:
        raise InputError("This recipe trains by its own loop, on the CPU; call its run().")

    def run(self, config: Any, labels: Any, folder: Path, options: RunOptions | None = None) -> Any:
        """Train on the CPU; see :meth:`Recipe.run`."""
        options = options or RunOptions()
        if options.devices * options.nodes > 1:
            raise InputError("This system trains on one device; leave --devices and --nodes out.")
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
        network = train(config, Path(labels), options.cache or folder / "prepared", folder, options.save_every)
        return Trained(config.total, network)

    def finished(self, folder: Path, *, step: int | None = None) -> tuple[RealContrastsConfig, MultiContrastNetwork]:
        """Config and network to ship; ``coverage.json`` beside the weights calibrates its uncertainty."""
        if not (folder / FINISHED).is_file():
            raise InputError(f"The run '{folder.name}' has not reached its end; resume it with 'sittranslate train'.")
        state: Mapping[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
        config = RealContrastsConfig.from_dict(json.loads(state["config"]))
        factors = folder / COVERAGE
        if factors.is_file():
            by_target = json.loads(factors.read_text(encoding="utf-8"))
            config = replace(config, coverage=tuple(float(by_target[contrast]) for contrast in CONTRASTS))
        network = MultiContrastNetwork(CONTRASTS, widths=config.widths, coverage=config.coverage)
        network.load_state_dict(torch.load(folder / FINISHED, weights_only=True))
        return config, network.eval()

    def package(
        self, config: RealContrastsConfig, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        sources = [card["source"], *card.get("further_sources", [])]
        return config.network | {"targets": list(card["targets"]), "sources": sources}, weights

    def evaluate(self, request: EvaluationRequest) -> None:
        from SITTranslateLib.training.recipes.real_contrasts.evaluate import evaluate

        evaluate(request)


RECIPE = RealContrastsRecipe()
