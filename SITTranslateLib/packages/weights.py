"""Weights of a package: verified by size and sha256 before a byte is parsed; safetensors, or one ONNX file."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import struct
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages.card import CARD_FILE, ModelCard, WeightFile
from SITTranslateLib.packages.store import Package

if TYPE_CHECKING:
    from torch import Tensor

#: A safetensors header lists tensors; one of a network of thousands of layers stays below a megabyte.
LARGEST_HEADER = 8 << 20
WEIGHTS_FILE = "weights.safetensors"
ONNX_FILE = "model.onnx"


def verified_bytes(folder: Path, file: WeightFile) -> bytes:
    """The bytes of a file of a package, read once and checked against the card.

    Raises:
        PackageError: missing, a link, not a plain file, of another size or hash.
    """
    path = folder / file.path
    about = f"The file '{file.path}' of model package '{folder.name}'"
    if path.parent != folder:
        raise PackageError(f"{about} does not lie in the package.")
    if path.is_symlink():
        raise PackageError(f"{about} is a link; a package must hold its own files.")
    if not path.is_file():
        raise PackageError(f"{about} is missing; get the package again.")
    # O_NOFOLLOW: a link put there since the check is not followed either.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as stream:  # noqa: PTH123
            size = os.fstat(stream.fileno()).st_size
            if size != file.bytes:
                raise PackageError(f"{about} has {size} bytes where the card says {file.bytes}; get the package again.")
            content = stream.read(file.bytes + 1)
    except OSError as error:
        raise PackageError(f"{about} cannot be read.") from error
    if len(content) != file.bytes or sha256(content).hexdigest() != file.sha256:
        raise PackageError(f"{about} was altered (its sha256 is not the card's); get the package again.")
    return content


def load(package: Package) -> dict[str, Tensor]:
    """The weights of a package by parameter name, float32.

    Raises:
        PackageError: a file is missing, altered, not safetensors, or holds values that are not finite.
    """
    import torch
    from safetensors.torch import load as parse

    weights: dict[str, Tensor] = {}
    for file in package.card.files:
        if not file.path.endswith(".safetensors"):
            raise PackageError(f"The file '{file.path}' is not safetensors; this system loads nothing else.")
        content = verified_bytes(package.folder, file)
        _check_header(content, file.path)
        try:
            part = parse(content)
        except Exception as error:
            raise PackageError(f"The file '{file.path}' of '{package.name}' is not valid safetensors.") from error
        for name, tensor in part.items():
            if name in weights:
                raise PackageError(f"The package '{package.name}' holds '{name[:80]}' twice.")
            value = tensor.float() if tensor.is_floating_point() else tensor
            if not bool(torch.isfinite(value).all()):
                raise PackageError(f"The package '{package.name}' has weights that are not finite ('{name[:80]}').")
            weights[name] = value
    return weights


def write_package(
    folder: str | os.PathLike[str], card: ModelCard, weights: Mapping[str, Tensor], *, fp16: bool = False
) -> Package:
    """Write a package; the folder appears whole or not at all, and replaces one that is there.

    Args:
        folder: where; its last part is the folder of this package.
        card: ``files`` is filled in here.
        weights: parameters by name; shared or strided tensors are copied.
        fp16: store floats in half the size (they are computed with in float32 all the same).

    Raises:
        PackageError: the card is not valid, or the place cannot be written.
    """
    import torch
    from safetensors.torch import save

    def stored(tensor: Tensor) -> Tensor:
        plain = tensor.detach().cpu().contiguous().clone()
        return plain.to(torch.float16 if fp16 else torch.float32) if plain.is_floating_point() else plain

    content = save({name: stored(tensor) for name, tensor in weights.items()})
    return _write(Path(folder), card, WEIGHTS_FILE, content)


def write_onnx_package(folder: str | os.PathLike[str], card: ModelCard, content: bytes) -> Package:
    """Write a package around an ONNX file, as :func:`write_package` does around weights.

    Raises:
        PackageError: the card is not valid, or the place cannot be written.
    """
    return _write(Path(folder), card, ONNX_FILE, content)


def _write(target: Path, card: ModelCard, name: str, content: bytes) -> Package:
    """A package of one file; ``files`` of the card is filled in here."""
    # Here, because it brings SimpleITK along, and a list of packages must be there at once.
    from SITTranslateLib.files import replace_folder

    entry = WeightFile(name, sha256(content).hexdigest(), len(content))
    full = ModelCard.from_dict(replace(card, files=(entry,)).to_dict())
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        (part / name).write_bytes(content)
        text = json.dumps(full.to_dict(), indent=2, ensure_ascii=False) + "\n"
        (part / CARD_FILE).write_text(text, encoding="utf-8")
        replace_folder(part, target)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else "the folder is missing or read-only"
        raise PackageError(f"The package '{target.name}' cannot be written: {reason}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Package(target, full)


def onnx_bytes(package: Package) -> bytes:
    """The verified ONNX file of a package.

    Raises:
        PackageError: not exactly one such file, missing, or altered.
    """
    files = package.card.files
    if len(files) != 1 or not files[0].path.endswith(".onnx"):
        raise PackageError(f"The package '{package.name}' is for onnxruntime and must hold one file, an .onnx.")
    return verified_bytes(package.folder, files[0])


def _check_header(content: bytes, name: str) -> None:
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else -1
    if not 2 <= length <= min(LARGEST_HEADER, len(content) - 8):
        raise PackageError(f"The file '{name}' is not valid safetensors (its header has an impossible length).")
