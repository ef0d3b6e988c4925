"""``sittranslate models``: what is installed, what each model can be asked, and adding another."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from SITTranslateLib.app.terminal import say
from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import printable
from SITTranslateLib.packages import Package, available, broken, locations


def list_models(
    action: Annotated[
        str | None, typer.Argument(metavar="[add]", help="'add' gets a package; without it they are listed.")
    ] = None,
    place: Annotated[
        str | None, typer.Argument(metavar="[PATH_OR_URL]", help="Folder of a package, or its https address.")
    ] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Add only what a key that you trust has signed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list, for programs.")] = False,
) -> None:
    """List the installed models: system, attributes with their ranges, licence, size, measured figures; or add one.

    Nothing is ever looked up on a network unless an address is given to `add`.
    """
    if action is not None:
        if action != "add" or place is None:
            raise InputError(
                "Write 'sittranslate models' to list them, 'sittranslate models add PATH_OR_URL' to add one."
            )
        _add(place, signed)
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


def _add(place: str, signed: bool) -> None:
    from SITTranslateLib.app.terminal import progress_bar
    from SITTranslateLib.packages.download import add_package

    with progress_bar("Getting the package") as report:
        added = add_package(
            place, require_signature=signed, progress=lambda name, there, whole: report(name, there / max(1, whole))
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


def _print_table(packages: list[Package]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for heading in ("model", "system", "from, to", "attributes", "licence", "size", "figures (doing nothing)"):
        table.add_column(heading, overflow="fold")
    for package in packages:
        card = package.card
        attributes = [
            f"{a.name}: {', '.join(a.choices)}" if a.choices else f"{a.name} {a.minimum:+g} to {a.maximum:+g} {a.unit}"
            for a in card.attributes
        ]
        figures = [
            f"{f.name} {f.value:g} {f.unit}" + (f" ({f.baseline:g})" if f.baseline is not None else "")
            for f in card.figures[:4]
        ]
        table.add_row(
            *(
                # Text, not str: a card is no markup.
                Text(printable(cell, keep="\n"))
                for cell in (
                    f"{card.name} {card.version}\n{card.title}",
                    card.system.name,
                    f"{', '.join(card.sources)} to {', '.join(card.targets)}",
                    "\n".join(attributes) or "none",
                    card.licence,
                    f"{package.bytes / 1e6:.1f} MB",
                    "\n".join(figures),
                )
            )
        )
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)
