"""The recipes by the systems that they train; a new one is a folder here and its lines in :data:`RECIPES`."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import config_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from SITTranslateLib.training.engine.recipe import EvaluationRequest, Recipe

_HERE = "SITTranslateLib.training.recipes"
#: System (as configs name it) to the module of its recipe, which holds one object ``RECIPE``; imported when asked for.
RECIPES: dict[str, str] = {
    "sit": f"{_HERE}.sit.recipe",
    "sa_unit": f"{_HERE}.cross_contrast.recipe",
    "sasan": f"{_HERE}.cross_contrast.recipe",
    "regression": f"{_HERE}.cross_contrast.recipe",
    "plasticine": f"{_HERE}.plasticine.recipe",
    "plasticine_paper": f"{_HERE}.plasticine.recipe",
    "aldm": f"{_HERE}.aldm.recipe",
    "any_regression": f"{_HERE}.aldm.recipe",
    "structure": f"{_HERE}.segmentation.recipe",
    "parcellation": f"{_HERE}.segmentation.recipe",
    "multi_contrast": f"{_HERE}.real_contrasts.recipe",
}
#: Tables of ``sittranslate evaluate`` that are no system's own: name to ``module:function`` of a request.
TABLES: dict[str, str] = {
    "contrasts": f"{_HERE}.real_contrasts.evaluate:evaluate",
    "downstream": f"{_HERE}.real_contrasts.downstream:evaluate",
    "gate": f"{_HERE}.contrast_classifiers.evaluate:evaluate",
    "suitability": f"{_HERE}.contrast_classifiers.evaluate:evaluate",
    "change": f"{_HERE}.prescribed.table:evaluate_change",
    "prescribed": f"{_HERE}.prescribed.table:evaluate",
    "lesions": f"{_HERE}.prescribed.lesion_table:evaluate",
    "stroke": f"{_HERE}.prescribed.stroke:evaluate",
}


def for_system(system: str) -> Recipe:
    """The recipe that trains a system.

    Raises:
        InputError: there is none.
    """
    if system not in RECIPES:
        raise InputError(f"No recipe trains the system '{system[:40]}'; use one of {', '.join(RECIPES)}.")
    recipe: Recipe = import_module(RECIPES[system]).RECIPE
    return recipe


def read(config: str | Path, *, seed: int | None = None, steps: int | None = None) -> tuple[Recipe, Any]:
    """Recipe and config of a file, or of a built-in config by name.

    Args:
        seed, steps: instead of the config's; ``steps`` of every stage.

    Raises:
        InputError: no such config, a system that nothing trains, or a key that its recipe does not know.
    """
    file = config_file(config)
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        recipe = for_system(str(raw["system"]))
        return recipe, recipe.parse(raw, seed=seed, steps=steps)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise InputError(f"The training config '{file.name}' is not understood: {error}.") from error


def of_run(folder: Path) -> Recipe:
    """The recipe of a run folder.

    Raises:
        InputError: the folder holds no run.
    """
    from SITTranslateLib.training.engine.trainer import read_config

    return for_system(str(read_config(folder).get("system")))


def finished(folder: Path) -> tuple[Recipe, Any, Any]:
    """Recipe, config and network of a finished run, with its averaged weights.

    Raises:
        InputError: no run there, or one that has not reached its end.
    """
    recipe = of_run(folder)
    return recipe, *recipe.finished(folder)


def table_of(name: str) -> Callable[[EvaluationRequest], None]:
    """Maker of the tables of a system, or of a name in :data:`TABLES`; hyphens are as good as underscores.

    Raises:
        InputError: there are none.
    """
    system = name.replace("-", "_")
    if system in TABLES:
        module, _, function = TABLES[system].partition(":")
        table: Callable[[EvaluationRequest], None] = getattr(import_module(module), function)
        return table
    if system not in RECIPES:
        known = ", ".join(sorted({*RECIPES, *TABLES})).replace("_", "-")
        raise InputError(f"There are no tables for the system '{name[:40]}'; use one of {known}.")
    return for_system(system).evaluate
