"""Integrity of the files of a result: a hash of each in the sidecar, and of the sidecar itself.

The hashes find what was changed, lost or exchanged. They are no signature: whoever changes a file can write its hash
anew. What they then cannot change is what ``reproduce`` finds, which runs the model again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError

#: Keys of the sidecar, below ``SITTranslate``: hash by file, by key of the sidecar, and of the whole sidecar.
FILES, KEYS, WHOLE = "sha256", "sha256_of_keys", "sha256_of_sidecar"


def with_hashes(sidecar: dict[str, Any], folder: Path, files: Iterable[Path]) -> dict[str, Any]:
    """A sidecar with the hash of every file of its result, and its own.

    Args:
        folder: that the sidecar lies in; files are named relative to it.
        files: of the result, without the sidecar.
    """
    about = {k: v for k, v in sidecar["SITTranslate"].items() if k not in (KEYS, WHOLE)}
    about[FILES] = {f.relative_to(folder).as_posix(): _hash_of_file(f) for f in sorted(files)}
    whole = {**sidecar, "SITTranslate": about}
    about[KEYS] = {key: _hash_of(value) for key, value in _keys(whole).items()}
    about[WHOLE] = _hash_of(whole)
    return whole


def add_hashes(sidecar_file: Path, files: Iterable[Path]) -> None:
    """Write the hashes of a result's files (scans, fields, tables, pictures, a report) into its sidecar."""
    raw = json.loads(sidecar_file.read_text(encoding="utf-8"))
    whole = with_hashes(raw, sidecar_file.parent, files)
    part = sidecar_file.with_name(f".{sidecar_file.name}.part")
    part.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(sidecar_file)


def read_sidecar(file: Path, name: str) -> dict[str, Any]:
    """The sidecar of a result as it stands in the file; ``name`` is what the user gave.

    Raises:
        InputError: not a result, or damaged.
    """
    try:
        if not file.is_file() or file.stat().st_size > 1 << 22:
            raise InputError(f"'{name}' is not the folder of a translation: it has no {file.name}.")
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{file.name}' in '{file.parent.name}' cannot be read; it is damaged.") from error
    if not isinstance(raw, dict):
        raise InputError(f"'{file.name}' in '{file.parent.name}' is not that of a translation.")
    return raw


def changes(sidecar_file: Path) -> tuple[str, ...] | None:
    """Differences from the written files, a sentence each; None for a result without hashes.

    Raises:
        InputError: the sidecar cannot be read.
    """
    folder = sidecar_file.parent
    raw = read_sidecar(sidecar_file, folder.name)
    try:
        about = dict(raw["SITTranslate"])
        made_with_hashes = "parts" in about["provenance"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{sidecar_file.name}' in '{folder.name}' is not that of a translation.") from error
    if not any(key in about for key in (FILES, KEYS, WHOLE)):
        return ("the hashes of its files were taken out of the sidecar",) if made_with_hashes else None
    files, keys, own = about.get(FILES), about.pop(KEYS, None), about.pop(WHOLE, None)
    if not isinstance(files, dict) or not isinstance(keys, dict) or not isinstance(own, str):
        return ("hashes are missing from the sidecar",)
    whole = {**raw, "SITTranslate": about}
    now = {key: _hash_of(value) for key, value in _keys(whole).items()}
    names = sorted(key for key in keys.keys() | now.keys() if keys.get(key) != now.get(key))
    found = [f"'{name}' in the sidecar was changed since it was written" for name in names]
    if _hash_of({**whole, "SITTranslate": {**about, KEYS: keys}}) != own:
        found += [] if found else ["the sidecar was changed since it was written"]
    for name in sorted(files):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            found.append(f"'{name}' does not lie in the folder of the result")
        elif not (folder / name).is_file():
            found.append(f"the file '{name}' is missing")
        elif _hash_of_file(folder / name) != files[name]:
            found.append(f"the file '{name}' was changed since it was written")
    described = about.get("files", {})
    for part, entry in described.items() if isinstance(described, dict) else ():
        name = entry.get("file") if isinstance(entry, dict) else None
        # The source of a batch lies in the dataset that it was made from, and is known by its voxels.
        if name not in files and part != "source":
            found.append(f"the file '{name}' was not written with the result")
    return tuple(found)


def _keys(sidecar: dict[str, Any]) -> dict[str, Any]:
    """Every value of a sidecar by its full name; ours one level further down."""
    values = {key: value for key, value in sidecar.items() if key != "SITTranslate"}
    for key, value in sidecar["SITTranslate"].items():
        if key in ("provenance", "files") and isinstance(value, dict):
            values |= {f"{key}.{inner}": v for inner, v in value.items()}
        elif key not in (FILES, KEYS, WHOLE):
            values[key] = value
    return values


def _hash_of(value: Any) -> str:
    """sha256 of a value as canonical JSON: sorted keys, no spaces, ASCII; numbers as Python writes them."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
