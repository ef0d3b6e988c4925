"""Roles of a model's attributes: what each value that may be set says."""

from __future__ import annotations

from enum import StrEnum


class AttributeRole(StrEnum):
    """What the value of an attribute says; a card may give it as ``role``."""

    #: What the translated scan shall show: years, the load of lesions, a preset.
    ASKED = "asked"
    #: What is known of the scan, such as the age at it; no change of it is asked for.
    KNOWN = "known"
    #: Which of the model's contrasts is made.
    TARGET = "target"
    #: Which contrast the scan has.
    SOURCE = "source"
    #: How the answer is drawn: number of steps or samples.
    SAMPLING = "sampling"
    #: What is kept besides the result; the result does not depend on it.
    KEPT = "kept"

    def number(self, value: float) -> str:
        """A value in words: a change has its sign, what is known of the scan has none."""
        return f"{value:g}" if self is AttributeRole.KNOWN else f"{value:+g}"


#: Cards and records without roles: what these names mean.
_BY_NAME = {
    "target": AttributeRole.TARGET,
    "source": AttributeRole.SOURCE,
    "steps": AttributeRole.SAMPLING,
    "samples": AttributeRole.SAMPLING,
    "intermediate": AttributeRole.KEPT,
}


def usual_role(name: str) -> AttributeRole:
    """Role of an attribute whose card or record does not say it."""
    return _BY_NAME.get(name, AttributeRole.ASKED)
