"""``sittranslate models``: what is installed, and what each model can be asked."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from SITTranslateLib.packages import Package, available, broken, locations


def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list, for programs.")] = False,
) -> None:
    """List the installed models: system, attributes with their ranges, licence, size, measured figures."""
    packages = available()
    for problem in broken():
        typer.echo(f"Left out: {problem}", err=True)
    if as_json:
        sys.stdout.write(json.dumps([describe(p) for p in packages], indent=2, ensure_ascii=False) + "\n")
        return
    if not packages:
        typer.echo("No model is installed; models are looked for in:")
        for place in locations():
            typer.echo(f"  {place}")
        return
    _print_table(packages)


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

    table = Table(show_lines=True)
    for heading in ("model", "system", "from, to", "attributes", "licence", "size", "figures (doing nothing)"):
        table.add_column(heading, overflow="fold")
    for package in packages:
        card = package.card
        attributes = [f"{a.name} {a.minimum:+g} to {a.maximum:+g} {a.unit}" for a in card.attributes]
        figures = [
            f"{f.name} {f.value:g} {f.unit}" + (f" ({f.baseline:g})" if f.baseline is not None else "")
            for f in card.figures[:4]
        ]
        table.add_row(
            f"{card.name} {card.version}\n{card.title}",
            card.system.name,
            f"{card.source} to {', '.join(card.targets)}",
            "\n".join(attributes) or "none",
            card.licence,
            f"{package.bytes / 1e6:.1f} MB",
            "\n".join(figures),
        )
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)
