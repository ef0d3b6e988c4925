"""``sittranslate check``: verification of a result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import progress_bar, say, say_json, set_talk, without_library_noise
from SITTranslateLib.errors import InputError

#: Exit code by what a check concludes; 2 is that of bad input, as everywhere.
EXIT_CODES = {"PASS": 0, "FAIL": 1, "NO FIGURE": 3}


def check_result(
    folder: Annotated[Path, typer.Argument(help="The folder that `translate` wrote, or a sidecar (.json) of a batch.")],
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON, for programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing; the exit code is the verdict.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Progress as lines, also in a pipe.")] = False,
) -> None:
    """Check a result: compares its files with their hashes and computes it again from its parts.

    The last line is the verdict. Exit code 0: PASS. 1: FAIL. 2: no result, or it cannot be read. 3: NO FIGURE, where
    the model gave nothing that could be recomposed.
    """
    from SITTranslateLib.translate.verification import verify_result

    set_talk(quiet or as_json, verbose)
    if folder.is_file() and folder.suffix != ".json":
        raise InputError(
            f"'{folder.name}' is a scan, and 'check' is for results: the folder that 'translate' wrote. Whether a scan "
            "suits a model is told by 'translate'; where an image came from is told by 'trace SCAN IMAGE'."
        )
    with progress_bar("Checking"), without_library_noise():
        translation, found = verify_result(folder)
    say(f"Model: {translation.provenance.package} {translation.provenance.version}")
    say(f"Field: {translation.field_origin.value}")
    if found.recomposition is not None:
        say(f"Recomposition: {found.recomposition:.4g} of an intensity range of {found.intensity_range:.4g}")
    say(f"Recomposition against the network: {found.network_error:.4g}")
    if found.folded is not None:
        say(f"Folded voxels: {found.folded}")
        say(f"Inverse residual (p99): {found.inverse_residual_mm:.3g} mm")
        say(f"Largest motion: {found.largest_motion_mm:.3g} mm")
    if as_json:
        made = translation.provenance
        say_json({**asdict(found), "verdict": found.verdict, "passed": found.passed, "model": made.package,
                  "version": made.version, "field_origin": translation.field_origin.value})  # fmt: skip
    say(found.verdict)
    code = EXIT_CODES[found.status.value]
    if code:
        raise typer.Exit(code)
