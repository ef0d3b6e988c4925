"""One scan of a batch: translated in its own process, written completely or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import time
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from SITTranslateLib.app.batch.names import ResultNames, path_from
from SITTranslateLib.app.batch.scans import Scan
from SITTranslateLib.errors import InputError
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.structure_table import StructureVolumes

if TYPE_CHECKING:
    from SITTranslateLib.translate.model import LoadedModel
    from SITTranslateLib.translate.verification import Verification
    from SITTranslateLib.translation import Translation

#: Hidden folder in the output; each running batch has a folder in it, for results that are being written.
WORK_FOLDER = ".sittranslate"


@dataclass(frozen=True)
class Settings:
    """What is the same for all scans of a batch; ``request`` in each attribute's own unit."""

    model: str
    model_sha256: str
    request: tuple[tuple[str, float], ...]
    options: TranslationOptions = field(default_factory=TranslationOptions)
    fields: bool = True
    structures: bool = True
    threads: int = 1

    def of_result(self) -> dict[str, Any]:
        """Those that decide what comes out; a result made with others is another result."""
        return (
            {
                "model_sha256": self.model_sha256,
                "request": dict(self.request),
                "seed": self.options.seed,
                "precision": self.options.precision,
                "fields": self.fields,
                # Only where they are not the default, so that results of earlier versions count.
            }
            | ({} if self.options.ensemble == 1 else {"ensemble": self.options.ensemble})
            | ({} if self.structures else {"structures": False})
        )


@dataclass(frozen=True)
class Job:
    """One scan (or one frame of it) to translate into ``out``; plain data, so that it travels to any process.

    ``ticket`` names the batch's own hidden folder in the output: a machine that does not find it has other files.
    """

    scan: Scan
    names: ResultNames
    settings: Settings
    out: Path
    ticket: str

    @property
    def id(self) -> str:
        return self.names.stem

    @property
    def folder(self) -> Path:
        return self.out / self.scan.name.folder

    @property
    def work_folder(self) -> Path:
        return self.out / WORK_FOLDER / self.ticket

    @property
    def sidecar(self) -> Path:
        return self.folder / f"{self.id}.json"


@dataclass(frozen=True)
class Record:
    """What became of a job. ``status``: ``done``, ``already done``, ``failed`` or ``not run``; the rest as measured.

    ``translated`` is the translated scan's file, relative to the output; empty where there is none. ``volumes_ml`` are
    volumes before and after by structure, ``structures`` the most important of them in words.
    """

    id: str
    source: str
    frame: int | None
    status: str
    reason: str = ""
    verdict: str = ""
    field_origin: str = ""
    warnings: str = ""
    recomposition_percent: float | None = None
    folded_voxels: int | None = None
    largest_motion_mm: float | None = None
    mean_change: float | None = None
    seconds: float | None = None
    worker: str = ""
    translated: str = ""
    structures: str = ""
    volumes_ml: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def failed(cls, job: Job, reason: str, status: str = "failed") -> Record:
        return cls(job.id, job.scan.relative, job.scan.frame, status, reason)


def run_job(job: Job) -> Record:
    """Translate the scan of a job unless its result stands; what goes wrong is the record's reason, never raised.

    Can be called again at any time and by several processes: results are written aside and moved into place, the
    sidecar last.
    """
    started = time.perf_counter()
    try:
        if not job.work_folder.is_dir():
            raise InputError(
                f"The worker on '{socket.gethostname()}' does not see the folder for the results; "
                "a cluster's workers need the same file system."
            )
        found = finished(job)
        if found is not None:
            return found
        if _is_anothers(job):
            raise InputError(
                f"'{job.sidecar.name}' was made with other settings or of another scan; give --overwrite or --desc."
            )
        translation, verification = _translated(job)
        record = _record(job, translation, verification, time.perf_counter() - started)
        _write(job, translation, record)
        return record
    except InputError as error:
        return Record.failed(job, str(error))
    except MemoryError:
        return Record.failed(job, "This machine has not enough memory for it; use fewer workers.")
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        return Record.failed(job, f"Unexpected error ({type(error).__name__}): {text}")


def finished(job: Job) -> Record | None:
    """The record of a result that stands: same settings, same scan, all its files of the size they were written."""
    try:
        about = _about(job)
        files = about["files"].values()
        whole = all((job.folder / f["file"]).stat().st_size == f["bytes"] for f in files if "bytes" in f)
        if whole and _is_for(about["batch"], job):
            return Record(**{**about["batch"]["record"], "status": "already done"})
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _is_anothers(job: Job) -> bool:
    """Whether a result of that name stands that this job must not replace; a damaged one may be replaced."""
    try:
        return not _is_for(_about(job)["batch"], job)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _about(job: Job) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(job.sidecar.read_text(encoding="utf-8"))["SITTranslate"]
    return about


def _is_for(kept: dict[str, Any], job: Job) -> bool:
    settings = json.loads(json.dumps(job.settings.of_result()))
    return bool(kept["settings"] == settings) and _same_source(kept["source"], job.scan.path)


def remove_result(job: Job) -> None:
    """Take a result away, the sidecar first, so that what is left of it never counts as done."""
    try:
        job.sidecar.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"'{job.sidecar.name}' cannot be replaced: the folder is read-only.") from error


