"""A finished run as a model package: weights, card, and the figures that were measured."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard, Package, write_package
from SITTranslateLib.training.engine.config import card_file
from SITTranslateLib.training.recipes.aldm.config import ALDMConfig
from SITTranslateLib.training.recipes.cross_contrast.config import CrossContrastConfig
from SITTranslateLib.training.recipes.plasticine.config import PlasticineConfig
from SITTranslateLib.training.recipes.sit.config import TrainingConfig


def publish(
    config: TrainingConfig | CrossContrastConfig | PlasticineConfig | ALDMConfig,
    weights: Mapping[str, Tensor],
    folder: Path,
    *,
    card: str | Path,
    data: str,
    figures: list[dict[str, Any]],
) -> Package:
    """Write the package of a run, in half precision; of a run between two contrasts the card's direction alone.

    Args:
        folder: of the package; replaced if there.
        card: a card's text (TOML), a path or the name of a built-in one.
        data: what it was trained on, in a sentence.
        figures: as :class:`SITTranslateLib.packages.Figure`, in plain types.

    Raises:
        InputError: no such card.
        PackageError: the card is not valid.
    """
    file = card_file(card)
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    parameters: dict[str, Any] = config.network
    if isinstance(config, CrossContrastConfig):
        seed = config.course.seed
        parameters, weights = one_way(config, weights, raw["source"], raw["targets"][0])
    elif isinstance(config, PlasticineConfig):
        # What the switch let in was for training alone.
        seed, parameters = config.seed, config.network | {"switch": False}
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("deformation.together.")}
    elif isinstance(config, ALDMConfig):
        # What the package offers, by the index that its attribute gives.
        seed, parameters = config.course.seed, config.network | {"targets": raw["targets"]}
    else:
        seed = config.schedule.seed
    training = {
        "data": data,
        "simulated": True,
        "config": json.loads(json.dumps(config.to_dict())),
        "seed": seed,
    }
    complete = raw | {
        "schema_version": 1,
        "system": {"name": config.system, "parameters": parameters},
        "training": training,
        "figures": figures,
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    }
    return write_package(folder, ModelCard.from_dict(json.loads(json.dumps(complete))), weights, fp16=True)


def one_way(
    config: CrossContrastConfig, weights: Mapping[str, Tensor], source: str, target: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Parameters and weights of one direction of a trained network, spectral normalisation multiplied out already.

    Raises:
        InputError: the run does not translate that way.
    """
    kept, parameters = _of_direction(config, source, target)
    chosen = {name: tensor for name, tensor in weights.items() if kept is None or name.startswith(kept)}
    return parameters | ({"spectral": []} if "spectral" in parameters else {}), chosen


def _of_direction(
    config: CrossContrastConfig, source: str, target: str
) -> tuple[tuple[str, ...] | None, dict[str, Any]]:
    network = dict(config.network)
    if config.system == "sa_unit" and source in network["encoders"] and target in network["generators"]:
        parts = (f"encoders.{source}.", "shared_in.", "shared_out.", f"generators.{target}.")
        return parts, network | {"encoders": [source], "generators": [target]}
    if config.system == "sasan" and f"{source}>{target}" in network["directions"]:
        attention = "shared" if network.get("share_attention") else source
        kept = (f"attention.{attention}.", f"synthesis.{source}_to_{target}.")
        return kept, network | {"directions": [f"{source}>{target}"]}
    if config.system == "regression" and (source, target) == (network["source"], network["target"]):
        return None, network
    raise InputError(f"This run does not translate {source} to {target}.")
