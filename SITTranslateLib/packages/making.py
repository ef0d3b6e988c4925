"""Packages of networks that others trained: a card's text, with an ONNX file or weights."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages.card import CARD_FILE, ModelCard
from SITTranslateLib.packages.store import Package
from SITTranslateLib.packages.weights import write_onnx_package, write_package

if TYPE_CHECKING:
    from torch import Tensor

TEMPLATE = Path(__file__).with_name("card-template.toml")
#: Texts of the template that every model must replace.
PLACEHOLDERS = ("name", "title", "citation", "intended_use", "limits", "training.data")
#: Larger files than this are not read into memory.
LARGEST_ONNX = 2 << 30


def read_card_text(file: Path, system: str, parameters: Mapping[str, Any] | None = None) -> ModelCard:
    """A card from its text (TOML, as ``card-template.toml``), of a package that has no files yet.

    Args:
        parameters: of the system, known from elsewhere; the text's own go before them.

    Raises:
        PackageError: no such file, or not a valid card.
    """
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PackageError(f"There is no card '{file.name}'; 'sittranslate package template' prints one.") from error
    except ValueError as error:
        raise PackageError(f"The card '{file.name}' is not TOML: {error}.") from error
    own = raw.pop("parameters", {})
    if not isinstance(own, dict):
        raise PackageError(f"The card '{file.name}' has 'parameters' that are no table; write [parameters].")
    complete = raw | {
        "schema_version": 1,
        "system": {"name": system, "parameters": {**(parameters or {}), **own}},
        "attributes": raw.get("attributes", []),
        "figures": raw.get("figures", []),
        "files": [{"path": "to-be-filled-in.onnx", "sha256": "0" * 64, "bytes": 1}],
    }
    try:
        return ModelCard.from_dict(json.loads(json.dumps(complete, default=str)))
    except PackageError as error:
        raise PackageError(f"The card '{file.name}' is not understood: {error}") from error


def refuse_placeholders(file: Path) -> None:
    """Refuse a card whose texts are still those of the template: people would read them as what the model is.

    Raises:
        PackageError: names what is to be filled in.
    """

    def texts(raw: Any, path: str = "") -> dict[str, str]:
        if isinstance(raw, dict):
            pairs = [(f"{path}.{key}" if path else key, value) for key, value in raw.items()]
        elif isinstance(raw, list):
            pairs = [(path, value) for value in raw]
        else:
            return {path: raw} if isinstance(raw, str) else {}
        return {key: text for name, value in pairs for key, text in texts(value, name).items()}

    try:
        given = texts(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        # Reported by the reader of the card.
        return
    template = texts(tomllib.loads(TEMPLATE.read_text(encoding="utf-8")))
    left = [name for name in PLACEHOLDERS if given.get(name) == template[name]]
    if left:
        raise PackageError(
            f"The card '{file.name}' still has the template's own text in {', '.join(left)}; say what holds here."
        )


def package_of_onnx(onnx_file: Path, card_file: Path, folder: Path) -> Package:
    """A package around an ONNX file.

    Raises:
        PackageError: the file or the card cannot be used.
    """
    try:
        if onnx_file.stat().st_size > LARGEST_ONNX:
            raise PackageError(f"'{onnx_file.name}' is larger than 2 GB.")
        content = onnx_file.read_bytes()
    except OSError as error:
        raise PackageError(f"There is no ONNX file '{onnx_file.name}' that can be read at the place given.") from error
    return write_onnx_package(folder, read_card_text(card_file, "onnx"), content)


def package_of_weights(
    system: str, parameters: Mapping[str, Any], weights: Mapping[str, Tensor], card_file: Path, folder: Path
) -> Package:
    """A package of a system of this project with weights from elsewhere.

    Raises:
        PackageError: the card cannot be used, or the place cannot be written.
    """
    return write_package(folder, read_card_text(card_file, system, parameters), weights)


def write_repository(package: Package, card_file: Path) -> None:
    """Make the folder of a package one that can be published as it is: a README of its card, and the card's text.

    Neither is fetched by those who add the package; ``model.json`` is what counts.
    """
    card = package.card
    lines = [
        f"# {card.title}",
        f"{', '.join(card.sources)} to {', '.join(card.targets)}, a model of SITTranslate, "
        "an extension of 3D Slicer for traceable translation of medical images.",
        f"```sh\nsittranslate models add PATH_OR_ADDRESS_OF_THIS_FOLDER\n"
        f"sittranslate translate SCAN --model {card.name} --out RESULT\n```",
        f"**Intended use.** {card.intended_use}",
        "**Limits**\n\n" + "\n".join(f"- {limit}" for limit in card.limits),
        f"**Trained on.** {card.training.get('data', 'not said')}",
        f"**Licence.** {card.licence}",
        f"**Cite.** {card.citation}",
        "| file | what it is |\n|---|---|\n"
        "| `card.toml` | the card as it was filled in |\n"
        f"| `{CARD_FILE}` | the card that programs read, with size and sha256 of the next |\n"
        + "".join(f"| `{file.path}` | the network, {file.bytes / 1e6:.1f} MB |\n" for file in card.files)
        + "| `model.json.sig` | signature of the card, once `sittranslate package sign` made it |",
    ]
    try:
        (package.folder / "README.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
        (package.folder / "card.toml").write_bytes(card_file.read_bytes())
    except OSError as error:
        raise PackageError(f"The folder '{package.folder.name}' cannot be written.") from error
