"""``sittranslate reproduce``: a result made again from its sidecar and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import progress_bar, say, without_library_noise


def reproduce_result(
    sidecar: Annotated[Path, typer.Argument(help="provenance.json of a result, or the folder of the result.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Folder of the package, if it is not installed.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Label map that a prescribed change was made with.")
    ] = None,
) -> None:
    """Run the model again as the sidecar says and compare; the last line is the verdict, exit code 1 on FAIL."""
    from SITTranslateLib.translate.reproduction import reproduce

    with progress_bar("Reproducing") as report, without_library_noise():
        found = reproduce(sidecar, model=model, device=device, labels=labels, progress=report)
    for change in found.changed:
        say(f"Not as it was: {change}")
    say(found.verdict)
    if not found.passed:
        raise typer.Exit(1)
