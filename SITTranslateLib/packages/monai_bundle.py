"""The network of a MONAI bundle, read as data: no expression of it is evaluated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SITTranslateLib.errors import PackageError

if TYPE_CHECKING:
    from torch import Tensor

CONFIGS = ("inference.json", "train.json")
WEIGHTS = ("model.safetensors", "model.pt")
#: Where a bundle's config keeps the network.
NETWORK_KEYS = ("network_def", "network", "net")
#: Inferers of MONAI that run a network on the whole image, and patch by patch; no others are taken.
WHOLE, PATCHES = ("SimpleInferer",), ("SlidingWindowInferer", "SlidingWindowInfererAdapt")
#: Arguments of an inferer that change how fast it is and not what it gives.
SPEED_ONLY = ("sw_batch_size", "sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps")
_LARGEST_CONFIG = 4 << 20
_REFERENCE = re.compile(r"@([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True)
class BundleNetwork:
    """The network of a bundle: class name, plain arguments, image layout of its inferer, weights by parameter name."""

    name: str
    arguments: dict[str, Any]
    images: dict[str, Any]
    weights: dict[str, Tensor]


def read_bundle(folder: Path) -> BundleNetwork:
    """The network of a MONAI bundle.

    Raises:
        PackageError: no bundle, a network that is not a class of MONAI with plain arguments, or weights that are not
            plain tensors; with the reason.
    """
    config = _config(folder)
    definition = next((config[key] for key in NETWORK_KEYS if key in config), None)
    if not isinstance(definition, dict) or "_target_" not in definition:
        raise PackageError(f"The bundle '{folder.name}' names no network ({', '.join(NETWORK_KEYS)}) in its config.")
    target = str(definition["_target_"])
    name = target.removeprefix("monai.networks.nets.")
    if not name.isidentifier():
        raise PackageError(f"The bundle's network '{target[:80]}' is not a class of MONAI; its code is not run.")
    arguments = {
        key: _plain(value, config, key)
        for key, value in definition.items()
        if not (key.startswith("_") and key.endswith("_"))
    }
    return BundleNetwork(name, arguments, _patches(folder, config, arguments), _weights(folder))


def _patches(folder: Path, config: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Patch, overlap and weighting of the bundle's inferer as parameters of a card; none if it takes the whole image.

    Raises:
        PackageError: another inferer, or one that blends in another way: the network would give something else here.
    """
    definition = config.get("inferer")
    if definition is None:
        return {}
    target = str(definition.get("_target_", "")) if isinstance(definition, dict) else ""
    name = target.removeprefix("monai.inferers.")
    if name in WHOLE:
        return {}
    if name not in PATCHES or not isinstance(definition, dict):
        raise PackageError(
            f"The inferer '{name[:60]}' of the bundle '{folder.name}' is not one that is taken: "
            f"{', '.join(WHOLE + PATCHES)}."
        )
    given = {
        key: _plain(value, config, key)
        for key, value in definition.items()
        if not key.startswith("_") and key not in SPEED_ONLY
    }
    size = given.pop("roi_size", None)
    count = arguments.get("spatial_dims", 3)
    images = {
        "patch": [size] * count if isinstance(size, int) else size,
        "overlap": given.pop("overlap", 0.25),
        "weighting": given.pop("mode", "constant"),
    }
    defaults = {"sigma_scale": 0.125, "padding_mode": "constant", "cval": 0.0, "with_coord": False, "buffer_dim": -1}
    other = [key for key, value in given.items() if key not in defaults or value != defaults[key]]
    if other:
        raise PackageError(f"The bundle's inferer blends its patches by '{other[0][:40]}', which is not taken over.")
    return images


def _own_file(folder: Path, *parts: str) -> Path | None:
    """A file of the bundle, None if there is none.

    Raises:
        PackageError: it, or the folder that it lies in, is a link: what is behind one may change, or be anything.
    """
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise PackageError(
                f"'{part}' of the bundle '{folder.name}' is a link, as download caches keep them; give a copy "
                "that holds the files themselves (cp -rL makes one)."
            )
    return path if path.is_file() else None


def _config(folder: Path) -> dict[str, Any]:
    for name in CONFIGS:
        file = _own_file(folder, "configs", name)
        if file is None:
            continue
        try:
            if file.stat().st_size > _LARGEST_CONFIG:
                raise PackageError(f"The bundle's '{name}' is larger than a config can be.")
            raw = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise PackageError(f"The bundle's '{name}' cannot be read as JSON.") from error
        if isinstance(raw, dict):
            return raw
    raise PackageError(f"'{folder.name}' is not a MONAI bundle with a JSON config (configs/{CONFIGS[0]}).")


def _plain(value: Any, config: dict[str, Any], where: str, depth: int = 0) -> Any:
    """A value without references and expressions: those would have to be run."""
    if depth > 8:
        raise PackageError(f"The bundle's argument '{where}' is nested too deeply or refers to itself.")
    if isinstance(value, dict):
        raise PackageError(f"The bundle's argument '{where}' is an object of its own; only plain values are taken.")
    if isinstance(value, list):
        return [_plain(item, config, where, depth + 1) for item in value]
    if isinstance(value, str) and value.startswith("$"):
        raise PackageError(f"The bundle's argument '{where}' is an expression ('{value[:60]}'), and none is evaluated.")
    if isinstance(value, str) and value.startswith(("@", "%")):
        match = _REFERENCE.fullmatch(value)
        if match is None or match[1] not in config:
            raise PackageError(f"The bundle's argument '{where}' refers to '{value[:60]}', which is no plain value.")
        return _plain(config[match[1]], config, where, depth + 1)
    return value


def _weights(folder: Path) -> dict[str, Tensor]:
    import torch

    for name in WEIGHTS:
        file = _own_file(folder, "models", name)
        if file is None:
            continue
        try:
            if name.endswith(".safetensors"):
                from safetensors.torch import load_file

                found: Any = load_file(file)
            else:
                # Tensors and containers only: anything else in the pickle is refused by torch before it runs.
                found = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise PackageError(
                f"The bundle's '{name}' holds more than weights, or is damaged; it is not read."
            ) from error
        if isinstance(found, dict) and isinstance(found.get("model"), dict):
            found = found["model"]
        if isinstance(found, dict) and found and all(isinstance(v, torch.Tensor) for v in found.values()):
            return {str(key).removeprefix("module."): value for key, value in found.items()}
        raise PackageError(f"The bundle's '{name}' is not a table of weights.")
    raise PackageError(
        f"The bundle '{folder.name}' has no weights that can be read: models/{' or models/'.join(WEIGHTS)}."
    )
