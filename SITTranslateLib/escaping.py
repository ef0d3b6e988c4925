"""Escaping of external text (file names, cards, label names) for each output format.

One function a format: :func:`printable` for terminals and sentences, :func:`csv_cell` for tables that a spreadsheet
opens, :func:`markdown_cell` for reports in Markdown. HTML has :func:`html.escape`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Any

#: What a spreadsheet takes for the beginning of a formula, and the full-width forms that some take for it as well.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: Characters with a meaning in Markdown; an underscore within a word has none.
_MARKDOWN = re.compile(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))")


def printable(text: str, *, keep: str = "") -> str:
    """Text without control characters, escape sequences, and characters that change its direction: each is ``?``.

    Args:
        keep: characters that stay all the same, as a line end.
    """
    return "".join(c if c.isprintable() or c in keep else "?" for c in text)


def csv_cell(value: Any) -> Any:
    """A value of a CSV table: numbers as they are, ``None`` empty, text that would be a formula after an apostrophe.

    Source: OWASP, CSV injection. Text that is a number to a spreadsheet, as ``-5``, is left as it is.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = printable(value)
    # A line end or tab at the front was turned into '?' already; spaces there are skipped by some programs, and so are
    # the characters of compatibility forms.
    front = unicodedata.normalize("NFKC", text.lstrip())
    return f"'{text}" if front.startswith(_FORMULA) and not _is_number(text) else text


def markdown_cell(text: str) -> str:
    """Text as one cell of a Markdown table, or one line: nothing in it is markup, HTML, or the end of the row."""
    plain = html.escape(printable(" ".join(text.split())), quote=False)
    return _MARKDOWN.sub(r"\\\1", plain)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII) is not None
