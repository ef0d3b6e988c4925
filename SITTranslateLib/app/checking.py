"""``sittranslate check``: is a result what it says?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import progress_bar, without_library_noise


def check_result(
    folder: Annotated[Path, typer.Argument(help="The folder that `translate` wrote, or a sidecar (.json) of a batch.")],
) -> None:
    """Check a result: computes it again from its parts; the last line is the verdict, exit code 1 on FAIL."""
    from SITTranslateLib.translate.saving import read_translation
    from SITTranslateLib.translate.verification import verify

    with without_library_noise():
        translation = read_translation(folder)
    with progress_bar("Checking"):
        found = verify(translation)
    typer.echo(f"Model: {translation.provenance.package} {translation.provenance.version}")
    typer.echo(f"Field: {translation.field_origin.value}")
    if found.recomposition is not None:
        typer.echo(f"Recomposition: {found.recomposition:.4g} of an intensity range of {found.intensity_range:.4g}")
    typer.echo(f"Recomposition against the network: {found.network_error:.4g}")
    if found.folded is not None:
        typer.echo(f"Folded voxels: {found.folded}")
        typer.echo(f"Inverse residual (p99): {found.inverse_residual_mm:.3g} mm")
        typer.echo(f"Largest motion: {found.largest_motion_mm:.3g} mm")
    typer.echo(found.verdict)
    if not found.passed:
        raise typer.Exit(1)
