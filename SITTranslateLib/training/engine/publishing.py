"""Publishing a finished run as a model package: weights, card and measured figures."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from SITTranslateLib.packages import ModelCard, Package, write_package
from SITTranslateLib.training.engine.config import RunConfig, card_file
from SITTranslateLib.training.engine.recipe import Recipe


def publish(
    recipe: Recipe,
    config: RunConfig,
    weights: Mapping[str, Tensor],
    folder: Path,
    *,
    card: str | Path,
    data: str,
    figures: list[dict[str, Any]],
) -> Package:
    """Write the package of a run, in half precision.

    Args:
        recipe: of the run; it says what of the weights a package holds.
        folder: of the package; replaced if there.
        card: a card's text (TOML), a path or the name of a built-in one.
        data: what it was trained on, in a sentence.
        figures: as :class:`SITTranslateLib.packages.Figure`, in plain types.

    Raises:
        InputError: no such card, or one that the run is not for.
        PackageError: the card is not valid.
    """
    raw = tomllib.loads(card_file(card).read_text(encoding="utf-8"))
    parameters, shipped = recipe.package(config, weights, raw)
    complete = raw | {
        "schema_version": 1,
        "system": {"name": config.system, "parameters": parameters},
        "training": {"data": data, "simulated": recipe.simulated, "config": config.to_dict(), "seed": config.seed},
        "figures": figures,
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    }
    return write_package(folder, ModelCard.from_dict(json.loads(json.dumps(complete))), shipped, fp16=True)
