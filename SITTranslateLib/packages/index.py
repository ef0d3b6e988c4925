"""Index of model packages: one JSON file on a plain https server or in a folder, made by ``package index``.

It lies beside the folders of the packages and names each with the sha256 of its card, which holds the sha256 of every
other file. Nothing is looked up unless an address is given, or stands in ``SITTRANSLATE_INDEX``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages.card import CARD_FILE
from SITTranslateLib.packages.download import source_at
from SITTranslateLib.packages.store import open_package

INDEX_FILE = "index.json"
#: Names the index that is used where no address is given.
ENVIRONMENT = "SITTRANSLATE_INDEX"
LARGEST = 8 << 20
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True)
class Entry:
    """A package of an index; ``sha256`` is that of its card, ``folder`` its place beside the index."""

    name: str
    version: str
    title: str
    system: str
    source: str
    targets: tuple[str, ...]
    licence: str
    bytes: int
    sha256: str
    folder: str

    def matches(self, words: Sequence[str]) -> bool:
        """Whether every word stands in its texts."""
        text = " ".join((self.name, self.title, self.system, self.source, *self.targets, self.licence)).lower()
        return all(word.lower() in text for word in words)


@dataclass(frozen=True)
class Index:
    """The packages that an index offers."""

    address: str
    entries: tuple[Entry, ...]

    def search(self, words: Sequence[str]) -> list[Entry]:
        return [entry for entry in self.entries if entry.matches(words)]

    def place(self, name: str) -> tuple[str, str]:
        """Address of the newest package of that name, and the sha256 that its card must have.

        Raises:
            PackageError: the index offers none.
        """
        named = [entry for entry in self.entries if entry.name == name]
        if not named:
            raise PackageError(
                f"The index offers no model '{name[:80]}'; 'sittranslate models search' lists its models."
            )
        newest = max(named, key=lambda entry: tuple(map(int, entry.version.split("."))))
        return f"{self.address}/{newest.folder}", newest.sha256


def read_index(address: str = "") -> Index:
    """The index at an ``https`` address or in a folder of this machine; without one that of ``SITTRANSLATE_INDEX``.

    Raises:
        PackageError: no address, not reachable, or not an index.
    """
    place = (address or os.environ.get(ENVIRONMENT, "")).removesuffix(INDEX_FILE).rstrip("/")
    if not place:
        raise PackageError(f"Give the address of an index with --index, or in the variable {ENVIRONMENT}.")
    content = source_at(place).small(INDEX_FILE, LARGEST)
    try:
        return Index(place, tuple(_entry(raw) for raw in json.loads(content)["packages"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PackageError("The index of models is not understood; it is not one that 'package index' made.") from error


def write_index(folder: Path) -> Path:
    """Write the index of the packages in a folder; the file, which replaces one that is there.

    Raises:
        PackageError: no packages, one whose card is not in order, or the place cannot be written.
    """
    places = sorted(file.parent for file in folder.glob(f"*/{CARD_FILE}")) if folder.is_dir() else []
    if not places:
        raise PackageError(f"There is no model package in '{folder.name}'; give the folder that the packages lie in.")
    entries = []
    for place in places:
        package = open_package(place)
        if not _FOLDER.fullmatch(place.name):
            raise PackageError(f"The folder '{place.name}' needs a name of letters, digits, '.', '_' and '-' alone.")
        card = package.card
        digest = hashlib.sha256((place / CARD_FILE).read_bytes()).hexdigest()
        entries.append(
            Entry(card.name, card.version, card.title, card.system.name, card.source, tuple(card.targets), card.licence,
                  package.bytes, digest, place.name)
        )  # fmt: skip
    file = folder / INDEX_FILE
    text = json.dumps({"schema_version": 1, "packages": [asdict(entry) for entry in entries]}, indent=2) + "\n"
    part = file.with_name(f".{INDEX_FILE}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PackageError(f"The index cannot be written into '{folder.name}'.") from error
    return file


def _entry(raw: Any) -> Entry:
    """An entry of an index; keys that are not known are passed over, so that newer indexes can be read.

    Raises:
        ValueError, TypeError, KeyError: not one.
    """
    texts = {key: str(raw[key])[:400] for key in ("name", "version", "title", "system", "source", "licence")}
    digest, folder = str(raw["sha256"]), str(raw["folder"])
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or not _FOLDER.fullmatch(folder):
        raise ValueError(folder)
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6}){0,3}", texts["version"]):
        raise ValueError(texts["version"])
    targets = tuple(str(target)[:80] for target in raw["targets"])
    return Entry(**texts, targets=targets, bytes=int(raw["bytes"]), sha256=digest, folder=folder)
