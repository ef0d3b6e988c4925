"""The card of a model package: what it translates, its grid, training and intended use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from SITTranslateLib.attributes import AttributeRole, usual_role
from SITTranslateLib.errors import PackageError

CARD_FILE = "model.json"
SCHEMA_FILE = Path(__file__).with_name("card.schema.json")
#: A card is a page of text; anything larger is not a card.
LARGEST_CARD = 1 << 20
#: Objects and lists within one another; a card has six.
DEEPEST_CARD = 32
#: Voxels of the network's grid; one of 320 x 320 x 320 has fewer.
LARGEST_GRID = 1 << 25
#: In ``withdrawn``: the spread of several answers.
UNCERTAINTY = "uncertainty"


@dataclass(frozen=True)
class System:
    """Which network, and the parameters it is made with."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attribute:
    """Something that can be asked for: a change in the attribute's own unit, within a range.

    With ``choices`` the values are 0, 1, ... and stand for these, the range being theirs. ``declared_role`` is the
    ``role`` of the card, if it has one.
    """

    name: str
    title: str
    unit: str
    minimum: float
    maximum: float
    default: float
    description: str
    choices: tuple[str, ...] = ()
    declared_role: str = ""

    @property
    def role(self) -> AttributeRole:
        """What its value says."""
        return AttributeRole(self.declared_role) if self.declared_role else usual_role(self.name)

    def said(self, value: float) -> str:
        """A value in words: the choice, or the number with its sign."""
        return self.choices[round(value)] if self.choices else self.role.number(value)


def in_words(request: Mapping[str, float], attributes: Sequence[Attribute]) -> list[tuple[str, str]]:
    """Name and value of what is asked for: the choice of an attribute that has some, else the number with its sign."""
    known = {a.name: a for a in attributes}
    return [(name, known[name].said(v) if name in known else f"{v:+g}") for name, v in request.items()]


@dataclass(frozen=True)
class NetworkGrid:
    """The grid the network sees: isotropic, axes along +R, +A, +S; ``shape`` is ``(K, J, I)``."""

    spacing_mm: float
    shape: tuple[int, int, int]
    orientation: str = "RAS"
    skull: str = "either"


@dataclass(frozen=True)
class Normalisation:
    """Native units to [0, 1]: ``percentile`` of the scan, or a fixed ``range`` in native units (HU).

    ``stretch``: how many times above ``low`` the ``high`` percentile becomes 1 (see ``translate.normalisation``).
    ``fluid``: network units below which nothing lies inside a stripped brain, some tools having cut its CSF out to 0.
    """

    method: str
    low: float
    high: float
    stretch: float = 1.0
    fluid: float = 0.0


