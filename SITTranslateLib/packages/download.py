"""Adding a model package from an address or a folder to the user's own folder, on request only.

The card comes first and is validated; then each file it names, in the size it names, into a ``.part`` that a later
try goes on with; then its sha256 is compared; then the whole package appears in one rename.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from SITTranslateLib.errors import PackageError
from SITTranslateLib.files import replace_folder
from SITTranslateLib.packages import signature
from SITTranslateLib.packages.card import CARD_FILE, LARGEST_CARD, WeightFile, read_card
from SITTranslateLib.packages.store import ENVIRONMENT, Package, open_package, user_folder
from SITTranslateLib.packages.weights import verified_bytes

#: Seconds without a byte after which a server counts as gone.
PATIENCE = 30.0
_CHUNK = 1 << 18
#: Names of this very machine.
LOOPBACK = ("127.0.0.1", "localhost")
#: Called with a file's name, the bytes that are there and the bytes there will be.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Added:
    """A package that was added, and its signer (empty: not signed by a trusted key)."""

    package: Package
    signer: str


def add_package(
    place: str | os.PathLike[str],
    *,
    into: Path | None = None,
    require_signature: bool = False,
    card_sha256: str = "",
    progress: Progress | None = None,
) -> Added:
    """Add the package at an address (of its folder, or of its ``model.json``) or in a folder of this machine.

    Args:
        place: ``https://...`` or a folder; plain ``http`` only from this machine itself.
        into: folder of packages; without it the user's own.
        require_signature: refuse a package that no trusted key has signed.
        card_sha256: that the card must have, as an index says; empty for any.

    Raises:
        PackageError: not reachable, not a package, altered, not signed as required, or no disk space; what was there
            before is as it was. A download that broke off goes on at the next try.
    """
    models = into or _own_folder()
    report = progress or (lambda name, there, whole: None)
    source = source_at(os.fspath(place))
    try:
        models.mkdir(parents=True, exist_ok=True)
        return _add(source, models, require_signature, card_sha256, report)
    except OSError as error:
        raise PackageError(f"The package cannot be added to the folder '{models.name}': {_why(error)}.") from error


def source_at(place: str) -> Remote | Local:
    """What lies at an address or in a folder.

    Raises:
        PackageError: no such folder, or an address that is not asked.
    """
    return Remote(place) if "://" in place else Local(Path(place))


def _add(source: Remote | Local, models: Path, require_signature: bool, card_sha256: str, report: Progress) -> Added:
    fresh = models / f".{secrets.token_hex(4)}.new"
    fresh.mkdir()
    try:
        content = source.small(CARD_FILE, LARGEST_CARD)
        if card_sha256 and hashlib.sha256(content).hexdigest() != card_sha256:
            raise PackageError("The package is not the one that the index names (its card has another sha256).")
        (fresh / CARD_FILE).write_bytes(content)
        card = read_card(fresh)
        signed = source.small(signature.SIGNATURE_FILE, signature.LARGEST, missing=True)
        signer = signature.signer_of((fresh / CARD_FILE).read_bytes(), signed, required=require_signature)
        if signed:
            (fresh / signature.SIGNATURE_FILE).write_bytes(signed)
        target = models / f"{card.name}-{card.version}"
        whole = sum(file.bytes for file in card.files)
        if shutil.disk_usage(models).free < whole + LARGEST_CARD:
            raise PackageError(f"The disk has no room for '{card.name}' ({whole / 1e6:.0f} MB); free some space.")
        # Unfinished files keep a name that the next try finds; their hash is in it, so that no other file takes it.
        for file in card.files:
            source.get(file, models / f".{file.sha256}.part", report)
            (models / f".{file.sha256}.part").rename(fresh / file.path)
            verified_bytes(fresh, file)
        replace_folder(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Added(open_package(target), signer)


class Local:
    """A package or an index in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.parent if folder.name == CARD_FILE else folder
        if not self._folder.is_dir():
            raise PackageError(f"There is no model package '{self._folder.name}' at the place given.")

    def small(self, name: str, largest: int, missing: bool = False) -> bytes:
        path = self._folder / name
        if missing and not path.exists():
            return b""
        if path.is_symlink() or not path.is_file() or path.stat().st_size > largest:
            raise PackageError(f"'{self._folder.name}' has no proper {name}; check the place given.")
        return path.read_bytes()

    def get(self, file: WeightFile, part: Path, report: Progress) -> None:
        content = verified_bytes(self._folder, file)
        try:
            part.write_bytes(content)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        report(file.path, file.bytes, file.bytes)


