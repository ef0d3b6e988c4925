"""``sittranslate translate``: one scan, one model, one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.holding import hold
from SITTranslateLib.app.label_maps import read_label_map
from SITTranslateLib.app.terminal import Stopwatch, progress_bar, say, without_library_noise


def translate_scan(
    scan: Annotated[str, typer.Argument(help="NIfTI, NRRD or MHA file, DICOM folder, or one DICOM file of a series.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of an installed model, or the folder of one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result; made in one go at the end.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Attribute to ask for, as age=+10; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="Of the network: float32, or bfloat16 (faster, a little off).")
    ] = "float32",
    seed: Annotated[int, typer.Option(help="Of systems that draw random numbers.")] = 0,
    ensemble: Annotated[
        int,
        typer.Option(help="Answers that a map of uncertainty is made of: other seeds, or the scan mirrored and moved."),
    ] = 1,
    strength: Annotated[
        float | None, typer.Option(help="Also write the scan with this share of the change (0.5: half of it).")
    ] = None,
    segmentation: Annotated[
        str | None, typer.Option(help="Label map of the scan: the volumes before and after, in segments.csv.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="Names of its labels: a table with the columns label and name (CSV or TSV).")
    ] = None,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Of a DICOM scan: also a derived series, its motion, segments, volumes.")
    ] = False,
    frame: Annotated[int | None, typer.Option(help="Which image of a 4D file, from 0.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Translate a scan that does not suit the model.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="Say seconds and peak memory at the end.")] = False,
) -> None:
    """Translate a scan: writes the translated scan, the motion, the intensity change and where they come from."""
    watch = Stopwatch()
    from SITTranslateLib.errors import InputError
    from SITTranslateLib.files import read_volume
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.packages import find
    from SITTranslateLib.traceability.label_names import read_label_names
    from SITTranslateLib.translate.request import checked_request, parse_settings
    from SITTranslateLib.translate.saving import claim, extra_files, save_translation

    # Everything that can be refused is refused before the scan is read and the network imported.
    if strength is not None and not -2 <= strength <= 2:
        raise InputError(f"--strength {strength:g} is out of range: it goes from -2 to 2.")
    options = TranslationOptions(device, seed, precision, ensemble, force)
    hold(claim(out, overwrite))
    package = find(model)
    request = checked_request(package.card, parse_settings(settings or []))
    with without_library_noise():
        volume = read_volume(scan, frame=frame)
        labels = read_label_map(segmentation)
        label_names = {} if names is None else read_label_names(names)
        source = None
        if dicom:
            from SITTranslateLib.dicom import SourceSeries

            source = SourceSeries.of(scan, volume.grid)

    from SITTranslateLib.traceability.segments import segment_table
    from SITTranslateLib.translate.pipeline import translate

    with progress_bar("Translating") as report:
        result = translate(
            volume,
            package,
            options=options,
            progress=report,
            attributes=dict(request),
        )
        report("writing", 0.97)
        computed = watch.report()

        def also(place: Path) -> None:
            table = None if labels is None else segment_table(result, labels, label_names)
            if table is not None:
                table.to_csv(place / "segments.csv")
            if source is not None:
                from SITTranslateLib.dicom import write_dicom

                rows = [] if table is None else list(table.rows)
                write_dicom(result, source, place / "dicom", labels, label_names, rows)

        folder = save_translation(result, out, overwrite=overwrite, strength=strength, also=also)
    say(f"{package.card.title} ({package.name} {package.card.version}): {package.card.said(request)}")
    for sentence in result.provenance.forced:
        say(f"Forced although: {sentence}", err=True)
    for sentence in result.provenance.warnings:
        say(f"Warning: {sentence}", err=True)
    say(f"Field: {result.field_origin.value}; recomposition error {result.recomposition_error:.3g} native units")
    named = {file: f": {name}" for name, file in extra_files(result.extras).items()}
    for file in sorted(folder.iterdir()):
        say(f"  {file}{named.get(file.name, '')}")
    for file in sorted((folder / "dicom").glob("*")):
        say(f"  {file}")
    if ensemble > 1:
        from SITTranslateLib.translate.uncertainty import summary

        say(summary({name: volume.array for name, volume in result.extras.items()}))
    if timing:
        say(f"{computed} (computing)", err=True)
        say(f"{watch.report()} (with writing)", err=True)
