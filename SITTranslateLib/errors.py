"""The errors a user is meant to read.

Every refusal of bad input is an :class:`InputError` whose text is one sentence: what is wrong and what to do.
The command line prints it and ends with exit code 2; the module shows it in the panel.
"""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used; ``str(error)`` is one sentence for the user."""


class PackageError(InputError):
    """A model package that is missing, altered or not understood."""
