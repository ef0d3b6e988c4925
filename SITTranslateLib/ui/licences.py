"""Licences: which must be accepted before a model runs, and which were accepted."""

from __future__ import annotations

import re

import qt

_KEY = "SITTranslate/AcceptedLicences/"
#: Licences that ask nothing of someone who only runs the model.
_FREE = re.compile(r"^(apache|mit\b|bsd|cc0|cc[ -]by[ -]?\d|cc[ -]by$|public domain)", re.IGNORECASE)


def needs_acceptance(licence: str) -> bool:
    """Whether a licence restricts use: everything that is not a well-known permissive one."""
    return _FREE.match(licence.strip()) is None


def is_accepted(sha256: str) -> bool:
    """Whether the user accepted the licence of exactly these weights."""
    return str(qt.QSettings().value(_KEY + sha256, "")) == "accepted"


def accept(sha256: str) -> None:
    qt.QSettings().setValue(_KEY + sha256, "accepted")
