"""Prescribed volume changes by region in per cent, millilitres or rates, from Python or a TOML file."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SITTranslateLib.arguments import shown
from SITTranslateLib.errors import InputError
from SITTranslateLib.systems.prescribed.regions import PARTS, REGIONS, parts_named

#: Volume after over volume before that a smooth motion of a brain can be asked for.
SMALLEST_RATIO, LARGEST_RATIO = 0.4, 3.5
#: Largest number that a change may be given as, per cent; what is possible is far below.
LARGEST_NUMBER = 1e9
#: Largest table of changes, bytes.
LARGEST_FILE = 1 << 16
_CHANGE = re.compile(
    r"^([+\-\u2212]?\s*\d+(?:[.]\d+)?)\s*(%|percent|per cent|ml|)\s*(?:(?:/|per|a)\s*(y|yr|year|a)\.?)?$", re.IGNORECASE
)


@dataclass(frozen=True)
class Change:
    """One prescribed change.

    Attributes:
        value: per cent or mL, in all or a year.
        millilitres: whether it is in mL.
        per_year: whether it is a rate; per cent are compounded.
    """

    value: float
    millilitres: bool = False
    per_year: bool = False

    def __str__(self) -> str:
        """As it is written in a table: ``-8 %``, ``+6 mL``, ``-1.4 %/y``."""
        return f"{self.value:+g} {'mL' if self.millilitres else '%'}{'/y' if self.per_year else ''}"

    def ratio(self, volume_ml: float, years: float) -> float:
        """Volume after over volume before of a region with that volume."""
        if self.millilitres:
            total = self.value * years if self.per_year else self.value
            return 1.0 + total / max(volume_ml, 1e-6)
        factor = 1.0 + self.value / 100.0
        try:
            return float(factor**years) if self.per_year and factor > 0 else factor
        except OverflowError:
            return math.inf


def parsed(name: str, value: object) -> Change:
    """A change from a number (per cent) or a text: ``"-8 %"``, ``"+6 mL"``, ``"-1.4 %/y"``.

    Raises:
        InputError: neither.
    """
    if isinstance(value, Change):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER:
        return Change(float(value))
    found = _CHANGE.match(shown(value).strip())
    if found is None:
        raise InputError(
            f"The change of '{name[:60]}' is '{shown(value)}'; write it as -8 (per cent), \"-8 %\", \"+6 mL\" or "
            '"-1.4 %/y".'
        )
    number = float(found[1].replace("\u2212", "-").replace(" ", ""))
    return Change(number, found[2].lower() == "ml", found[3] is not None)


def ratios(changes: Mapping[str, object], volumes_ml: Mapping[str, float], years: float | None) -> dict[str, float]:
    """Volume after over volume before of each part that is named, left and right apart.

    Args:
        changes: name of a region, or of its left or right part, to its change; a change in mL of a region with two
            sides is shared out by their volumes. The side's own entry wins over the region's.
        volumes_ml: of the parts that the scan shows.
        years: for rates.

    Raises:
        InputError: a region that is not known or not there, a rate without years, or a change beyond what is possible.
    """
    found: dict[str, float] = {}
    sided: set[str] = set()
    for name, value in changes.items():
        change = parsed(name, value)
        if change.per_year and years is None:
            raise InputError(f"The change of '{name[:60]}' is a rate; say for how many years.")
        parts = parts_named(name)
        missing = [part for part in parts if part not in volumes_ml]
        if missing:
            raise InputError(f"The label map does not show the {missing[0]}, whose change is prescribed.")
        total = sum(volumes_ml[part] for part in parts)
        ratio = change.ratio(total, years or 0.0)
        if not SMALLEST_RATIO <= ratio <= LARGEST_RATIO:
            raise InputError(
                f"The {name[:60]} would become {100 * ratio:.0f} % of its volume; a smooth motion of a brain is asked "
                f"for {100 * SMALLEST_RATIO:.0f} to {100 * LARGEST_RATIO:.0f} %."
            )
        alone = name.lower().startswith(("left", "right"))
        for part in parts:
            if alone or part not in sided:
                found[part] = ratio
        if alone:
            sided.update(parts)
    return found


def with_held(asked: Mapping[str, float], volumes_ml: Mapping[str, float]) -> dict[str, float]:
    """The prescribed ratios, and 1 for the tissue that is there and not named; fluids give way.

    The brain stem, unless it is named, is also held in its place by the window; its border voxels are partly free.
    """
    full = dict(asked)
    for region in REGIONS:
        for part, _ in region.parts:
            if not (region.fluid or region.thin) and part in volumes_ml:
                full.setdefault(part, 1.0)
    return {part: full[part] for part in PARTS if part in full}


@dataclass(frozen=True)
class Table:
    """A table of changes from a file: the changes, and the years that its rates are for."""

    changes: dict[str, object]
    years: float | None


def read_table(path: str | Path) -> Table:
    """A TOML file with ``[changes]`` (per cent, or a text with its unit), ``[rates]`` (per cent a year) and ``years``.

    Raises:
        InputError: not such a file.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise InputError(f"'{file.name}' is larger than a table of changes can be (64 kB).")
        raw: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The table of changes '{file.name}' cannot be read.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The table of changes '{file.name}' is not TOML: {error}.") from error
    unknown = sorted(set(raw) - {"changes", "rates", "years"})
    tables = [raw.get("changes", {}), raw.get("rates", {})]
    if unknown or not all(isinstance(table, dict) for table in tables) or not any(tables):
        about = f"it has '{unknown[0][:40]}'" if unknown else "it has no [changes] or [rates]"
        raise InputError(f"'{file.name}' is no table of changes: {about}; it holds years, [changes] and [rates].")
    years = raw.get("years")
    if years is not None and (isinstance(years, bool) or not isinstance(years, (int, float)) or abs(years) > 80):
        raise InputError(f"The years of '{file.name}' must be a number from -80 to 80.")
    changes: dict[str, object] = {name: parsed(name, value) for name, value in tables[0].items()}
    for name, value in tables[1].items():
        rate = parsed(name, value)
        if name in changes:
            raise InputError(f"'{name[:60]}' stands in [changes] and in [rates] of '{file.name}'; give one of them.")
        changes[name] = Change(rate.value, rate.millilitres, per_year=True)
    return Table(changes, None if years is None else float(years))
