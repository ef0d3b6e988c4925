"""A MONAI network as a translation network; only classes of a fixed list, with plain arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.errors import PackageError
from SITTranslateLib.systems.image_layout import ForeignImages
from SITTranslateLib.systems.network import NetworkOutput, Progress

#: Classes of ``monai.networks.nets`` that map an image to an image and run no other code.
ALLOWED = (
    "AttentionUnet", "AutoEncoder", "BasicUNet", "BasicUNetPlusPlus", "DynUNet", "SegResNet", "SegResNetVAE",
    "SwinUNETR", "UNETR", "UNet", "VNet",
)  # fmt: skip
_IMAGES = tuple(field.name for field in fields(ForeignImages))


class MonaiNetwork(nn.Module):
    """One of :data:`ALLOWED`, wrapped; the arguments are the card's system parameters.

    Args:
        network: name of the class.
        keeps_geometry: its maker says that nothing moves.
        parameters: of :class:`ForeignImages`, and every other one an argument of the class.

    Raises:
        PackageError: another class, or arguments that it does not know.
    """

    def __init__(self, network: str, *, keeps_geometry: bool = False, **parameters: Any) -> None:
        super().__init__()
        arguments = {name: value for name, value in parameters.items() if name not in _IMAGES}
        self.images = ForeignImages(**{name: parameters[name] for name in _IMAGES if name in parameters})
        self._keeps_geometry = bool(keeps_geometry)
        self.network = build(network, arguments)
        wanted = (3 if self.images.dimensions == "3d" else 2, self.images.channels, 1)
        self.images.check_channels(arguments.get("in_channels"))
        given = tuple(arguments.get(name) for name in ("spatial_dims", "in_channels", "out_channels"))
        if given != wanted:
            raise PackageError(
                f"A translation needs spatial_dims, in_channels and out_channels of {wanted}, and this network has "
                f"{given}; a network with several channels out is a segmentation."
            )

    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`TranslationNetwork`; a network of MONAI has no attributes and no field."""

        def run(batch: Tensor) -> Tensor:
            answer = self.network(batch)
            # Some give their intermediate results as well.
            first: Tensor = answer[0] if isinstance(answer, (list, tuple)) else answer
            return first

        return NetworkOutput(self.images.translate(image, run, progress), keeps_geometry=self._keeps_geometry)


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network of an allowed class.

    Raises:
        PackageError: another class, or an argument that it does not know or that is no plain value.
    """
    if name not in ALLOWED:
        raise PackageError(
            f"The network '{str(name)[:60]}' is not one of MONAI's that are taken: {', '.join(ALLOWED)}."
        )
    cls = getattr(import_module("monai.networks.nets"), name)
    known = set(signature(cls.__init__).parameters) - {"self"}
    for key, value in arguments.items():
        if key not in known:
            raise PackageError(f"MONAI's {name} has no argument '{key[:40]}'.")
        if not _plain(value):
            raise PackageError(f"The argument '{key[:40]}' of {name} is no plain value.")
    try:
        network: nn.Module = cls(**arguments)
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise PackageError(f"MONAI's {name} does not take these arguments: {text}.") from error
    return network


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 64 and all(_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
