"""``sittranslate translate``: scans, one model, a folder for each result."""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SITTranslateLib.app.holding import hold
from SITTranslateLib.app.label_maps import read_label_map
from SITTranslateLib.app.terminal import Stopwatch, progress_bar, say, say_json, set_talk, without_library_noise
from SITTranslateLib.errors import InputError
from SITTranslateLib.structure_table import StructureVolumes

if TYPE_CHECKING:
    from SITTranslateLib.dicom import SourceSeries
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.packages import Package
    from SITTranslateLib.traceability.table import SegmentRow, SegmentTable
    from SITTranslateLib.translate.model import LoadedModel
    from SITTranslateLib.translation import Translation
    from SITTranslateLib.volume import Volume


@dataclass(frozen=True)
class Wishes:
    """What is asked of every scan of a call."""

    package: Package
    request: dict[str, float]
    options: TranslationOptions
    frame: int | None
    strength: float | None
    segmentation: str | None
    names: Path | None
    dicom: bool
    fields: bool
    structures: bool
    overwrite: bool
    timing: bool


def translate_scan(
    scan: Annotated[
        list[str],
        typer.Argument(metavar="SCAN...", help="NIfTI, NRRD, MHA; DICOM folder, or a file of the series."),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of an installed model, or a folder.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the results, or one x.nii.gz."),
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Attribute, as age=+10; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 (less exact).")] = "float32",
    seed: Annotated[int, typer.Option(help="Of systems that draw random numbers.")] = 0,
    ensemble: Annotated[int, typer.Option(help="Answers for a map of uncertainty.")] = 1,
    strength: Annotated[float | None, typer.Option(help="The scan with this share of the change.")] = None,
    segmentation: Annotated[str | None, typer.Option(help="Label map of the scan: volumes before and after.")] = None,
    names: Annotated[Path | None, typer.Option(help="Names of its labels (CSV, TSV: label, name).")] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="A derived series with motion, segments, volumes.")] = False,
    fields: Annotated[bool, typer.Option("--fields/--no-fields", help="Motion, sampling, velocity.")] = True,
    structures: Annotated[
        bool, typer.Option("--structures/--no-structures", help="Volumes of structures (1.2 CPU-s).")
    ] = True,
    frame: Annotated[int | None, typer.Option(help="Which image of a 4D file, from 0.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Translate a scan that does not suit the model.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="Say seconds and peak memory at the end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was made as JSON, for programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Progress as lines, also in a pipe.")] = False,
) -> None:
    """Translate scans: translated scan, motion, intensity change, record.

    Exit code 0: done; 2: a scan cannot be used; 130, 143: stopped.
    """
    set_talk(quiet or as_json, verbose)
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.packages import find
    from SITTranslateLib.translate.request import checked_request, parse_settings

    # Everything that can be refused is refused before the scan is read and the network imported.
    if strength is not None and not -2 <= strength <= 2:
        raise InputError(f"--strength {strength:g} is out of range: it goes from -2 to 2.")
    options = TranslationOptions(device, seed, precision, ensemble, force)
    places = _places(_expanded(scan), out, overwrite, bool(strength is not None or segmentation or dicom))
    package = find(model)
    request = checked_request(package.card, parse_settings(settings or []))
    wishes = Wishes(
        package,
        dict(request),
        options,
        frame,
        strength,
        segmentation,
        names,
        dicom,
        fields,
        structures,
        overwrite,
        timing,
    )
    if len(places) == 1:
        ((only, place),) = places.items()
        made = _translate(only, place, package, wishes)
        if as_json:
            say_json(made)
        return
    from SITTranslateLib.translate.model import load_model

    loaded, found, failed = load_model(package, device), [], 0
    for one, place in places.items():
        try:
            found.append(_translate(one, place, loaded, wishes))
        except InputError as error:
            failed += 1
            found.append({"scan": one, "error": str(error)})
            say(f"{Path(one).name}: {error}", err=True, always=True)
    say(f"{len(places) - failed} of {len(places)} scans translated: {out}")
    if as_json:
        say_json(found)
    if failed:
        raise typer.Exit(2)


def _expanded(scans: list[str]) -> list[str]:
    """Patterns that the shell left as they are (Windows, quotes) as the files that they mean."""
    found: list[str] = []
    for scan in scans:
        pattern = any(sign in scan for sign in "*?[") and not Path(scan).exists()
        matches = sorted(glob.glob(scan)) if pattern else [scan]  # noqa: PTH207 (patterns may be absolute)
        if not matches:
            raise InputError(f"No file matches '{scan[:200]}'.")
        found += matches
    return list(dict.fromkeys(found))


def _places(scans: list[str], out: Path, overwrite: bool, more: bool) -> dict[str, Path]:
    """Where the result of each scan goes, each of them free.

    Raises:
        InputError: one that is in use, or a file for what needs a folder.
    """
    from SITTranslateLib.files.writing import SCAN_ENDINGS
    from SITTranslateLib.translate.saving import claim

    if out.name.lower().endswith(SCAN_ENDINGS) and not out.is_dir():
        if len(scans) > 1 or more:
            raise InputError(f"'{out.name}' is one file; for several scans, parts or DICOM give a folder with --out.")
        if out.exists() and not overwrite:
            raise InputError(f"'{out.name}' exists; give another name, or replace it with --overwrite.")
        if not out.absolute().parent.is_dir():
            raise InputError(f"The folder '{out.absolute().parent.name}' for '{out.name}' does not exist; make it.")
        return {scans[0]: out}
    places: dict[str, Path] = {}
    for scan in scans:
        name = Path(scan).name.split(".")[0] or "scan"
        same = sum(place.name == name or place.name.startswith(f"{name}_") for place in places.values())
        places[scan] = out if len(scans) == 1 else out / (f"{name}_{same + 1}" if same else name)
    for place in places.values():
        hold(claim(place, overwrite))
    return places


def _translate(scan: str, place: Path, model: Package | LoadedModel, wishes: Wishes) -> dict[str, Any]:
    """Translate one scan, write and describe it."""
    watch = Stopwatch()
    from SITTranslateLib.files import read_volume
    from SITTranslateLib.files.notes import note_of, says_synthetic
    from SITTranslateLib.traceability.label_names import read_label_names

    with without_library_noise():
        volume = read_volume(scan, frame=wishes.frame)
        synthetic = Path(scan).is_file() and says_synthetic(note_of(Path(scan)))
        labels = read_label_map(wishes.segmentation)
        label_names = {} if wishes.names is None else read_label_names(wishes.names)
        source = None
        if wishes.dicom:
            from SITTranslateLib.dicom import SourceSeries

            source = SourceSeries.of(scan, volume.grid)

    if synthetic:
        say("Warning: this scan is synthetic: a translation of it says nothing about a patient.", err=True)
    from SITTranslateLib.traceability.segments import segment_table
    from SITTranslateLib.translate.pipeline import translate
    from SITTranslateLib.translate.saving import save_translation
    from SITTranslateLib.translate.verification import verify

    table: SegmentTable | None = None
    with progress_bar("Translating") as report:
        result = translate(
            volume, model, options=wishes.options, progress=report, attributes=dict(wishes.request)
        )  # fmt: skip
        report("checking", 0.95)
        verdict = verify(result).verdict
        if labels is not None:
            table = segment_table(result, labels, label_names)
        segments = (labels, label_names, [] if table is None else list(table.rows))
        if wishes.structures:
            report("finding the structures", 0.96)
            if source is not None and labels is None:
                # First, since it finds the volumes of the same structures with them.
                segments = _found_segments(result, source)
            found = result.structures
        else:
            found = StructureVolumes(note="Left out (--no-structures).")
        report("writing", 0.97)
        computed = watch.report()

        def also(folder: Path) -> None:
            if table is not None:
                table.to_csv(folder / "segments.csv")
            if source is not None:
                from SITTranslateLib.dicom import write_dicom

                with without_library_noise():
                    write_dicom(result, source, folder / "dicom", *segments)

        if place.suffix in (".gz", ".nii", ".nrrd", ".mha") and not place.is_dir():
            files = _write_file(result, place)
        else:
            kept = result
            if not wishes.fields:
                known = result.known_structures
                kept = replace(result, velocity=None, motion=None, sampling=None, given_structures=known)
            folder = save_translation(
                kept, place, overwrite=wishes.overwrite, strength=wishes.strength, also=also
            )  # fmt: skip
            files = [*sorted(folder.iterdir()), *sorted((folder / "dicom").glob("*"))]
    _describe(result, wishes, files, table, found, verdict)
    if wishes.timing:
        say(f"{computed} (computing)", err=True)
        say(f"{watch.report()} (with writing)", err=True)
    return {
        "scan": scan,
        "out": str(place),
        "files": [str(file) for file in files],
        "field_origin": result.field_origin.value,
        "recomposition_error": result.recomposition_error,
        "verdict": verdict,
        "provenance": result.provenance.to_dict(),
        "structures": found.to_dict()["rows"],
        "segments": [] if table is None else [row.to_dict() for row in table.rows],
    }


def _found_segments(
    result: Translation, source: SourceSeries
) -> tuple[Volume | None, dict[int, str], list[SegmentRow]]:
    """Segments for DICOM where none were given: the structures of the source; none where they cannot be had."""
    from SITTranslateLib.dicom.source import require_segments
    from SITTranslateLib.translate.structures import structure_segments

    try:
        require_segments(source)
        return structure_segments(result)
    except InputError as error:
        say(f"Warning: without DICOM segments. {error}", err=True)
        return None, {}, []


def _describe(
    result: Translation,
    wishes: Wishes,
    files: list[Path],
    table: SegmentTable | None,
    structures: StructureVolumes,
    verdict: str,
) -> None:
    """What was made, what changed, and the verdict in the last line."""
    from SITTranslateLib.translate.saving import extra_files

    card = wishes.package.card
    say(f"{card.title} ({card.name} {card.version}): {card.said(wishes.request)}")
    for sentence in result.provenance.forced:
        say(f"Forced although: {sentence}", err=True)
    for sentence in result.provenance.warnings:
        say(f"Warning: {sentence}", err=True)
    say(f"Field: {result.field_origin.value}; recomposition error {result.recomposition_error:.3g} native units")
    named = {file: f": {name}" for name, file in extra_files(result.extras).items()}
    for file in files:
        say(f"  {file}{named.get(file.name, '')}")
    if wishes.options.ensemble > 1:
        from SITTranslateLib.translate.uncertainty import summary

        say(summary({name: volume.array for name, volume in result.extras.items()}))
    if structures:
        say(f"Volumes of structures. {structures.note}")
        say(structures.to_text())
    for row in [] if table is None else table.rows:
        if row.change_percent is not None and row.volume_before_mm3:
            before, after = row.volume_before_mm3 / 1000, (row.volume_after_mm3 or 0.0) / 1000
            say(f"  {row.name[:32]:32} {before:8.2f} to {after:8.2f} mL ({row.change_percent:+.1f} %)")
    say(verdict)


def _write_file(result: Translation, file: Path) -> list[Path]:
    """The translated scan as the file that was asked for, and beside it where it came from (``.json``)."""
    from SITTranslateLib.files import write_volume
    from SITTranslateLib.translate.saving import note_on, sidecar

    write_volume(result.translated, file, note_on(result))
    about = sidecar(result)
    about["SITTranslate"] = {"provenance": about["SITTranslate"]["provenance"]}
    beside = file.with_name(file.name.removesuffix(".gz").rsplit(".", 1)[0] + ".json")
    beside.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [file, beside]
