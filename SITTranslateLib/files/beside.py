"""Image data in a separate file next to its header, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from SITTranslateLib.errors import InputError


def data_beside(header: Path, value: str) -> Path:
    """The file in the header's own folder that the header names.

    Raises:
        InputError: a path, a link that leads out of the folder, or no file.
    """
    name = f"'{header.name}'"
    data = Path(value)
    if not value or "\\" in value or "\0" in value or data.name != value.removeprefix("./") or value == "..":
        raise InputError(f"{name} keeps its image data in another folder; copy both files into one.")
    path = header.parent / data.name
    try:
        there = path.is_file()
        inside = there and path.resolve().parent == header.parent.resolve()
    except (OSError, ValueError):
        # No name that a file could have.
        there = inside = False
    if not there:
        raise InputError(f"{name} is incomplete: its image data '{data.name[:60]}' are not beside it.")
    if not inside:
        raise InputError(f"{name} keeps its image data behind a link to another folder; copy both files into one.")
    if path.stat().st_size == 0:
        raise InputError(f"{name} is incomplete: its image data '{data.name[:60]}' are empty (0 bytes).")
    return path
