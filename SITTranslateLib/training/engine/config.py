"""Built-in configs and card texts, found by name in each recipe's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from SITTranslateLib.errors import InputError

T = TypeVar("T")
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def configs() -> dict[str, Path]:
    """The built-in training configs by name."""
    return {file.stem: file for file in sorted(RECIPES.glob("*/configs/*.toml"))}


def cards() -> dict[str, Path]:
    """The built-in card texts by name."""
    return {file.stem: file for file in sorted(RECIPES.glob("*/cards/*.toml"))}


def config_file(config: str | Path) -> Path:
    """The file of a config: a path, or the name of a built-in one.

    Raises:
        InputError: no such config.
    """
    file = Path(config) if Path(config).is_file() else configs().get(str(config))
    if file is None:
        raise InputError(f"There is no training config '{config}'; give a .toml file or one of {', '.join(configs())}.")
    return file


def card_file(card: str | Path) -> Path:
    """The file of a card's text: a path, or the name of a built-in one.

    Raises:
        InputError: no such card.
    """
    file = Path(card) if Path(card).is_file() else cards().get(str(card))
    if file is None:
        raise InputError(f"There is no card '{card}'; give a .toml file or one of {', '.join(cards())}.")
    return file


def from_plain(kind: type[T], raw: Mapping[str, Any], **overrides: Any) -> T:
    """A dataclass of plain types: lists become tuples, ``overrides`` that are not None replace its fields.

    Raises:
        TypeError: a field that it does not have.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    return kind(**(plain | given))
