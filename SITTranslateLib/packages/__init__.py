"""Model packages: a card (``model.json``) and weights (``*.safetensors``), checked before anything is parsed.

``card`` describes a package; ``store`` finds packages; ``weights`` reads and writes them. No code of a package is
ever run.
"""

from __future__ import annotations

from SITTranslateLib.packages.card import (
    Attribute,
    Figure,
    ModelCard,
    NetworkGrid,
    Normalisation,
    System,
    TargetScale,
    WeightFile,
    read_card,
)
from SITTranslateLib.packages.store import Package, available, broken, find, locations, open_package
from SITTranslateLib.packages.weights import load, write_package

__all__ = [
    "Attribute",
    "Figure",
    "ModelCard",
    "NetworkGrid",
    "Normalisation",
    "Package",
    "System",
    "TargetScale",
    "WeightFile",
    "available",
    "broken",
    "find",
    "load",
    "locations",
    "open_package",
    "read_card",
    "write_package",
]