@dataclass(frozen=True)
class TargetScale:
    """Conversion of the network's values to the target's units, for models that translate to another contrast.

    Piecewise linear: value ``network[n]`` is ``native[n]`` in ``unit``; beyond the ends the last value holds.
    """

    unit: str
    network: tuple[float, ...]
    native: tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """A measured figure; ``baseline`` is the same figure of the identity baseline."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    note: str = ""


@dataclass(frozen=True)
class WeightFile:
    """A file of the package, by name, hash and size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ModelCard:
    """The contents of a card; the schema is ``card.schema.json``."""

    name: str
    version: str
    title: str
    system: System
    source: str
    targets: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    grid: NetworkGrid
    normalisation: Normalisation
    training: dict[str, Any]
    licence: str
    citation: str
    intended_use: str
    limits: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    files: tuple[WeightFile, ...] = ()
    schema_version: int = 1
    target_scale: TargetScale | None = None
    further_sources: tuple[str, ...] = ()
    withdrawn: dict[str, str] = field(default_factory=dict)

    @property
    def offered(self) -> tuple[Attribute, ...]:
        """The attributes that may be set; of others the default alone may be asked for."""
        return tuple(a for a in self.attributes if a.name not in self.withdrawn)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every modality it translates from, the usual one first."""
        return (self.source, *self.further_sources)

    def target_of(self, request: Mapping[str, float]) -> str:
        """The modality that a request asks for."""
        attribute = self.of_role(AttributeRole.TARGET)
        if attribute is None or not attribute.choices:
            return self.targets[0]
        return attribute.said(request.get(attribute.name, attribute.default))

    def source_of(self, request: Mapping[str, float]) -> str:
        """The scan's contrast as a request names it; empty where it leaves that to the scan."""
        attribute = self.of_role(AttributeRole.SOURCE)
        number = 0 if attribute is None else int(request.get(attribute.name, 0))
        return attribute.choices[number] if attribute is not None and 0 < number < len(attribute.choices) else ""

    def of_role(self, role: AttributeRole) -> Attribute | None:
        """The first attribute of a role."""
        return next((a for a in self.attributes if a.role is role), None)

    def said(self, request: Mapping[str, float]) -> str:
        """A request in words."""
        return ", ".join(f"{name} {word}" for name, word in in_words(request, self.attributes)) or "no attributes"

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name."""
        return next((a for a in self.attributes if a.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.target_scale is None:
            del plain["target_scale"]
        if not self.further_sources:
            del plain["further_sources"]
        if not self.withdrawn:
            del plain["withdrawn"]
        if not self.normalisation.fluid:
            del plain["normalisation"]["fluid"]
        for attribute in plain["attributes"]:
            if not attribute["choices"]:
                del attribute["choices"]
            if role := attribute.pop("declared_role"):
                attribute["role"] = role
        return {"schema_version": plain.pop("schema_version"), **plain}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> ModelCard:
        """A card from plain types, validated.

        Raises:
            PackageError: the schema or the card's own logic does not hold.
        """
        if depth_of(raw, DEEPEST_CARD) > DEEPEST_CARD:
            raise PackageError("it is nested too deeply.")
        validate(raw)
        card = cls(
            name=raw["name"],
            version=raw["version"],
            title=raw["title"],
            system=System(**raw["system"]),
            source=raw["source"],
            targets=tuple(raw["targets"]),
            attributes=tuple(_attribute(**a) for a in raw["attributes"]),
            grid=NetworkGrid(**{**raw["grid"], "shape": tuple(raw["grid"]["shape"])}),
            normalisation=Normalisation(**raw["normalisation"]),
            training=raw["training"],
            licence=raw["licence"],
            citation=raw["citation"],
            intended_use=raw["intended_use"],
            limits=tuple(raw["limits"]),
            figures=tuple(Figure(**f) for f in raw["figures"]),
            files=tuple(WeightFile(**f) for f in raw["files"]),
            target_scale=_target_scale(raw.get("target_scale")),
            further_sources=tuple(raw.get("further_sources", ())),
            withdrawn=raw.get("withdrawn", {}),
        )
        _check_sense(card)
        return card


def _attribute(*, choices: Sequence[str] = (), role: str = "", **plain: Any) -> Attribute:
    return Attribute(**plain, choices=tuple(choices), declared_role=role)


def _target_scale(raw: dict[str, Any] | None) -> TargetScale | None:
    return None if raw is None else TargetScale(raw["unit"], tuple(raw["network"]), tuple(raw["native"]))


def read_card(folder: Path) -> ModelCard:
    """The validated card of a package folder.

    Raises:
        PackageError: no card, not JSON, doubled keys, not according to the schema.
    """
    file = folder / CARD_FILE
    if file.is_symlink() or not file.is_file():
        raise PackageError(f"'{folder.name}' is not a model package: it has no {CARD_FILE}.")
    try:
        if file.stat().st_size > LARGEST_CARD:
            raise PackageError(f"The card of '{folder.name}' is larger than a card can be (1 MB).")
        return _card_of(file.read_text(encoding="utf-8"))
    except PackageError as error:
        raise PackageError(f"The card of '{folder.name}' is not understood: {error}") from error
    except RecursionError as error:
        raise PackageError(f"The card of '{folder.name}' is not understood: it is nested too deeply.") from error
    except (OSError, ValueError) as error:
        raise PackageError(f"The card of '{folder.name}' cannot be read as JSON; get the package again.") from error


@lru_cache(maxsize=64)
def _card_of(text: str) -> ModelCard:
    """The card that a text is; remembered, because validating one takes 10 ms and a window lists them all."""
    raw = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_not_a_number)
    return ModelCard.from_dict(raw)


def validate(raw: Any) -> None:
    """Hold plain types against the schema.

    Raises:
        PackageError: the first thing that does not fit, and where.
    """
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(raw))
    if error is not None:
        where = ".".join(str(p) for p in error.absolute_path) or "the card"
        message = error.message if len(error.message) < 160 else error.message[:157] + "..."
        raise PackageError(f"{where}: {message}.")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    def pattern(_validator: Any, expression: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
        # JSON Schema means ECMA's $, the end; Python's also matches before a last line end.
        whole = expression[:-1] + r"\Z" if expression.endswith("$") else expression
        if isinstance(value, str) and re.search(whole, value) is None:
            yield ValidationError(f"{value!r} does not match {expression!r}")

    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return extend(Draft202012Validator, {"pattern": pattern})(schema)


def depth_of(value: Any, most: int) -> int:
    """Nesting depth of objects and lists, counted to one above ``most``; without recursion."""
    depth, level = 0, [value]
    while level and depth <= most:
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list, tuple))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += bool(level)
    return depth


def _check_sense(card: ModelCard) -> None:
    """Rules that a schema cannot express."""
    names = [a.name for a in card.attributes]
    if len(set(names)) < len(names):
        raise PackageError("two attributes have one name.")
    for a in card.attributes:
        if not a.minimum <= a.default <= a.maximum or a.minimum >= a.maximum:
            raise PackageError(f"the range of attribute '{a.name}' does not hold its default.")
        if a.choices and (a.minimum, a.maximum) != (0, len(a.choices) - 1):
            raise PackageError(f"the range of attribute '{a.name}' is not that of its choices.")
    if prod(card.grid.shape) > LARGEST_GRID:
        raise PackageError(f"its grid has more voxels than {LARGEST_GRID}, which no computer has memory for.")
    unknown = set(card.withdrawn) - {*names, UNCERTAINTY}
    if unknown:
        raise PackageError(f"it withdraws '{min(unknown)[:40]}', which is none of its attributes.")
    for name in ("scale", "scales"):
        scales = card.system.parameters.get(name, 1.0)
        numbers = scales if isinstance(scales, list) else [scales]
        if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and n for n in numbers):
            raise PackageError(f"the system's '{name}' must be numbers other than 0.")
    for role in (AttributeRole.TARGET, AttributeRole.SOURCE):
        if sum(a.role is role for a in card.attributes) > 1:
            raise PackageError(f"two attributes have the role '{role}'.")
    target = card.of_role(AttributeRole.TARGET)
    if target is not None and target.choices and target.choices != card.targets:
        raise PackageError(f"the choices of attribute '{target.name}' are not the card's targets.")
    paths = [f.path.lower() for f in card.files]
    if len(set(paths)) < len(paths):
        raise PackageError("two files have one name.")
    if card.normalisation.low >= card.normalisation.high:
        raise PackageError("the normalisation's low end is not below its high end.")
    scale = card.target_scale
    if scale is not None:
        rising = all(a < b for ends in (scale.network, scale.native) for a, b in pairwise(ends))
        if len(scale.network) != len(scale.native) or not rising:
            raise PackageError("the target scale does not rise from value to value.")
    if card.normalisation.method == "percentile" and not 0 <= card.normalisation.low < card.normalisation.high <= 100:
        raise PackageError("the normalisation's percentiles are not between 0 and 100.")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise PackageError(f"the key '{key[:40]}' occurs twice.")
        seen[key] = value
    return seen


def _not_a_number(text: str) -> Any:
    raise PackageError(f"{text} is not a number that a card may hold.")
