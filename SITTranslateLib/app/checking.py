"""``sittranslate check``: is a result what it says?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import progress_bar, say, without_library_noise


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
    say(f"Model: {translation.provenance.package} {translation.provenance.version}")
    say(f"Field: {translation.field_origin.value}")
    if found.recomposition is not None:
        say(f"Recomposition: {found.recomposition:.4g} of an intensity range of {found.intensity_range:.4g}")
    say(f"Recomposition against the network: {found.network_error:.4g}")
    if found.folded is not None:
        say(f"Folded voxels: {found.folded}")
        say(f"Inverse residual (p99): {found.inverse_residual_mm:.3g} mm")
        say(f"Largest motion: {found.largest_motion_mm:.3g} mm")
    say(found.verdict)
    if not found.passed:
        raise typer.Exit(1)
