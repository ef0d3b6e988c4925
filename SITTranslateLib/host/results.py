"""A translation on its way between worker and client: arrays in the private folder, the rest in a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from SITTranslateLib.host import protocol
from SITTranslateLib.volume import VectorField, Volume

VOLUMES = ("source", "translated", "jacobian", "intensity_change")
FIELDS = ("velocity", "motion", "sampling")


@dataclass(frozen=True, eq=False)
class HostedTranslation:
    """A translation as the client has it: the same parts as ``Translation``, without the engine that made them.

    ``key`` names it to the worker, which can recompose, trace and measure it for as long as it is not forgotten.
    """

    key: str
    source: Volume
    translated: Volume
    velocity: VectorField | None
    motion: VectorField | None
    sampling: VectorField | None
    jacobian: Volume | None
    intensity_change: Volume | None
    field_origin: str
    recomposition_error: float
    provenance: dict[str, Any]
    extras: dict[str, Volume] = field(default_factory=dict)
    steps: tuple[str, ...] = ()


def describe_translation(folder: Path, key: str, translation: Any) -> dict[str, Any]:
    """Write a ``Translation``'s arrays to the folder and say where they are: all of them, or none.

    Raises:
        InputError: the folder cannot be written.
    """
    provenance = translation.provenance
    written: list[str] = []

    def put(data: Volume | VectorField) -> dict[str, Any]:
        about = protocol.put(folder, data)
        written.append(str(about["file"]))
        return about

    try:
        volumes = {n: put(v) for n in VOLUMES if (v := getattr(translation, n)) is not None}
        fields = {n: put(v) for n in FIELDS if (v := getattr(translation, n)) is not None}
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
        "field_origin": str(getattr(translation.field_origin, "value", translation.field_origin)),
        "recomposition_error": translation.recomposition_error,
        "provenance": provenance if isinstance(provenance, dict) else provenance.to_dict(),
    }


def hosted_translation(folder: Path, about: dict[str, Any]) -> HostedTranslation:
    """What :func:`describe_translation` wrote, read back; the files stay for the worker."""
    volumes = {n: protocol.take_volume(folder, v) for n, v in about["volumes"].items() if n in VOLUMES}
    fields = {n: protocol.take_field(folder, v) for n, v in about["fields"].items() if n in FIELDS}
    error = about["recomposition_error"]
    return HostedTranslation(
        key=about["key"],
        source=volumes["source"],
        translated=volumes["translated"],
        velocity=fields.get("velocity"),
        motion=fields.get("motion"),
        sampling=fields.get("sampling"),
        jacobian=volumes.get("jacobian"),
        intensity_change=volumes.get("intensity_change"),
        field_origin=about["field_origin"],
        recomposition_error=float("nan") if error is None else float(error),
        provenance=dict(about["provenance"]),
        extras={n: protocol.take_volume(folder, v) for n, v in about["extras"].items()},
        steps=tuple(n for n in about.get("steps", ()) if n in about["extras"]),
    )


def files_of(about: dict[str, Any]) -> list[str]:
    """Names of all files of a described translation."""
    groups = (about["volumes"], about["fields"], about["extras"])
    return [str(v["file"]) for group in groups for v in group.values()]
