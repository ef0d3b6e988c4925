"""``sittranslate prescribe``: one scan, its structures, a table of changes, one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.holding import hold
from SITTranslateLib.app.terminal import progress_bar, say, without_library_noise


def prescribe_scan(
    scan: Annotated[str, typer.Argument(help="NIfTI, NRRD or MHA file, DICOM folder, or one DICOM file of a series.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result; made in one go at the end.")],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            help="Its structures in FreeSurfer's numbers (aseg), any grid; found if not given.",
        ),
    ] = None,
    changes: Annotated[
        Path | None, typer.Option("--changes", "-c", help="TOML file with [changes], [rates] and years.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="One change, as 'left hippocampus=-8 %' or 'ventricles=+6 mL'; repeatable."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="healthy-ageing, alzheimer, ms or ventricles.")] = None,
    age: Annotated[float | None, typer.Option(help="At the scan, years; for healthy-ageing.")] = None,
    years: Annotated[float | None, typer.Option(help="Of a preset or of rates; negative for earlier.")] = None,
    lesions: Annotated[
        str | None, typer.Option(help="White-matter lesions to add, as +10mL, or to remove, as -2mL (T1w, T2w, FLAIR).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the lesions' sites, sizes and shapes.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
) -> None:
    """Change the volumes of structures as prescribed: the motion that does it, and the scan after it."""
    from SITTranslateLib.errors import InputError
    from SITTranslateLib.files import read_volume
    from SITTranslateLib.systems.prescribed.changes import read_table
    from SITTranslateLib.translate.prescribing import prescribe
    from SITTranslateLib.translate.request import parse_settings
    from SITTranslateLib.translate.saving import claim, save_translation

    hold(claim(out, overwrite))
    table: dict[str, object] | None = None
    if changes is not None:
        read = read_table(changes)
        table, years = dict(read.changes), years if years is not None else read.years
    if settings:
        table = (table or {}) | dict(parse_settings(settings))
    if (table is not None and preset is not None) or (table is None and preset is None and lesions is None):
        raise InputError("Give what to change: a file by --changes, or --set, or else a --preset; or --lesions.")
    with without_library_noise():
        volume = read_volume(scan)
    with progress_bar("Prescribing") as report:
        result = prescribe(
            volume,
            labels,
            changes=table,
            preset=preset,
            age=age,
            years=years,
            lesions=lesions,
            seed=seed,
            progress=report,
        )
        folder = save_translation(result, out, overwrite=overwrite)
    if result.structures:
        say(result.structures.to_text())
    if "lesions" in result.provenance.attributes:
        say(f"Lesions: {result.provenance.attributes['lesions']:+.2f} mL above half of a lesion's contrast")
    for sentence in result.provenance.warnings:
        say(f"Warning: {sentence}", err=True)
    say(f"Written to {folder}")
