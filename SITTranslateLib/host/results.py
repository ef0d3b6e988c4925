"""A translation between worker and client: arrays in the private folder, the rest in a line."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.host.protocol import Request
from SITTranslateLib.steps import finish
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
    return finish(reading_translation(folder, about))


def reading_translation(folder: Path, about: dict[str, Any]) -> Generator[None, None, Translation]:
    """:func:`described_translation` in steps: the arrays of a 1 mm head take several hundred MB."""
    volumes = {p.name: about["volumes"].get(p.name) for p in VOLUME_PARTS}
    fields = {p.name: about["fields"].get(p.name) for p in FIELD_PARTS}
    error = about["recomposition_error"]
    try:
        provenance = Provenance.from_dict(about["provenance"])
    except InputError as refusal:
        raise protocol.ProtocolError(str(refusal)) from refusal
    parts: dict[str, Any] = dict.fromkeys([*volumes, *fields])
    for name, part in volumes.items():
        if part is not None:
            parts[name] = yield from protocol.taking_volume(folder, part)
    for name, part in fields.items():
        if part is not None:
            parts[name] = yield from protocol.taking_field(folder, part)
    extras = {}
    for name, part in about["extras"].items():
        extras[name] = yield from protocol.taking_volume(folder, part)
    if parts["source"] is None or parts["translated"] is None:
        raise protocol.ProtocolError("a translation lacks its source or translated scan")
    return Translation(
        **parts,
        field_origin=FieldOrigin(about["field_origin"]),
        recomposition_error=float("nan") if error is None else float(error),
        provenance=provenance,
        extras=extras,
        steps=tuple(n for n in about.get("steps", ()) if n in about["extras"]),
        given_structures=StructureVolumes.from_dict(about["structures"]) if "structures" in about else None,
    )


def reading_answer(folder: Path, kind: Request, result: Any) -> Generator[None, None, Any]:
    """The arrays of an answer, in steps; an answer without any is as it came.

    Raises:
        ProtocolError: a part cannot be read.
    """
    if kind in (Request.TRANSLATE, Request.PRESCRIBE, Request.FORECAST, Request.ESTIMATE, Request.RESTORE):
        return (yield from reading_translation(folder, result["translation"]))
    if kind is Request.RECOMPOSE:
        parts: dict[str, Any] = {"strength": result["strength"], "motion": None, "jacobian": None}
        for name in ("translated", "motion", "jacobian"):
            if name in result or name == "translated":
                take = protocol.taking_field if name == "motion" else protocol.taking_volume
                parts[name] = yield from take(folder, result[name], remove=True)
        return parts
    if kind is Request.STRUCTURES and "labels" in result:
        return result | {"labels": protocol.take_volume(folder, result["labels"], remove=True)}
    return result


def files_of(about: dict[str, Any]) -> list[str]:
    """Names of all files of a described translation."""
    groups = (about["volumes"], about["fields"], about["extras"])
    return [str(v["file"]) for group in groups for v in group.values()]