def source_of(path: Path) -> dict[str, Any]:
    """What tells whether a scan is still the same: its size, its date, its sha256 (of a folder, of its files)."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    digest = sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return {
        "bytes": sum(s.st_size for s in stats),
        "modified_ns": max((s.st_mtime_ns for s in stats), default=0),
        "sha256": digest.hexdigest(),
    }


def _same_source(kept: dict[str, Any], path: Path) -> bool:
    if path.is_file():
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) == (kept["bytes"], kept["modified_ns"]):
            return True
        if stat.st_size != kept["bytes"]:
            return False
    return bool(source_of(path)["sha256"] == kept["sha256"])


def _translated(job: Job) -> tuple[Translation, Verification]:
    import torch

    from SITTranslateLib.files import read_volume
    from SITTranslateLib.translate.pipeline import translate
    from SITTranslateLib.translate.verification import verify

    settings = job.settings
    # No more than OMP_NUM_THREADS allows.
    torch.set_num_threads(min(settings.threads, torch.get_num_threads()))
    volume = read_volume(job.scan.path, frame=job.scan.frame)
    translation = translate(
        volume,
        _model(settings.model, settings.model_sha256, settings.options.device),
        options=settings.options,
        attributes=dict(settings.request),
    )
    if settings.structures:
        # Kept with the translation, for its sidecar and the record.
        _ = translation.structures
    return translation, verify(translation)


@lru_cache(maxsize=1)
def _model(folder: str, wanted: str, device: str) -> LoadedModel:
    """The model, loaded once a process."""
    from SITTranslateLib.packages import find
    from SITTranslateLib.translate.model import load_model

    package = find(Path(folder))
    if package.sha256 != wanted:
        raise InputError(f"The model '{package.name}' is not the one that this batch was started with.")
    return load_model(package, device)


def _record(job: Job, translation: Translation, verification: Verification, seconds: float) -> Record:
    change = translation.translated.array - translation.source.array
    found = translation.known_structures or StructureVolumes()
    return Record(
        id=job.id,
        source=job.scan.relative,
        frame=job.scan.frame,
        status="done",
        verdict=verification.verdict,
        field_origin=translation.field_origin.value,
        warnings=" ".join((*translation.provenance.forced, *translation.provenance.warnings)),
        recomposition_percent=round(100 * verification.network_error / verification.intensity_range, 6),
        folded_voxels=verification.folded,
        largest_motion_mm=None if verification.largest_motion_mm is None else round(verification.largest_motion_mm, 4),
        mean_change=float(f"{abs(change).mean():.5g}"),
        seconds=round(seconds, 2),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        translated=(job.folder / job.names.file("translated")).relative_to(job.out).as_posix(),
        structures=found.headline(),
        volumes_ml={row.title: (round(row.before_ml, 3), round(row.after_ml, 3)) for row in found},
    )


def _write(job: Job, translation: Translation, record: Record) -> None:
    """Every file into a folder aside, then each into its place; the sidecar, which makes it count, last."""
    from SITTranslateLib.files import write_field, write_volume
    from SITTranslateLib.translate.integrity import with_hashes
    from SITTranslateLib.translate.saving import extra_file, note_on, sidecar
    from SITTranslateLib.translation import FIELD_PARTS
    from SITTranslateLib.volume import Volume

    aside = job.work_folder / f"{job.id}.{secrets.token_hex(6)}"
    try:
        aside.mkdir(parents=True)
        about = sidecar(translation)
        described: dict[str, Any] = about["SITTranslate"]["files"]
        # Here they stand among the files, under names of the dataset.
        about["SITTranslate"].pop("extra_files", None)
        if not job.settings.fields:
            for large in FIELD_PARTS:
                described.pop(large.name, None)
        for part, entry in described.items():
            if part == "source":
                entry["file"] = path_from(job.scan.path, job.folder)
                entry["frame"] = job.scan.frame
                continue
            entry["file"] = job.names.file(part)
            value = getattr(translation, part)
            write = write_volume if isinstance(value, Volume) else write_field
            write(value, aside / entry["file"], note_on(translation))
        for index, (name, volume) in enumerate(translation.extras.items()):
            file = job.names.file(f"extra{index}")
            write_volume(volume, aside / file, note_on(translation))
            described[extra_file(index)] = {"file": file, "about": name}
        for entry in described.values():
            if (written := aside / entry["file"]).parent == aside and written.is_file():
                entry["bytes"] = written.stat().st_size
        uri = f"bids:raw:{job.scan.relative}"
        about["Sources"] = [uri]
        about["SITTranslate"]["batch"] = {
            "settings": job.settings.of_result(),
            "source": source_of(job.scan.path),
            "record": asdict(record),
        }
        for part, entry in described.items():
            if part not in ("source", "translated"):
                brief = {"Description": f"{entry['about']}.", "Sources": [uri], "SpatialReference": "orig"}
                _write_json(aside / f"{entry['file'].split('.')[0]}.json", brief)
        _write_json(aside / job.sidecar.name, with_hashes(about, aside, list(aside.iterdir())))
        job.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(aside.iterdir(), key=lambda p: p.name == job.sidecar.name):
            path.replace(job.folder / path.name)
        _write_picture(job, translation)
    except OSError as error:
        raise InputError(f"The results of '{job.id}' cannot be written: the disk is full or read-only.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


#: How the parts of the picture are coloured.
KINDS: tuple[Literal["scan", "change"], ...] = ("scan", "scan", "change")


def _write_picture(job: Job, translation: Translation) -> None:
    """Source, translated scan and intensity change in a slice, for the summary."""
    from SITTranslateLib import notebook

    maps = [translation.source, translation.translated, translation.intensity_change]
    shown = [volume.array for volume in maps if volume is not None]
    picture = notebook.strip_png(shown, translation.source.affine, KINDS[: len(shown)])
    if picture:
        target = job.out / picture_of(job.id)
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        part.write_bytes(picture)
        part.replace(target)


def picture_of(identifier: str) -> str:
    """Place of a result's small picture in the output."""
    return f"figures/{identifier}.png"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
