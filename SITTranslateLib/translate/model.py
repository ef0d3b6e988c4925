"""Loading a package: its network with its weights, on a device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError, PackageError
from SITTranslateLib.options import check_device
from SITTranslateLib.packages import ModelCard, Package, find, load
from SITTranslateLib.packages.weights import onnx_bytes

#: Methods that fill a tensor with random numbers.
_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network ready to translate; keep it to translate several scans."""

    package: Package
    network: nn.Module
    device: torch.device

    @property
    def card(self) -> ModelCard:
        return self.package.card


def load_model(model: str | os.PathLike[str] | Package | LoadedModel, device: str = "auto") -> LoadedModel:
    """The named package (or folder), verified, on a device (``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``).

    Raises:
        PackageError: no such package, altered, or weights that do not fit its system.
        InputError: no such device.
    """
    chosen = choose_device(device)
    if isinstance(model, LoadedModel):
        return model if model.device == chosen or device == "auto" else load_model(model.package, device)
    package = model if isinstance(model, Package) else find(model)
    system = package.card.system
    if system.name == systems.ONNX:
        return LoadedModel(package, _onnx_network(package, chosen), chosen)
    # First without memory, so that a card that asks for absurd sizes is refused by its weights' shapes.
    try:
        with torch.device("meta"), _WithoutValues():
            outline = systems.create(system.name, system.parameters)
    except PackageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise PackageError(f"The parameters of system '{system.name}' are not understood: {reason}.") from error
    weights = load(package)
    expected = {name: tuple(t.shape) for name, t in outline.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise PackageError(
            f"The weights of '{package.name}' do not fit its system '{system.name}' "
            f"({len(wrong)} differ, first '{wrong[0][:80]}'); get the package again."
        )
    with _WithoutValues():
        network = systems.create(system.name, system.parameters)
    network.load_state_dict(weights)
    return LoadedModel(package, network.to(chosen).eval(), chosen)


class _WithoutValues(TorchFunctionMode):
    """Networks made within have parameters without initial values: weights replace every one of them.

    It draws no random numbers, and on the ``meta`` device these would import 827 modules of torch.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init" or function in _DRAWS:
            return keywords["tensor"] if "tensor" in keywords else args[0]
        return function(*args, **keywords)


def _onnx_network(package: Package, device: torch.device) -> nn.Module:
    """The network that is a file; the file is verified before anything looks into it."""
    from SITTranslateLib.systems.onnx.network import OnnxNetwork

    card = package.card
    try:
        return OnnxNetwork(onnx_bytes(package), device, card.grid.shape, **card.system.parameters).eval()
    except (PackageError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise PackageError(f"The parameters of system 'onnx' are not understood: {reason}.") from error


def choose_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` takes a GPU if there is one.

    Raises:
        InputError: not on this machine.
    """
    check_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device '{name[:40]}'; use auto, cpu or cuda.") from error
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise InputError(f"This machine has no device '{name[:40]}' that torch can use; use --device cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("This machine has no Apple GPU that torch can use; use --device cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"There is no device '{name[:40]}'; use auto, cpu or cuda.")
    return device
