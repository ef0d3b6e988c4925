"""Saving a scene as a bundle that Slicer opens (``.mrb``), a third of the size that Slicer itself gives it."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError


def save_bundle(scene: Any, nodes: Sequence[Any], path: Path) -> None:
    """Save a scene with everything in it; the nodes are those of a result.

    Raises:
        InputError: it cannot be written there.
    """
    compress(nodes)
    if not scene.WriteToMRB(str(path)):
        raise InputError(f"The scene cannot be saved as '{path.name}': is there room, and may the folder be written?")
    _deflate(path)


def compress(nodes: Sequence[Any]) -> None:
    """Have these nodes written compressed: a scene of fields is five times smaller so."""
    for node in nodes:
        if node.IsA("vtkMRMLStorableNode"):
            node.AddDefaultStorageNode()
            if (storage := node.GetStorageNode()) is not None:
                storage.SetUseCompression(1)
                if node.IsA("vtkMRMLTransformNode"):
                    # The default, HDF5, is not compressed.
                    storage.SetDefaultWriteFileExtension("nrrd")


def _deflate(path: Path) -> None:
    """Compress the members of a bundle, which Slicer only stores: it writes fields raw and in double precision."""
    part = path.with_name(f".{path.name}.part")
    try:
        with (
            zipfile.ZipFile(path) as stored,
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as small,
        ):
            for member in stored.infolist():
                small.writestr(member, stored.read(member), zipfile.ZIP_DEFLATED)
        part.replace(path)
    except OSError as error:
        raise InputError(f"The scene '{path.name}' cannot be compressed: the disk is full.") from error
    finally:
        part.unlink(missing_ok=True)
