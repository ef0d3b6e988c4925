"""Notes in a file's header, such as that a model made it."""

from __future__ import annotations

import gzip
from pathlib import Path

from SITTranslateLib.files.writing import NRRD_KEY

_MOST = 16384


def note_of(path: Path) -> str:
    """The note that :func:`~SITTranslateLib.files.writing.write_volume` put into a file; empty without one."""
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            with gzip.open(path) if name.endswith(".gz") else path.open("rb") as file:
                # NIfTI-1: 80 bytes from 148 on; NIfTI-2 (540 bytes long): from 240 on.
                head = file.read(540)
            start = 240 if head[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else 148
            return head[start : start + 80].split(b"\0")[0].decode("ascii", "replace").strip()
        with path.open("rb") as file:
            lines = file.read(_MOST).split(b"\n\n")[0].decode("ascii", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        for key in (f"{NRRD_KEY}:=", "Comment = "):
            if line.startswith(key):
                return line.removeprefix(key).strip()
    return ""


def says_synthetic(note: str) -> bool:
    """Whether a note marks the image as made by a model."""
    return "synthetic" in note.lower()
