"""Signatures of packages: ed25519 over the card, verified with the user's trusted keys.

The card holds the sha256 of every other file, so a signed card is a signed package. Trusted keys are lines of
``trusted-keys.txt`` beside the folder of packages: a public key in base64, a space, whose it is.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages.store import user_folder

SIGNATURE_FILE = "model.json.sig"
#: 64 bytes in base64, and a line end.
LARGEST = 200
#: Names another file of trusted keys.
ENVIRONMENT = "SITTRANSLATE_TRUSTED_KEYS"


def signer_of(card: bytes, signed: bytes, *, required: bool = False) -> str:
    """Whose trusted key signed the bytes of a card; empty if it is not signed by a trusted key.

    Args:
        card: the bytes of ``model.json``.
        signed: the bytes of ``model.json.sig``; empty where there is none.
        required: refuse instead of answering with nothing.

    Raises:
        PackageError: a signature that is none, ``required`` and no trusted one, or no means to check it.
    """
    if not signed:
        if required:
            raise PackageError("The package is not signed, and only signed ones are to be added.")
        return ""
    raw = _decoded(signed, 64, "The signature of the package is not one (64 bytes in base64).")
    keys = trusted_keys()
    if keys:
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError as error:
            raise PackageError("To check the signature of the package, install 'cryptography'.") from error
        for key, owner in keys.items():
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(raw, card)
            except (InvalidSignature, ValueError):
                continue
            return owner
    if required:
        raise PackageError("The package is signed by nobody that you trust, or was altered after it was signed.")
    return ""


def sign(folder: Path, private_key: bytes) -> Path:
    """Write the signature of a package's card with a private ed25519 key (32 raw bytes); the file.

    Raises:
        PackageError: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise PackageError("To sign a package, install cryptography: pip install 'sittranslate[signed]'.") from error

    signed = Ed25519PrivateKey.from_private_bytes(private_key).sign((folder / "model.json").read_bytes())
    file = folder / SIGNATURE_FILE
    file.write_bytes(base64.b64encode(signed) + b"\n")
    return file


def key_in(file: Path) -> bytes:
    """The private ed25519 key in a file (32 bytes in base64), which is made, readable by its owner alone, if missing.

    Raises:
        PackageError: no key, no place for one, or ``cryptography`` is not installed.
    """
    if file.exists():
        try:
            return _decoded(file.read_bytes()[:1024], 32, f"'{file.name}' holds no private key (32 bytes in base64).")
        except OSError as error:
            raise PackageError(f"The key '{file.name}' cannot be read.") from error
    private = secrets.token_bytes(32)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(base64.b64encode(private) + b"\n")
    except OSError as error:
        raise PackageError(f"The key '{file.name}' cannot be written: the folder is missing or read-only.") from error
    return private


def public_text(private_key: bytes) -> str:
    """The public key of a private one, in base64, as it stands in a list of trusted keys."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()).decode()


def trusted_keys() -> dict[bytes, str]:
    """Public keys (32 bytes) and whose they are.

    Raises:
        PackageError: a line of the list is not understood.
    """
    file = Path(os.environ.get(ENVIRONMENT) or user_folder().parent / "trusted-keys.txt")
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    except (OSError, ValueError) as error:
        raise PackageError("The list of trusted keys cannot be read.") from error
    keys: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        text, _, owner = line.strip().partition(" ")
        if text and not text.startswith("#"):
            about = f"Line {number} of the list of trusted keys is not a key in base64 and a name."
            keys[_decoded(text.encode(), 32, about)] = owner.strip() or "a trusted key"
    return keys


def _decoded(text: bytes, count: int, otherwise: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PackageError(otherwise) from error
    if len(raw) != count:
        raise PackageError(otherwise)
    return raw
