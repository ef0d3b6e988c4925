"""What a record of how a translation was made says of the scan and of the software."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata

import numpy as np

from SITTranslateLib import __version__
from SITTranslateLib.volume import Volume

_SOFTWARE = ("torch", "numpy", "SimpleITK", "monai", "safetensors")


def hash_of(volume: Volume) -> str:
    """sha256 of a scan's voxels and position; identifies the scan of a result without naming a person."""
    digest = hashlib.sha256(np.array(volume.shape, dtype="<i8").tobytes())
    digest.update(np.round(volume.affine, 4).astype("<f8").tobytes())
    digest.update(np.ascontiguousarray(volume.array, dtype="<f4").data)
    return digest.hexdigest()


def software_versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    versions = {"python": platform.python_version(), "sittranslate": __version__}
    for name in _SOFTWARE:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
