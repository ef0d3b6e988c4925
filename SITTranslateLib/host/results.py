"""A translation between worker and client: arrays in the private folder, the rest in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.structure_table import StructureVolumes
from SITTranslateLib.translation import FIELD_PARTS, VOLUME_PARTS, FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume


def describe_translation(folder: Path, key: str, translation: Translation) -> dict[str, Any]:
    """Write a translation's arrays to the folder and return their paths: all of them, or none.

    Args:
        key: names the translation to the worker, which can recompose, trace and measure it until it is forgotten.

    Raises:
        InputError: the folder cannot be written.
    """
    written: list[str] = []

    def put(data: Volume | VectorField) -> dict[str, Any]:
        about = protocol.put(folder, data)
        written.append(str(about["file"]))
        return about

    try:
        volumes = {p.name: put(v) for p in VOLUME_PARTS if (v := getattr(translation, p.name)) is not None}
        fields = {p.name: put(v) for p in FIELD_PARTS if (v := getattr(translation, p.name)) is not None}
        extras = {n: put(v) for n, v in translation.extras.items()}
    except BaseException:
        for file in written:
            (folder / file).unlink(missing_ok=True)
        raise
    return {
        "key": key,
        "volumes": volumes,
        "fields": fields,
        "extras": extras,
        "steps": list(translation.steps),
        "field_origin": translation.field_origin.value,
        "recomposition_error": translation.recomposition_error,
        "provenance": translation.provenance.to_dict(),
        **({} if translation.known_structures is None else {"structures": translation.known_structures.to_dict()}),
    }


def described_translation(folder: Path, about: dict[str, Any]) -> Translation:
    """A translation written by :func:`describe_translation`, read back; the files stay for the worker.

    Raises:
        ProtocolError: a part, the origin of the field or the record of how it was made cannot be read.
    """
    volumes = {p.name: about["volumes"].get(p.name) for p in VOLUME_PARTS}
    fields = {p.name: about["fields"].get(p.name) for p in FIELD_PARTS}
    error = about["recomposition_error"]
    try:
        provenance = Provenance.from_dict(about["provenance"])
    except InputError as refusal:
        raise protocol.ProtocolError(str(refusal)) from refusal
    parts: dict[str, Any] = {n: None if v is None else protocol.take_volume(folder, v) for n, v in volumes.items()}
    parts |= {n: None if v is None else protocol.take_field(folder, v) for n, v in fields.items()}
    if parts["source"] is None or parts["translated"] is None:
        raise protocol.ProtocolError("a translation lacks its source or translated scan")
    return Translation(
        **parts,
        field_origin=FieldOrigin(about["field_origin"]),
        recomposition_error=float("nan") if error is None else float(error),
        provenance=provenance,
        extras={n: protocol.take_volume(folder, v) for n, v in about["extras"].items()},
        steps=tuple(n for n in about.get("steps", ()) if n in about["extras"]),
        given_structures=StructureVolumes.from_dict(about["structures"]) if "structures" in about else None,
    )


def files_of(about: dict[str, Any]) -> list[str]:
    """Names of all files of a described translation."""
    groups = (about["volumes"], about["fields"], about["extras"])
    return [str(v["file"]) for group in groups for v in group.values()]
