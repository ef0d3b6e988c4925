"""Folders of model packages on this machine, and lookup by name."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from SITTranslateLib.arguments import path_of
from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages.card import CARD_FILE, ModelCard, read_card

#: Names a folder of packages of the user's own, instead of the platform's usual place.
ENVIRONMENT = "SITTRANSLATE_MODELS"


@dataclass(frozen=True)
class Package:
    """A package folder whose card was read and validated; its weights are not yet."""

    folder: Path
    card: ModelCard

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def bytes(self) -> int:
        """Size of the weights."""
        return sum(f.bytes for f in self.card.files)

    @cached_property
    def sha256(self) -> str:
        """Hash that identifies the weights: that of the file, or the hash of all files' hashes in order of name."""
        hashes = [f.sha256 for f in sorted(self.card.files, key=lambda f: f.path)]
        return hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest()


def locations() -> list[Path]:
    """Folders of packages: those that ship with the project, then the user's own."""
    own = os.environ.get(ENVIRONMENT)
    return (
        [shipped_folder(), *(Path(p) for p in own.split(os.pathsep) if p)] if own else [shipped_folder(), user_folder()]
    )


def shipped_folder() -> Path:
    """The bundled models: in the library where pip installed it, else in ``Resources`` beside it (checkout, Slicer)."""
    library = Path(__file__).resolve().parents[1]
    inside = library / "Models"
    return inside if inside.is_dir() else library.parent / "Resources" / "Models"


def user_folder() -> Path:
    """The platform's place for an application's data, ``.../sittranslate/models``."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "sittranslate" / "models"


def available() -> list[Package]:
    """Every package whose card is in order, by name.

    Of several of one name, those that ship with the project or are signed by a trusted key come before others, and
    among equals the newest version counts.
    """
    return _survey()[0]


def broken() -> list[str]:
    """One sentence for each folder that looks like a package and is not in order."""
    return _survey()[1]


def find(name: str | os.PathLike[str]) -> Package:
    """The installed package of that name, or the one in that folder.

    A name without a separator is that of an installed package first; ``./name`` is always the folder.

    Raises:
        PackageError: no such package, or its card is not in order.
    """
    path_of(name, "The model")
    text = os.fspath(name)
    if os.sep in text or (os.altsep and os.altsep in text):
        return open_package(Path(text))
    # Validating every card takes longer than looking for a name in them.
    for package in _survey(text)[0]:
        if package.name == text:
            return package
    # After the installed ones: a folder that happens to lie where a command is started must not hide a model.
    if os.path.isfile(os.path.join(text, CARD_FILE)):  # noqa: PTH113, PTH118
        return open_package(Path(text))
    packages, problems = _survey()
    about = next((p for p in problems if f"'{text}'" in p), None)
    if about is not None:
        raise PackageError(about)
    known = ", ".join(p.name for p in packages) or "none is installed"
    raise PackageError(f"There is no model '{text[:80]}'; known models: {known}.")


def open_package(folder: Path) -> Package:
    """The package in a folder.

    Raises:
        PackageError: no such folder, or its card is not in order.
    """
    # Unlike those of Path, these are false for names that are too long.
    if not os.path.isdir(folder):  # noqa: PTH112
        raise PackageError(f"There is no model package '{folder.name}' at the place given.")
    return Package(folder, read_card(folder))


def _holds(card: Path, text: str) -> bool:
    try:
        return text in card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # Whoever opens it says what is wrong with it.
        return True


def _survey(only: str = "") -> tuple[list[Package], list[str]]:
    """The packages that are in order, and what is wrong with others; of those alone whose card holds a text."""
    found: dict[str, list[Package]] = {}
    problems: list[str] = []
    for location in locations():
        try:
            folders = sorted(f for f in location.iterdir() if (f / CARD_FILE).is_file() and not f.name.startswith("."))
        except OSError:
            continue
        for folder in folders:
            if only and not _holds(folder / CARD_FILE, only):
                continue
            try:
                package = open_package(folder)
            except PackageError as error:
                problems.append(str(error))
                continue
            found.setdefault(package.name, []).append(package)
    chosen = []
    for name in sorted(found):
        ranked = sorted(found[name], key=lambda p: (len(found[p.name]) > 1 and _is_trusted(p), _version(p)))
        chosen.append(ranked[-1])
        for other in ranked[:-1]:
            if _version(other) > _version(ranked[-1]):
                problems.append(
                    f"'{name}' {other.card.version} in the folder '{other.folder.name}' is not signed by a trusted key "
                    f"and does not replace version {ranked[-1].card.version}; to use it, give its folder."
                )
    return chosen, problems


def _is_trusted(package: Package) -> bool:
    """Whether it ships with the project, or a key that this user trusts has signed it."""
    from SITTranslateLib.packages import signature

    if package.folder.parent == locations()[0]:
        return True
    file = package.folder / signature.SIGNATURE_FILE
    try:
        signed = file.read_bytes() if file.stat().st_size <= signature.LARGEST else b""
        return bool(signature.signer_of((package.folder / CARD_FILE).read_bytes(), signed))
    except (OSError, PackageError):
        return False


def _version(package: Package) -> tuple[int, ...]:
    return tuple(int(n) for n in package.card.version.split("."))
