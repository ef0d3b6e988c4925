"""The numbered cases: case ``n`` is the same file on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hostile import damage, seeds, series

#: Kinds of case in turn, so that any stretch of numbers holds every kind.
KINDS = (
    "nii field", "nii.gz field", "nii field", "nrrd text", "mha text", "mhd text", "nhdr text", "any single",
    "any single", "any single", "any detached", "voxels", "packed twice", "nifti2", "series", "series", "hdr field",
    "any single", "mha text", "nrrd text", "packed flip", "neighbour", "pair", "list", "multi-frame", "multi-frame",
)  # fmt: skip
#: Kinds of which these very voxels are read, or none.
SAME_VOXELS = ("packed", "neighbour")


def make(number: int, folder: Path) -> tuple[str, Path]:
    """Write case ``number`` into a folder; what it is, and the path to be read."""
    rng = np.random.default_rng([20, number])
    kind = KINDS[number % len(KINDS)]
    if kind == "series":
        path = seeds.write_series(folder)
        change = series.CHANGES[int(rng.integers(len(series.CHANGES)))]
        change(path, rng)
        files = [f for f in sorted(path.iterdir()) if f.suffix == ".dcm"]
        one = bool(files) and rng.random() < 0.3
        return f"series {change.__name__}", files[0] if one else path
    if kind == "multi-frame":
        path = seeds.write_multi_frame(folder)
        change = series.FRAME_CHANGES[int(rng.integers(len(series.FRAME_CHANGES)))]
        change(path, rng)
        return f"{kind} {change.__name__}", path
    path = _seed(kind, folder, rng)
    if kind in ("packed flip", "neighbour", "pair", "list"):
        change_beside = {
            "packed flip": damage.flip_packed,
            "neighbour": damage.neighbours,
            "pair": damage.half,
            "list": damage.lists,
        }[kind]
        return kind, change_beside(path, rng) or path
    if kind == "nifti2" or kind.startswith("any"):
        changes = (damage.cut, damage.flip, damage.insert) if kind != "any single" else damage.OF_ANY
        change_any = changes[int(rng.integers(len(changes)))]
        path = change_any(path, rng) or path
        return f"{kind} {change_any.__name__}", path
    if kind == "packed twice":
        return kind, damage.packed_twice(path, rng)
    {"field": damage.nifti_field, "text": damage.text_field, "voxels": damage.other_values}[kind.split()[-1]](path, rng)
    return kind, path


def _seed(kind: str, folder: Path, rng: np.random.Generator) -> Path:
    first = kind.split()[0]
    if first in ("nii", "nii.gz", "nrrd", "mha"):
        return seeds.write_single(folder, f".{first}", np.int16 if rng.random() < 0.3 else np.float32)
    if first in ("mhd", "nhdr", "hdr"):
        return seeds.write_detached(folder, f".{first}")
    if kind == "nifti2":
        return seeds.write_nifti2(folder)
    if kind == "packed flip":
        ending = (".mha", ".mhd", ".nrrd", ".nhdr", ".nii.gz")[int(rng.integers(5))]
        return seeds.write_single(folder, ending, packed=True)
    if kind == "neighbour":
        return seeds.write_single(folder, (".nii", ".nii.gz")[int(rng.integers(2))])
    if kind == "pair":
        return seeds.write_detached(folder, ".hdr")
    if kind == "list":
        return seeds.write_detached(folder, (".mhd", ".nhdr")[int(rng.integers(2))])
    if kind == "voxels":
        return seeds.write_single(folder, (".nii", ".mha")[int(rng.integers(2))])
    if kind == "packed twice":
        return seeds.write_single(folder, ".nii.gz")
    if kind == "any detached":
        return seeds.write_detached(folder, list(seeds.DETACHED)[int(rng.integers(3))])
    return seeds.write_single(folder, seeds.SINGLE[int(rng.integers(len(seeds.SINGLE)))])
