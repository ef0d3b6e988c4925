"""``sittranslate models``: the installed models and their attributes, and adding another."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from SITTranslateLib.app.terminal import say
from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import Package, available, broken, find, locations
from SITTranslateLib.packages.store import shipped_folder


def list_models(
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[info|add|remove|search]",
            help="Nothing: list them. info, remove: one of them. add: another. search: those of an index.",
        ),
    ] = None,
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Of a model. For add: its folder or https address, or with --index its name. For search: words.",
        ),
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", metavar="ADDRESS", help="An index of models: https address or folder.")
    ] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Add only what a key that you trust has signed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list, for programs.")] = False,
) -> None:
    """List the installed models, a line each; show, add, remove or search one.

    Nothing is ever looked up on a network unless an address is given.
    """
    if action == "search":
        _search(place or "", index or "", as_json)
        return
    if action is not None:
        if action not in ("info", "add", "remove") or place is None:
            raise InputError(
                "Write 'sittranslate models' to list them, 'sittranslate models info NAME' about one, "
                "'models add PATH_OR_URL', 'models remove NAME' or 'models search WORD --index ADDRESS'."
            )
        if action == "add":
            _add(place, signed, index)
        elif action == "remove":
            _remove(place)
        elif as_json:
            sys.stdout.write(json.dumps(describe(find(place)), indent=2) + "\n")
        else:
            _print_one(find(place))
        return
    packages = available()
    for problem in broken():
        say(f"Left out: {problem}", err=True)
    if as_json:
        sys.stdout.write(json.dumps([describe(p) for p in packages], indent=2) + "\n")
        return
    if not packages:
        say("No model is installed; models are looked for in:")
        for folder in locations():
            say(f"  {folder}")
        return
    _print_table(packages)


def _search(words: str, index: str, as_json: bool) -> None:
    """List the packages of an index whose texts hold every word."""
    from SITTranslateLib.packages.index import read_index

    offered = read_index(index).search(words.split())
    if as_json:
        sys.stdout.write(json.dumps([asdict(entry) for entry in offered], indent=2) + "\n")
        return
    for entry in offered:
        contrasts = f"{entry.source} to {', '.join(entry.targets)}"
        say(f"{entry.name} {entry.version}  {entry.bytes / 1e6:.1f} MB  {entry.title} ({contrasts}; {entry.licence})")
    say("To add one: sittranslate models add NAME --index ADDRESS" if offered else "No model of the index matches.")


def _add(place: str, signed: bool, index: str | None) -> None:
    from SITTranslateLib.app.terminal import progress_bar
    from SITTranslateLib.packages.download import add_package
    from SITTranslateLib.packages.index import ENVIRONMENT, read_index

    sha256 = ""
    by_name = "://" not in place and not Path(place).exists()
    if index or (by_name and os.environ.get(ENVIRONMENT)):
        place, sha256 = read_index(index or "").place(place)
    with progress_bar("Getting the package") as report:
        added = add_package(
            place,
            require_signature=signed,
            card_sha256=sha256,
            progress=lambda name, there, whole: report(name, there / max(1, whole)),
        )
    card = added.package.card
    say(f"Added: {card.title} ({card.name} {card.version}, {added.package.bytes / 1e6:.1f} MB)")
    say(f"Signed by: {added.signer}" if added.signer else "Signed by nobody that you trust: who gave it to you?")
    say(f"sha256: {added.package.sha256}")


def describe(package: Package) -> dict[str, Any]:
    """A package as plain types."""
    plain = package.card.to_dict()
    return {
        "name": package.name,
        "version": package.card.version,
        "title": package.card.title,
        "system": package.card.system.name,
        "source": package.card.source,
        "targets": plain["targets"],
        "attributes": plain["attributes"],
        "licence": package.card.licence,
        "simulated": bool(package.card.training.get("simulated")),
        "intended_use": package.card.intended_use,
        "limits": plain["limits"],
        "bytes": package.bytes,
        "sha256": package.sha256,
        "figures": plain["figures"],
    }


def _remove(name: str) -> None:
    """Take away a model of the user's own; the bundled ones stay.

    Raises:
        InputError: no such model, or a bundled one.
    """
    package = find(name)
    own = [place.resolve() for place in locations() if place != shipped_folder()]
    if package.folder.resolve().parent not in own:
        raise InputError(f"The model '{package.name}' comes with the program and stays; only added ones are removed.")
    shutil.rmtree(package.folder)
    say(f"Removed: {package.card.title} ({package.name} {package.card.version})")


def _print_table(packages: list[Package]) -> None:
    """A line for each model."""
    named = [f"{package.name} {package.card.version}" for package in packages]
    width = max(map(len, named))
    for name, package in zip(named, packages, strict=True):
        say(f"{name:{width}}  {package.card.system.name:11}{package.bytes / 1e6:5.1f} MB  {package.card.title}")
    say("More about one: sittranslate models info NAME")


def _print_one(package: Package) -> None:
    """Everything that a user must know of a model before using it."""
    card = package.card
    say(f"{card.title} ({card.name} {card.version})")
    say(f"System: {card.system.name}; {', '.join(card.sources)} to {', '.join(card.targets)}")
    for a in card.offered:
        values = ", ".join(a.choices) if a.choices else f"{a.minimum:+g} to {a.maximum:+g} {a.unit}"
        say(f"  --set {a.name}=...  {values} (default {a.default:g}): {a.description}")
    simulated = "simulated scans: " if card.training.get("simulated") else ""
    say(f"Trained on: {simulated}{card.training.get('data', 'not said')}")
    say(f"Intended use: {card.intended_use}")
    for limit in card.limits:
        say(f"Limit: {limit}")
    for f in card.figures:
        baseline = "" if f.baseline is None else f" (identity {f.baseline:g})"
        say(f"Measured: {f.name} {f.value:g} {f.unit}{baseline}")
    say(f"Licence: {card.licence}")
    say(f"Cite: {card.citation}")
    say(f"{package.bytes / 1e6:.1f} MB, sha256 {package.sha256}: {package.folder}")
