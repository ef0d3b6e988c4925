"""Requests to the worker, a frozen type each; their lines are those of :mod:`SITTranslateLib.host.protocol`.

The annotation of a field says how it crosses the pipe: volumes and fields as files of the private folder, a translation
by what the worker said of it, options each under its own name, the rest as it is. What is None is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, ClassVar

from SITTranslateLib.host import protocol
from SITTranslateLib.host.protocol import ProtocolError, Request
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import VectorField, Volume


@dataclass(frozen=True)
class HostRequest:
    """Base of all requests."""

    kind: ClassVar[Request]

    def line(self, number: int, folder: Path, about: Callable[[Translation], dict[str, Any]]) -> dict[str, Any]:
        """The request as a message; its arrays are written into the folder.

        Args:
            number: of the job.
            about: what the worker said of a translation.

        Raises:
            InputError: the folder cannot be written, or the translation is no longer held.
        """
        return finish(self.writing(number, folder, about))

    def writing(
        self, number: int, folder: Path, about: Callable[[Translation], dict[str, Any]]
    ) -> Generator[None, None, dict[str, Any]]:
        """:meth:`line` in steps of some megabytes of its arrays."""
        message: dict[str, Any] = {"request": self.kind, "id": number}
        for f in fields_of(self):
            value = getattr(self, f.name)
            if isinstance(value, TranslationOptions):
                message |= value.to_dict()
            elif isinstance(value, (Volume, VectorField)):
                message[f.name] = yield from protocol.putting(folder, value)
            elif isinstance(value, Translation):
                message[f.name] = about(value)
            elif value is not None:
                message[f.name] = value
        return message


@dataclass(frozen=True)
class DescribeRequest(HostRequest):
    """Devices, versions of the software, models in memory."""

    kind = Request.DESCRIBE


@dataclass(frozen=True)
class ExamineRequest(HostRequest):
    """Whether a scan suits a model."""

    kind = Request.EXAMINE
    volume: Volume
    model: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TranslateRequest(HostRequest):
    """A translation; ``model`` is a name or a folder, ``attributes`` what to ask it for."""

    kind = Request.TRANSLATE
    volume: Volume
    model: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    options: TranslationOptions = field(default_factory=TranslationOptions)


@dataclass(frozen=True)
class RecomposeRequest(HostRequest):
    """Another strength of a translation (1 is the translation), of both parts or one; ``fields``: also its motion."""

    kind = Request.RECOMPOSE
    translation: Translation
    strength: float
    spatial: bool = True
    intensity: bool = True
    fields: bool = False


@dataclass(frozen=True)
class EstimateRequest(HostRequest):
    """The motion between the scans of a translation, or between two scans, by registration."""

    kind = Request.ESTIMATE
    translation: Translation | None = None
    source: Volume | None = None
    translated: Volume | None = None
    finer: bool = False


@dataclass(frozen=True)
class RestoreRequest(HostRequest):
    """A translation from its saved parts."""

    kind = Request.RESTORE
    source: Volume
    provenance: Mapping[str, Any]
    field_origin: str
    recomposition_error: float
    translated: Volume | None = None
    change: Volume | None = None
    within: Volume | None = None
    velocity: VectorField | None = None
    sampling: VectorField | None = None


@dataclass(frozen=True)
class SegmentsRequest(HostRequest):
    """The segment table; ``names`` by label."""

    kind = Request.SEGMENTS
    translation: Translation
    labels: Volume
    names: Mapping[int, str] = field(default_factory=dict)
    translated_labels: Volume | None = None


@dataclass(frozen=True)
class StructuresRequest(HostRequest):
    """The volumes of structures of a translation, and labels to draw those that changed most."""

    kind = Request.STRUCTURES
    translation: Translation


@dataclass(frozen=True)
class PrescribeRequest(HostRequest):
    """A prescribed change, as ``translate.prescribing.prescribe`` takes it."""

    kind = Request.PRESCRIBE
    volume: Volume
    changes: Mapping[str, str] | None = None
    years: float | None = None
    lesions: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class ForecastRequest(HostRequest):
    """A forecast from two visits, as ``translate.forecasting.forecast`` takes it; answered by its translation."""

    kind = Request.FORECAST
    first: Volume
    second: Volume
    days: float
    years: float
    preset: str = "healthy-ageing"
    age: float | None = None


@dataclass(frozen=True)
class ChangesRequest(HostRequest):
    """A table of prescribed changes as texts: of a TOML file, or of a preset for an age and years."""

    kind = Request.CHANGES
    file: str | None = None
    preset: str = ""
    age: float | None = None
    years: float | None = None


@dataclass(frozen=True)
class TraceRequest(HostRequest):
    """RAS points (mm) traced in a direction of ``traceability.points.Direction``."""

    kind = Request.TRACE
    translation: Translation
    points: Sequence[Sequence[float]]
    direction: str = "to translated"
    labels: list[str] | None = None


@dataclass(frozen=True)
class ForgetRequest(HostRequest):
    """Let go of a translation by its key."""

    kind = Request.FORGET
    key: str


@dataclass(frozen=True)
class UnloadRequest(HostRequest):
    """Let go of the models in memory."""

    kind = Request.UNLOAD


_TYPES: dict[Request, type[HostRequest]] = {
    t.kind: t
    for t in (
        DescribeRequest, ExamineRequest, TranslateRequest, RecomposeRequest, EstimateRequest, RestoreRequest,
        SegmentsRequest, StructuresRequest, PrescribeRequest, ForecastRequest, ChangesRequest, TraceRequest,
        ForgetRequest, UnloadRequest,
    )
}  # fmt: skip


def received(
    message: Mapping[str, Any], folder: Path, translation_of: Callable[[dict[str, Any]], Translation]
) -> HostRequest:
    """The request of a message; its array files are read and removed.

    Args:
        translation_of: the translation that the worker once described like this.

    Raises:
        ProtocolError: no request of the worker, or a value of it is missing or of another type.
        InputError: options that make no sense.
    """
    kind = Request(message["request"])
    if kind not in _TYPES:
        raise ProtocolError(f"'{kind.value}' is nothing that the worker computes")
    values: dict[str, Any] = {}
    for f in fields_of(_TYPES[kind]):
        annotation = str(f.type).removesuffix(" | None")
        if annotation == "TranslationOptions":
            values[f.name] = TranslationOptions.from_dict(message)
            continue
        value: Any = message.get(f.name)
        if value is None and annotation != "float":
            if f.default is MISSING and f.default_factory is MISSING:
                raise ProtocolError(f"the request '{kind.value}' lacks '{f.name}'")
        elif annotation == "Volume":
            values[f.name] = protocol.take_volume(folder, value, remove=True)
        elif annotation == "VectorField":
            values[f.name] = protocol.take_field(folder, value, remove=True)
        elif annotation == "Translation":
            values[f.name] = translation_of(value)
        elif f.name in message:
            values[f.name] = _plain(annotation, value, f"'{f.name}' of the request '{kind.value}'")
    try:
        return _TYPES[kind](**values)
    except TypeError as error:
        raise ProtocolError(f"the request '{kind.value}' is not complete") from error


def _plain(annotation: str, value: Any, what: str) -> Any:
    """A value of JSON, of the type that a field has; null is the number that JSON lacks."""
    if annotation == "float" and value is None:
        return float("nan")
    plain: dict[str, tuple[type, ...]] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float)}
    allowed = plain.get(annotation, (dict,) if annotation.startswith("Mapping") else (list,))
    if not isinstance(value, allowed) or (isinstance(value, bool) and annotation != "bool"):
        raise ProtocolError(f"{what} is of another type")
    return value
