"""Saving a translation as a folder: scans and fields that Slicer and SimpleITK open, and their provenance.

The folder is written under a temporary name and appears in one step; a failure leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from SITTranslateLib.arguments import instance_of, path_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_field, read_volume, write_field, write_volume
from SITTranslateLib.files.reading import read_image_as_volume
from SITTranslateLib.files.result_folder import claimed
from SITTranslateLib.files.writing import reason_of
from SITTranslateLib.structure_table import StructureVolumes
from SITTranslateLib.translate.integrity import add_hashes, read_sidecar
from SITTranslateLib.translation import (
    FIELD_PARTS,
    PARTS,
    VOLUME_PARTS,
    FieldOrigin,
    Provenance,
    Translation,
    checked_strength,
)
from SITTranslateLib.volume import VectorField, Volume

PROVENANCE_FILE, STRUCTURES_FILE = "provenance.json", "structures.csv"
#: What commands write into the folder of a result.
_OF_A_RESULT = re.compile(
    "|".join(re.escape(part.file) for part in PARTS)
    + r"|extra_\d+\.nii\.gz|translated_at_.*\.nii\.gz|provenance\.json|trace\.json|segments\.csv|points\.csv"
    r"|structures\.csv|forecast\.csv"
    r"|points_translated\.mrk\.json|report\.html|scene\.mrb|pictures|dicom"
)


def save_translation(
    translation: Translation,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    strength: float | None = None,
    also: Callable[[Path], None] | None = None,
) -> Path:
    """Write a translation to a folder, which appears whole or not at all, and is this process's while it is written.

    The volumes of its structures are written where they are known (``translation.structures`` finds them).

    Args:
        strength: also write the scan with this share of the change.
        overwrite: replace an earlier result; files of others beside it are kept, any other folder is refused.
        also: writes whatever else belongs to the result into the folder before it appears.

    Raises:
        InputError: the folder is in use, or cannot be written.
    """
    instance_of(translation, Translation, "What is saved")
    target = path_of(folder, "The folder for the result")
    if strength is not None:
        strength = checked_strength(strength)
    check_target(target, overwrite)
    with claimed(target) as place:
        try:
            _write_all(translation, place.part)
            if strength is not None:
                scaled = place.part / f"translated_at_{strength:+g}.nii.gz"
                write_volume(translation.at(strength), scaled, note_on(translation))
            if also is not None:
                also(place.part)
            seal(place.part)
        except OSError as error:
            raise InputError(f"The folder '{target.name}' cannot be written: {reason_of(error)}.") from error
        # Once more: somebody may have put something there meanwhile.
        check_target(target, overwrite)
        earlier = _extra_files_of(target)
        place.commit(lambda name: name in earlier or bool(_OF_A_RESULT.fullmatch(name)))
    return target


@contextlib.contextmanager
def claim(target: Path, overwrite: bool = False) -> Iterator[None]:
    """Hold a place for a result from before it is computed until it is saved; see :func:`check_target`.

    Raises:
        InputError: another run writes there, or it cannot be written.
    """
    check_target(target, overwrite)
    with claimed(target):
        yield


def _extra_files_of(folder: Path) -> set[str]:
    """Files of further maps of the result in a folder, which have names of their own; empty where there is none.

    Only these and the usual files are replaced with a result; what a user put beside it stays.
    """
    try:
        about = read_sidecar(folder / PROVENANCE_FILE, folder.name)["SITTranslate"]
        return {str(file) for file in about["extra_files"].values() if str(file).endswith(".nii.gz")}
    except (AttributeError, InputError, KeyError, TypeError):
        return set()


def check_target(target: Path, overwrite: bool = False) -> None:
    """Refuse a place for a result before anything is computed.

    Raises:
        InputError: a file, a folder in use, or a place that may not be written.
    """
    name = target.name
    try:
        if not name or name in (".", ".."):
            raise InputError("The folder for the result has no name; give a new folder.")
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise InputError(f"'{name}' exists and is not a folder; give a new folder for the result.")
        held = target.is_dir() and any(not entry.name.startswith(".sittranslate") for entry in target.iterdir())
        if held and not (overwrite and (target / PROVENANCE_FILE).is_file()):
            hint = "" if overwrite else ", or replace an earlier result with --overwrite"
            raise InputError(f"The folder '{name}' exists and is not empty; give a new folder{hint}.")
        above = next(p for p in target.absolute().parents if p.exists())
        inside = target.is_dir() and os.access(target, os.W_OK)
        if not above.is_dir() or not (inside or os.access(above, os.W_OK)):
            raise InputError(f"The folder '{name}' cannot be made: '{above.name or above}' may not be written.")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("The path of the folder for the result is not one that this system can open.") from error


def read_translation(place: str | os.PathLike[str]) -> Translation:
    """A translation read back from its folder, or by its sidecar in the dataset that a batch wrote.

    Raises:
        InputError: not a translation, or a file of it is missing, damaged, or (the source) another one by now.
    """
    location = path_of(place, "A result")
    # Unlike that of Path, false for names that are too long.
    sidecar_file = location if os.path.isfile(location) else location / PROVENANCE_FILE  # noqa: PTH113
    folder = sidecar_file.parent
    raw = read_sidecar(sidecar_file, location.name)
    try:
        about, names = raw["SITTranslate"], raw["SITTranslate"]["files"]
        provenance = Provenance.from_dict(about["provenance"])
        origin = FieldOrigin(about["field_origin"])
        error = float(about["recomposition_error"])
        files = {str(part): _file_of(folder, str(part), str(entry["file"])) for part, entry in names.items()}
        extras = list(map(str, about.get("extras", [])))
        named = {str(n): _file_of(folder, "", str(f)) for n, f in dict(about.get("extra_files", {})).items()}
        steps = tuple(name for name in map(str, about.get("steps", [])) if name in extras)
        structures = StructureVolumes.from_dict(about["structures"]) if "structures" in about else None
    except (AttributeError, InputError, KeyError, TypeError, ValueError) as exception:
        raise InputError(f"'{sidecar_file.name}' in '{folder.name}' is not that of a translation.") from exception

    def volume(part: str) -> Volume | None:
        return read_image_as_volume(files[part], names[part]["name"]) if part in files else None

    def vectors(part: str) -> VectorField | None:
        return read_field(files[part]) if part in files else None

    translated = volume("translated")
    if "source" not in files or translated is None:
        raise InputError(f"'{location.name}' lacks its source or translated scan.")
    if files["source"].parent == folder:
        source = volume("source")
    else:
        source = replace(read_volume(files["source"], frame=names["source"].get("frame")), name=names["source"]["name"])
    assert source is not None
    return Translation(
        source=source,
        translated=translated,
        velocity=vectors("velocity"),
        motion=vectors("motion"),
        sampling=vectors("sampling"),
        jacobian=volume("jacobian"),
        intensity_change=volume("intensity_change"),
        field_origin=origin,
        recomposition_error=error,
        provenance=provenance,
        extras={
            # A batch lists them among its files; before 0.2 they were numbered.
            name: read_image_as_volume(
                files.get(extra_file(index)) or named.get(name, folder / extra_file(index)), name
            )
            for index, name in enumerate(extras)
        },
        steps=steps,
        given_structures=structures,
    )


def exact_source(before: Translation, sidecar_file: Path) -> Volume:
    """The source of a translation that was read back, at its exact position: the sidecar keeps it, a file rounds it."""
    about = json.loads(sidecar_file.read_text(encoding="utf-8"))["SITTranslate"]
    try:
        exact = np.array(about["source_affine"], dtype=np.float64)
        close = exact.shape == (4, 4) and bool(np.allclose(exact, before.source.affine, atol=1e-3))
    except (KeyError, TypeError, ValueError):
        close = False
    return Volume(before.source.array, exact, before.source.name) if close else before.source


def fields_left_out(sidecar_file: Path) -> bool:
    """Whether a batch wrote a result without its fields, as its settings record."""
    about = read_sidecar(sidecar_file, sidecar_file.name).get("SITTranslate")
    batch = about.get("batch") if isinstance(about, dict) else None
    settings = batch.get("settings") if isinstance(batch, dict) else None
    return isinstance(settings, dict) and settings.get("fields") is False


def _file_of(folder: Path, part: str, name: str) -> Path:
    """A file of a translation; only the source may lie elsewhere (a batch does not copy it)."""
    if part != "source" and (Path(name).name != name or not name):
        raise ValueError(name)
    return folder / name


def sidecar(translation: Translation) -> dict[str, Any]:
    """The provenance as a BIDS-derivative-like JSON: standard keys first, all of ours below ``SITTranslate``."""
    provenance, structures = translation.provenance, translation.known_structures
    present: dict[str, dict[str, str]] = {}
    for part in PARTS:
        value = getattr(translation, part.name)
        if value is not None:
            name = {"name": value.name} if isinstance(value, Volume) else {}
            present[part.name] = {"file": part.file, **name, "about": part.about}
    return {
        "Description": "Synthetic: a scan translated by a model. Not acquired from a person as shown.",
        "Sources": ["source.nii.gz"],
        "SpatialReference": "orig",
        "GeneratedBy": [
            {"Name": "SITTranslate", "Version": provenance.software.get("sittranslate", "unknown")},
            {"Name": provenance.package, "Version": provenance.version},
        ],
        "SITTranslate": {
            "field_origin": translation.field_origin.value,
            "recomposition_error": translation.recomposition_error,
            "frame": "RAS, mm; NRRD and NIfTI files say their own frame",
            # Files keep it in single precision; with all its digits the same bytes come out again.
            "source_affine": translation.source.affine.tolist(),
            "files": present,
            "extras": list(translation.extras),
            "extra_files": extra_files(translation.extras),
            "steps": list(translation.steps),
            **({} if structures is None else {"structures": structures.to_dict()}),
            "provenance": provenance.to_dict(),
        },
    }


def note_on(translation: Translation) -> str:
    """The description in every file of a result, with the mark of synthetic images."""
    made = translation.provenance
    asked = ", ".join(f"{name} {words}" for name, words in made.in_words().items())
    return f"SYNTHETIC, research use only: {made.package} {asked}".strip()


def _write_all(translation: Translation, folder: Path) -> None:
    note = note_on(translation)
    for part in VOLUME_PARTS:
        if (volume := getattr(translation, part.name)) is not None:
            write_volume(volume, folder / part.file, "" if part.name == "source" else note)
    for part in FIELD_PARTS:
        if (vectors := getattr(translation, part.name)) is not None:
            write_field(vectors, folder / part.file, note)
    for name, file in extra_files(translation.extras).items():
        write_volume(translation.extras[name], folder / file, note)
    if translation.known_structures:
        (folder / STRUCTURES_FILE).write_text(translation.known_structures.to_csv(), encoding="utf-8")
    text = json.dumps(sidecar(translation), indent=2, ensure_ascii=False) + "\n"
    (folder / PROVENANCE_FILE).write_text(text, encoding="utf-8")


def seal(folder: Path) -> None:
    """Write the hashes of a result's files into its sidecar, when all of them are there; a user's own are left out."""
    sidecar_file = folder / PROVENANCE_FILE
    extras = _extra_files_of(folder)
    tops = [path for path in folder.iterdir() if path.name in extras or _OF_A_RESULT.fullmatch(path.name)]
    files = [f for top in tops for f in (top, *top.rglob("*")) if f.is_file() and f != sidecar_file]
    add_hashes(sidecar_file, files)


def extra_files(names: Iterable[str]) -> dict[str, str]:
    """Files of the volumes beyond the usual ones, by their names: a model may call them anything, a file not."""
    taken = {part.file for part in PARTS}
    found: dict[str, str] = {}
    for index, name in enumerate(names):
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60]
        file = f"{plain}.nii.gz"
        # Windows has devices by these names, whatever follows the dot.
        if not plain or file in taken or plain in ("con", "prn", "aux", "nul") or re.fullmatch(r"(com|lpt)\d", plain):
            file = extra_file(index)
        taken.add(file)
        found[name] = file
    return found


def extra_file(index: int) -> str:
    """Key in a batch's sidecar, and file of a result before 0.2, of the volume of that number."""
    return f"extra_{index}.nii.gz"
