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
from SITTranslateLib.training.config import TrainingConfig

CARDS = Path(__file__).parent / "cards"


def publish(
    config: TrainingConfig,
    weights: Mapping[str, Tensor],
    folder: Path,
    *,
    card: str | Path,
    data: str,
    figures: list[dict[str, Any]],
) -> Package:
    """Write the package of a run, in half precision.

    Args:
        folder: of the package; replaced if there.
        card: a card's text (TOML), a path or the name of a built-in one.
        data: what it was trained on, in a sentence.
        figures: as :class:`SITTranslateLib.packages.Figure`, in plain types.

    Raises:
        InputError: no such card.
        PackageError: the card is not valid.
    """
    file = Path(card) if Path(card).is_file() else CARDS / f"{card}.toml"
    if not file.is_file():
        raise InputError(f"There is no card '{card}'; give a .toml file or one of {_names()}.")
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    training = {
        "data": data,
        "simulated": True,
        "config": json.loads(json.dumps(config.to_dict())),
        "seed": config.schedule.seed,
    }
    complete = raw | {
        "schema_version": 1,
        "system": {"name": config.system, "parameters": config.network},
        "training": training,
        "figures": figures,
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    }
    return write_package(folder, ModelCard.from_dict(json.loads(json.dumps(complete))), weights, fp16=True)


def _names() -> str:
    return ", ".join(sorted(f.stem for f in CARDS.glob("*.toml")))
