"""Names of the labels of a segmentation, from a table."""

from __future__ import annotations

import csv
from pathlib import Path

from SITTranslateLib.errors import InputError


def read_label_names(path: Path) -> dict[int, str]:
    """Names by label, from a CSV or TSV with the columns ``label`` and ``name``.

    Raises:
        InputError: the table cannot be read or has other columns.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        separator = "\t" if lines and "\t" in lines[0] else ","
        rows = csv.DictReader(lines, delimiter=separator)
        names = {int(row["label"]): row["name"].strip() for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read as label names; it needs the columns label and name.") from error
    if not names:
        raise InputError(f"{path.name} names no label; it needs a row for each, with the columns label and name.")
    return names
