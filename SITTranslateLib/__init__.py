"""Traceable medical image translation.

>>> import SITTranslateLib as sit                                        # doctest: +SKIP
>>> result = sit.translate("scan.nii.gz", model="brain-ageing-t1w", age=+10)  # doctest: +SKIP
>>> result.at(0.5), result.at(1, intensity=False)                         # doctest: +SKIP
>>> sit.verify(result).verdict, sit.segment_table(result, labels)         # doctest: +SKIP
>>> sit.trace("before.nii.gz", "after.nii.gz").table                      # doctest: +SKIP

Importing this package imports nothing heavy; each name is imported at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SITTranslateLib.errors import InputError, PackageError
    from SITTranslateLib.files import read_volume, write_field, write_volume
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.packages import available as models
    from SITTranslateLib.scene.volumes import volume_from_node
    from SITTranslateLib.systems.sit.transform import SpatialIntensityTransform
    from SITTranslateLib.traceability.segments import segment_table
    from SITTranslateLib.traceability.tracing import trace_pair as trace
    from SITTranslateLib.translate.forecasting import forecast
    from SITTranslateLib.translate.model import load_model
    from SITTranslateLib.translate.pipeline import translate
    from SITTranslateLib.translate.prescribing import prescribe
    from SITTranslateLib.translate.reproduction import reproduce
    from SITTranslateLib.translate.saving import read_translation, save_translation
    from SITTranslateLib.translate.structures import structure_volumes
    from SITTranslateLib.translate.verification import verify
    from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
    from SITTranslateLib.volume import Grid, VectorField, Volume

#: The same as in ``pyproject.toml`` (a test compares); Slicer holds the library without pip's metadata.
__version__ = "0.1.0"

#: Public name to where it lives.
_PUBLIC: dict[str, tuple[str, str]] = {
    "FieldOrigin": ("SITTranslateLib.translation", "FieldOrigin"),
    "Grid": ("SITTranslateLib.volume", "Grid"),
    "InputError": ("SITTranslateLib.errors", "InputError"),
    "PackageError": ("SITTranslateLib.errors", "PackageError"),
    "Provenance": ("SITTranslateLib.translation", "Provenance"),
    "SpatialIntensityTransform": ("SITTranslateLib.systems.sit.transform", "SpatialIntensityTransform"),
    "Translation": ("SITTranslateLib.translation", "Translation"),
    "TranslationOptions": ("SITTranslateLib.options", "TranslationOptions"),
    "VectorField": ("SITTranslateLib.volume", "VectorField"),
    "Volume": ("SITTranslateLib.volume", "Volume"),
    "forecast": ("SITTranslateLib.translate.forecasting", "forecast"),
    "load_model": ("SITTranslateLib.translate.model", "load_model"),
    "models": ("SITTranslateLib.packages", "available"),
    "prescribe": ("SITTranslateLib.translate.prescribing", "prescribe"),
    "read_translation": ("SITTranslateLib.translate.saving", "read_translation"),
    "read_volume": ("SITTranslateLib.files", "read_volume"),
    "reproduce": ("SITTranslateLib.translate.reproduction", "reproduce"),
    "save_translation": ("SITTranslateLib.translate.saving", "save_translation"),
    "segment_table": ("SITTranslateLib.traceability.segments", "segment_table"),
    "structure_volumes": ("SITTranslateLib.translate.structures", "structure_volumes"),
    "trace": ("SITTranslateLib.traceability.tracing", "trace_pair"),
    "verify": ("SITTranslateLib.translate.verification", "verify"),
    "volume_from_node": ("SITTranslateLib.scene.volumes", "volume_from_node"),
    "write_field": ("SITTranslateLib.files", "write_field"),
    "write_volume": ("SITTranslateLib.files", "write_volume"),
}

__all__ = [
    "FieldOrigin",
    "Grid",
    "InputError",
    "PackageError",
    "Provenance",
    "SpatialIntensityTransform",
    "Translation",
    "TranslationOptions",
    "VectorField",
    "Volume",
    "__version__",
    "forecast",
    "load_model",
    "models",
    "prescribe",
    "read_translation",
    "read_volume",
    "reproduce",
    "save_translation",
    "segment_table",
    "structure_volumes",
    "trace",
    "translate",
    "verify",
    "volume_from_node",
    "write_field",
    "write_volume",
]


if not TYPE_CHECKING:
    # To a type checker these names are the imports above, and every other name is an error.
    def __getattr__(name: str) -> Any:
        if name == "translate":
            # The package itself, which can be called: see its own text.
            return import_module("SITTranslateLib.translate")
        if name not in _PUBLIC:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        module, attribute = _PUBLIC[name]
        value = getattr(import_module(module), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
