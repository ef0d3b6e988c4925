"""Configs: the base of those of the recipes; built-in ones and card texts, found by name in each recipe's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

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


class RunConfig:
    """Base of every recipe's config, a frozen dataclass: read from plain types and written as such.

    Its steps are a field of its own, of its ``schedule``, or of each of its ``stages`` (a tuple, or a dict by name);
    its seed is a field of its own or of its schedule. ``network`` holds the parameters of the system's network.
    """

    name: str
    system: str

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        if hasattr(self, "stages"):
            return sum(stage.steps for stage in dict(_by_name(self.stages)).values())
        return int(self.schedule.steps)  # type: ignore[attr-defined]

    @property
    def total(self) -> int:
        """The step that ends the run; where ``steps`` are those of its first part, a config says so here."""
        return self.steps

    @property
    def seed(self) -> int:
        return int(self.schedule.seed)  # type: ignore[attr-defined]

    def stage_at(self, step: int) -> tuple[Any, int]:
        """Name (or index) of the stage of a step, and the step within it; at the end, the last one and its steps."""
        stages = _by_name(self.stages)  # type: ignore[attr-defined]
        for name, stage in stages:
            if step < stage.steps:
                return name, step
            step -= stage.steps
        return stages[-1][0], stages[-1][1].steps

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, seed: int | None = None, steps: int | None = None) -> Self:
        """A config from plain types; ``seed`` and ``steps`` (of every stage) replace its own where given.

        Raises:
            TypeError: a key that it does not have, one that is missing, or a value of another type.
            InputError: values that do not fit together.
        """
        # Earlier runs call the schedule a course.
        config: Any = from_plain(cls, {"schedule" if key == "course" else key: value for key, value in raw.items()})
        changes: dict[str, Any] = {}
        for key, value in (("seed", seed), ("steps", steps)):
            if value is None:
                continue
            if key == "steps" and hasattr(config, "stages"):
                stages = [(name, replace(stage, steps=value)) for name, stage in _by_name(config.stages)]
                changes["stages"] = (
                    dict(stages) if isinstance(config.stages, dict) else tuple(stage for _, stage in stages)
                )
            elif any(field.name == key for field in fields(config)):  # type: ignore[arg-type]
                changes[key] = value
            else:
                changes["schedule"] = replace(changes.get("schedule", config.schedule), **{key: value})
        return replace(config, **changes) if changes else config  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        """In plain types, as :meth:`from_dict` takes them."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


def from_plain(kind: type[T], raw: Mapping[str, Any]) -> T:
    """A dataclass from plain types, with the dataclasses in its fields; lists become tuples where it has tuples.

    Raises:
        TypeError: a key that it does not have, one that is missing, or a value of another type.
    """
    if not isinstance(raw, Mapping):
        raise TypeError(f"a table is needed where '{raw!s:.40}' is")
    hints = get_type_hints(kind)
    if unknown := sorted(set(raw) - {field.name for field in fields(kind)}):  # type: ignore[arg-type]
        raise TypeError(f"unexpected key '{unknown[0][:40]}'")
    return kind(**{name: _typed(hints[name], value, name) for name, value in raw.items()})


def _typed(hint: Any, value: Any, name: str) -> Any:
    """A value as its field's type asks for it."""
    inner, origin = get_args(hint), get_origin(hint)
    if origin is UnionType:
        return None if value is None else _typed(inner[0], value, name)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(inner[0], one, name) for one in value)
    if origin is dict and isinstance(value, Mapping):
        return {key: _typed(inner[1], one, name) for key, one in value.items()}
    if is_dataclass(hint):
        return from_plain(hint, value)  # type: ignore[arg-type]
    if hint is Any:
        return value
    accepted = {float: (int, float)}.get(hint, hint)
    if origin is not None or not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"'{name}' is {value!r:.40}, which is no {getattr(hint, '__name__', hint)}")
    return value


def _by_name(stages: Any) -> list[tuple[Any, Any]]:
    return list(stages.items() if isinstance(stages, dict) else enumerate(stages))
