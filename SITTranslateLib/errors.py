"""Errors that are shown to users.

Every refusal of bad input is an :class:`InputError` whose text is one sentence: what is wrong and what to do.
The command line prints it and ends with exit code 2; the module shows it in the panel.
"""

from __future__ import annotations

from SITTranslateLib.escaping import printable

#: Longest sentence that is shown; file names may hold hundreds of characters.
LONGEST = 700


class InputError(ValueError):
    """Input that cannot be used; ``str(error)`` is one sentence for the user.

    Names of files and what stands in their headers come into it: characters that are not printable (line ends, escape
    sequences, text that changes direction, bytes that are no text) are shown as ``?``.
    """

    def __init__(self, sentence: str = "") -> None:
        plain = printable(str(sentence))
        super().__init__(plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2]}...{plain[-LONGEST // 2 :]}")


class PackageError(InputError):
    """A model package that is missing, altered or not understood."""
