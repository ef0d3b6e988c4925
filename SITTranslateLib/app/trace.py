"""``sittranslate trace``: the motion and intensity change between any pair of scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SITTranslateLib.app.holding import hold
from SITTranslateLib.app.label_maps import read_label_map as _labels
from SITTranslateLib.app.terminal import progress_bar, say, say_json, set_talk, without_library_noise
from SITTranslateLib.structure_table import StructureVolumes

if TYPE_CHECKING:
    from SITTranslateLib.scene.headless.pictures import Outlines
    from SITTranslateLib.traceability.tracing import PairTrace
    from SITTranslateLib.volume import Grid, VectorField, Volume


def trace(
    source: Annotated[str, typer.Argument(help="The scan before: NIfTI, NRRD, MHA or DICOM.")],
    translated: Annotated[str, typer.Argument(help="What was made of it, or a second scan.")],
    segmentation: Annotated[
        str | None, typer.Option("--segmentation", "-s", help="Label map of the source: segment table.")
    ] = None,
    translated_segmentation: Annotated[str | None, typer.Option(help="Of the translated image: Dice and HD95.")] = None,
    names: Annotated[Path | None, typer.Option(help="Names of the labels (CSV, TSV: label, name).")] = None,
    points: Annotated[Path | None, typer.Option(help="Landmarks: Slicer markups or CSV label,r,a,s.")] = None,
    contrasts: Annotated[str | None, typer.Option(help="Both, as T1w,T2w: the noise floor of just these.")] = None,
    transform: Annotated[
        list[Path] | None,
        typer.Option(
            "--transform",
            "-t",
            help="The motion by another program (ANTs, ITK, Greedy, FreeSurfer, DICOM), not estimated; "
            "repeatable, in the order of antsApplyTransforms.",
        ),
    ] = None,
    finer: Annotated[
        bool, typer.Option("--finer", help="Estimate the motion at 1 mm instead of 2: for scans of that resolution.")
    ] = False,
    structures: Annotated[
        bool, typer.Option("--structures/--no-structures", help="Find volumes of structures (1.2 CPU-seconds).")
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for fields, tables and report.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Table and verdict as JSON, for programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Progress as lines, also in a pipe.")] = False,
) -> None:
    """Trace any pair of images: estimated motion with its floor, what the source does not explain, a verdict."""
    from SITTranslateLib.errors import InputError
    from SITTranslateLib.files import read_volume
    from SITTranslateLib.traceability.label_names import read_label_names
    from SITTranslateLib.translate.saving import claim

    set_talk(quiet or as_json, verbose)
    if out is not None:
        hold(claim(out, overwrite))
    if finer and transform:
        raise InputError("--finer is for an estimated motion, and --transform gives one: leave one of them out.")
    pair_of_contrasts = None
    if contrasts is not None:
        parts = [part.strip() for part in contrasts.split(",")]
        if len(parts) != 2 or not all(parts):
            raise InputError(f"--contrasts takes two names with a comma between, as T1w,T2w, not '{contrasts}'.")
        pair_of_contrasts = (parts[0], parts[1])
    with without_library_noise():
        scans = [read_volume(path) for path in (source, translated)]
        given = _given(transform or [], scans[0].grid)
        labels, other_labels = (_labels(path) for path in (segmentation, translated_segmentation))

    from SITTranslateLib.traceability.landmarks import read_landmarks
    from SITTranslateLib.traceability.tracing import trace_pair

    with progress_bar("Tracing") as report:
        found = trace_pair(
            scans[0],
            scans[1],
            labels,
            None if names is None else read_label_names(names),
            translated_labels=other_labels,
            landmarks=None if points is None else read_landmarks(points),
            contrasts=pair_of_contrasts,
            sampling=given,
            finer=finer,
            device=device,
            progress=report,
        )
        volumes = found.translation.structures if structures else StructureVolumes()
        folder = None if out is None else _write(found, labels, out, overwrite)
    if as_json:
        say_json(
            found.to_dict()
            | {"structures": volumes.to_dict()["rows"], "folder": None if folder is None else str(folder)}
        )
    whole = found.table.whole
    by = "estimated" if given is None else "given by " + ", ".join(path.name for path in transform or [])
    say(f"Field: {by}, {found.kind}")
    say(found.floor_sentence())
    say(f"Motion: {whole['motion_mean_mm']:.2f} mm on average, {whole['motion_p95_mm']:.2f} mm (95 %)")
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.identity.shares.items())
    say(f"Variance explained: {shares}")
    say(f"Not explained by the source: {whole['unexplained_percent']:.2g} % of the voxels")
    if volumes:
        say(f"Volumes of structures. {volumes.note}")
        say(volumes.to_text())
    for row in found.table.rows:
        change = "   -   " if row.change_percent is None else f"{row.change_percent:+6.1f} %"
        motion = "  -  " if row.motion_mean_mm is None else f"{row.motion_mean_mm:5.2f} mm"
        say(f"  {row.name[:32]:32} {change}  {motion}  {row.verdict}: {row.note or row.reason}")
    for point in found.points:
        place = ", ".join(f"{value:.1f}" for value in point.translated)
        say(f"  {point.label}: {place}" if point.traceable else f"  {point.label}: {point.reason}")
    if folder is not None:
        say(f"Written: {folder}")
    say(f"Verdict: {found.table.verdict} ({'; '.join(found.table.reasons)})")


def _given(paths: list[Path], grid: Grid) -> VectorField | None:
    """The sampling field of the transforms that were given."""
    from SITTranslateLib.files.dicom import is_dicom
    from SITTranslateLib.files.transforms import read_transform

    if len(paths) == 1 and paths[0].is_file() and is_dicom(paths[0]):
        from SITTranslateLib.dicom import read_registration

        return read_registration(paths[0])
    return read_transform(paths, grid) if paths else None


def _write(found: PairTrace, labels: Volume | None, out: Path, overwrite: bool) -> Path:
    """Scans, fields, tables, pictures and report in one folder; where nothing can be drawn the report says why."""
    from SITTranslateLib.report.trace_page import write_trace_report
    from SITTranslateLib.scene.headless.opengl import opengl_missing
    from SITTranslateLib.translate.saving import save_translation

    def also(place: Path) -> None:
        found.write_tables(place)
        pictures, missing = [], _slicer_missing() or opengl_missing()
        if not missing:
            from SITTranslateLib.scene.headless.pair_pictures import PairStudio

            (place / "pictures").mkdir()
            extras = found.identity
            with (
                without_library_noise(),
                PairStudio(found.translation, extras.unexplained, extras.residual, _outlines(found, labels)) as studio,
            ):
                pictures = studio.draw(place / "pictures")
        write_trace_report(place / "report.html", found, pictures, missing)

    return save_translation(found.translation, out, overwrite=overwrite, also=also)


def _slicer_missing() -> str:
    from importlib.util import find_spec

    if find_spec("slicer") is not None:
        return ""
    return "No pictures: slicer-core is not installed here (pip install 'sittranslate[scene]')."


def _outlines(found: PairTrace, labels: Volume | None) -> Outlines | None:
    """The segment that changed most, among those with a volume on both sides, to be looked at closely."""
    from SITTranslateLib.scene.headless.pictures import Outlines

    rows = [row for row in found.table.rows if row.change_percent is not None and row.voxels >= 200]
    if labels is None or not rows or not labels.grid.matches(found.translation.source.grid):
        return None
    row = max(rows, key=lambda r: (abs(r.change_percent or 0.0), -r.label))
    return Outlines(labels, {row.label: row.name}, row.label)
