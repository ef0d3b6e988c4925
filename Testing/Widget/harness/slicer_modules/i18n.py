"""``slicer.i18n`` without translations."""

from __future__ import annotations


def tr(text: str) -> str:
    return text


def translate(_context: str, text: str) -> str:
    return text
