"""``sittranslate export``: the motion of a result for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import say, without_library_noise


def export_transform(
    result: Annotated[Path, typer.Argument(help="The folder that `translate` or `trace` wrote, or a sidecar.")],
    file: Annotated[
        Path, typer.Argument(help="x.h5, x.tfm: an ITK composite; x_Warp.nii.gz, x.nrrd: a field as ANTs writes it.")
    ],
    inverse: Annotated[
        bool, typer.Option("--inverse", help="The way back: brings the translated scan, or its labels, to the source.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier file.")] = False,
) -> None:
    """Write the motion of a result as a transform for SimpleITK, ANTs, Slicer and others."""
    from SITTranslateLib.errors import InputError
    from SITTranslateLib.files.transforms import write_transform
    from SITTranslateLib.translate.saving import read_translation

    if file.exists() and not overwrite:
        raise InputError(f"'{file.name}' exists; give another name, or replace it with --overwrite.")
    with without_library_noise():
        translation = read_translation(result)
        field = translation.motion if inverse else translation.sampling
        if field is None:
            raise InputError("This result moves nothing, so there is no transform to write.")
        write_transform(field, file)
    goes = "translated scan to source" if inverse else "source to translated scan"
    say(f"Written: {file} (resamples the {goes})")