class Remote:
    """A package or an index at an address."""

    def __init__(self, address: str) -> None:
        base = address[: -len(CARD_FILE)] if address.endswith("/" + CARD_FILE) else address.rstrip("/") + "/"
        _check_address(base)
        self._base = base
        self._opener = urllib.request.build_opener(_SafeRedirects, _Proxies)

    def small(self, name: str, largest: int, missing: bool = False) -> bytes:
        try:
            with self._open(name) as answer:
                content: bytes = answer.read(largest + 1)
        except urllib.error.HTTPError as error:
            if missing and error.code in (403, 404, 410):
                return b""
            raise PackageError(f"The address has no {name} (the server answers {error.code}); check it.") from error
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from error
        if len(content) > largest:
            raise PackageError(f"The {name} at the address is larger than one can be.")
        return content

    def get(self, file: WeightFile, part: Path, report: Progress) -> None:
        there = part.stat().st_size if part.is_file() and not part.is_symlink() else 0
        if there > file.bytes:
            part.unlink()
            there = 0
        if there < file.bytes:
            self._download(file, part, there, report)
        if part.stat().st_size != file.bytes or _sha256(part) != file.sha256:
            part.unlink()
            text = f"The file '{file.path}' came altered (its sha256 is not the card's); tell whoever offers it."
            raise PackageError(text)
        report(file.path, file.bytes, file.bytes)

    def _download(self, file: WeightFile, part: Path, there: int, report: Progress) -> None:
        headers = {"Range": f"bytes={there}-"} if there else {}
        try:
            with self._open(file.path, headers) as answer:
                # A server that does not know ranges sends everything again.
                goes_on = there > 0 and answer.status == 206
                there = there if goes_on else 0
                with part.open("ab" if goes_on else "wb") as stream:
                    while there < file.bytes and (chunk := answer.read(min(_CHUNK, file.bytes - there))):
                        _write(stream, chunk)
                        there += len(chunk)
                        report(file.path, there, file.bytes)
        except urllib.error.HTTPError as error:
            text = f"The file '{file.path}' is not at the address (the server answers {error.code})."
            raise PackageError(text) from error
        except _NoRoomError as error:
            part.unlink(missing_ok=True)
            raise PackageError(f"The download stopped: {_why(error.reason)}.") from error
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from error
        if there < file.bytes:
            raise PackageError(f"The download broke off at {there / 1e6:.1f} MB; the next try goes on from there.")

    def _open(self, name: str, headers: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(
            urljoin(self._base, name), headers={"User-Agent": "sittranslate", **(headers or {})}
        )
        return self._opener.open(request, timeout=PATIENCE)


class _NoRoomError(Exception):
    """Writing failed, not reading."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows to addresses that might have been given in the first place, and to no others."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _check_address(newurl)
        if _is_this_machine(newurl) and not _is_this_machine(req.full_url):
            raise PackageError("The server of the package points to an address of this machine; it is not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Proxies(urllib.request.ProxyHandler):
    """The proxies of the environment, never for this machine itself: a proxy could answer with anything."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:  # type: ignore[override]
        return None if _is_this_machine(req.full_url) else super().proxy_open(req, proxy, type)  # type: ignore[misc]


def _is_this_machine(address: str) -> bool:
    return (urlsplit(address).hostname or "") in LOOPBACK


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        host, secret = parts.hostname or "", parts.username or parts.password
    except ValueError as error:
        raise PackageError("The address of the package is not one; it begins with https.") from error
    if secret:
        raise PackageError("The address of the package holds a password; give one without.")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)):
        raise PackageError("Packages come by https, or from a folder of this machine, and from nowhere else.")


def _write(stream: IO[bytes], chunk: bytes) -> None:
    try:
        stream.write(chunk)
        stream.flush()
    except OSError as error:
        raise _NoRoomError(error) from error


def _own_folder() -> Path:
    own = [p for p in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if p]
    return Path(own[0]) if own else user_folder()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unreachable(error: Exception) -> PackageError:
    if isinstance(error, PackageError):
        return error
    reason = getattr(error, "reason", error)
    late = isinstance(reason, TimeoutError)
    what = "does not answer" if late else "cannot be reached, or the connection broke off"
    return PackageError(f"The server of the package {what}; try again later, a download goes on where it stopped.")


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return "the disk is full; free some space"
    return "it may not be written; choose another with the variable " + ENVIRONMENT
