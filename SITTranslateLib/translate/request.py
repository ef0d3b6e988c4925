"""Requests to a model: attribute values, read from text and checked against the card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from SITTranslateLib.arguments import named_values, shown
from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import Attribute, ModelCard
from SITTranslateLib.packages.card import UNCERTAINTY


def parse_settings(settings: Iterable[str]) -> dict[str, str]:
    """``["age=+10"]`` as a mapping.

    Raises:
        InputError: no ``=``, or one attribute twice.
    """
    request: dict[str, str] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise InputError(f"'{setting[:80]}' is not a setting; write it as name=value, for example age=+10.")
        if name.strip() in request:
            raise InputError(f"The attribute '{name.strip()[:40]}' is set twice.")
        request[name.strip()] = value.strip()
    return request


def checked_request(card: ModelCard, attributes: Mapping[str, object] | None, ensemble: int = 1) -> dict[str, float]:
    """Attribute values as numbers within the card's ranges; nothing asked for means the card's defaults.

    Args:
        ensemble: number of answers that a map of uncertainty is asked of; 1 for none.

    Raises:
        InputError: an attribute the model does not know, not a number, out of range, or what the card withdraws.
    """
    if ensemble > 1 and UNCERTAINTY in card.withdrawn:
        raise InputError(card.withdrawn[UNCERTAINTY])
    attributes = named_values(attributes, "The attributes")
    if not attributes:
        return {a.name: float(a.default) for a in card.attributes}
    request: dict[str, float] = {}
    for name, value in attributes.items():
        attribute = card.attribute(name)
        if attribute is None:
            known = ", ".join(a.name for a in card.offered) or "none"
            raise InputError(f"The model '{card.name}' has no attribute '{name[:40]}'; it knows {known}.")
        if attribute.choices:
            request[name] = _chosen(attribute, value)
            continue
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"The value of '{name}' must be a number in {attribute.unit}, not '{shown(value)}'.")
        if not attribute.minimum <= number <= attribute.maximum:
            raise InputError(
                f"{name}={number:g} is out of range: the model '{card.name}' knows {name} from "
                f"{attribute.minimum:+g} to {attribute.maximum:+g} {attribute.unit}."
            )
        request[name] = number
    for name in card.withdrawn:
        if name in request and request[name] != card.attribute(name).default:  # type: ignore[union-attr]
            raise InputError(card.withdrawn[name])
    return request


def _chosen(attribute: Attribute, value: object) -> float:
    """The number of a choice, given by its name or its number."""
    by_name = {choice.lower(): index for index, choice in enumerate(attribute.choices)}
    text = (value if isinstance(value, str) else shown(value)).strip().lower()
    if text in by_name:
        return float(by_name[text])
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if number not in range(len(attribute.choices)):
        known = ", ".join(attribute.choices)
        raise InputError(f"The {attribute.name} '{shown(value)}' is not one of {known}.")
    return number
