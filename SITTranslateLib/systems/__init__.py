"""The systems by name: ``create("sit", parameters)`` gives a network without weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from SITTranslateLib.errors import PackageError
from SITTranslateLib.systems.network import NetworkOutput, TranslationNetwork

#: System name to the module and class of its network; a closed list, since no code comes out of a package.
SYSTEMS: dict[str, tuple[str, str]] = {
    "sit": ("SITTranslateLib.systems.sit.network", "SITNetwork"),
    "sa_unit": ("SITTranslateLib.systems.sa_unit.network", "SAUnitNetwork"),
    "sasan": ("SITTranslateLib.systems.sasan.network", "SASANNetwork"),
    "plasticine": ("SITTranslateLib.systems.plasticine.network", "PlasticineNetwork"),
    "aldm": ("SITTranslateLib.systems.aldm.network", "ALDMNetwork"),
    "plasticine_paper": ("SITTranslateLib.systems.plasticine.paper", "PaperPlasticineNetwork"),
    "monai": ("SITTranslateLib.systems.monai_networks.network", "MonaiNetwork"),
    "multi_contrast": ("SITTranslateLib.systems.regression.multi_contrast", "MultiContrastNetwork"),
    "prescribed": ("SITTranslateLib.systems.prescribed.network", "PrescribedNetwork"),
    "regression": ("SITTranslateLib.systems.regression.network", "RegressionNetwork"),
    "stroke": ("SITTranslateLib.systems.prescribed.stroke", "StrokeNetwork"),
}

#: The system whose network is a file of its own, which no weights are loaded into; see ``systems.onnx``.
ONNX = "onnx"

__all__ = ["ONNX", "SYSTEMS", "NetworkOutput", "TranslationNetwork", "create"]


def create(name: str, parameters: Mapping[str, Any]) -> nn.Module:
    """A network of the named system, weights not loaded.

    Raises:
        PackageError: unknown system, or parameters that it does not know.
    """
    if name not in SYSTEMS:
        known = ", ".join(sorted([*SYSTEMS, ONNX]))
        raise PackageError(f"This version does not know the system '{name}'; it knows {known}.")
    module, cls = SYSTEMS[name]
    try:
        network: nn.Module = getattr(import_module(module), cls)(**parameters)
    except PackageError:
        raise
    except Exception as error:
        # A card may hold any value of any type: whatever a network makes of one that does not fit, it is refused.
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise PackageError(f"The parameters of system '{name}' are not understood: {reason}.") from error
    return network
