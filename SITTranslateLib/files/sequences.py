"""4D files and Slicer sequences (``.seq.nrrd``): number of frames, and writing frames as a sequence."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import nifti, nrrd
from SITTranslateLib.files.reading import LPS_RAS
from SITTranslateLib.files.writing import GZIP, packed, write_bytes
from SITTranslateLib.volume import Volume

#: More frames than any scanner makes; a header with more is damaged.
MOST_FRAMES = 10_000


def frame_count(path: Path) -> int:
    """Frames of a NIfTI or NRRD file by its header alone; 1 for 3D files and for what is not understood."""
    try:
        if nifti.is_named_so(path):
            count = nifti.frame_count(path)
        else:
            count = nrrd.frame_count(path) if path.name.lower().endswith((".nrrd", ".nhdr")) else 1
    except InputError:
        return 1
    return count if 1 <= count <= MOST_FRAMES else 1


def write_sequence(frames: Sequence[Volume], path: str | os.PathLike[str], index: Sequence[float] = ()) -> Path:
    """Write volumes on one grid as a sequence that Slicer opens (``.seq.nrrd``, LPS, gzip).

    Args:
        frames: at least one; all on one grid.
        path: ends in ``.seq.nrrd``.
        index: value of each frame on the sequence's axis; 0, 1, 2, ... if not given.

    Raises:
        InputError: no frames, frames that do not lie on one grid, another ending, or a place that cannot be written.
    """
    target = Path(path)
    if not target.name.lower().endswith(".seq.nrrd"):
        raise InputError(f"'{target.name}' is not the name of a Slicer sequence; end it in .seq.nrrd.")
    if not frames or any(not frame.grid.matches(frames[0].grid) for frame in frames):
        raise InputError(f"'{target.name}' cannot be written: its frames do not lie on one grid.")
    values = list(index) or [float(number) for number in range(len(frames))]
    if len(values) != len(frames):
        raise InputError(f"'{target.name}' has {len(frames)} frames and {len(values)} index values.")
    lps = LPS_RAS @ frames[0].affine

    def vector(numbers: np.ndarray) -> str:
        return "(" + ",".join(repr(float(n)) for n in numbers) + ")"

    size = " ".join(str(n) for n in (*reversed(frames[0].shape), len(frames)))
    header = [
        "NRRD0004",
        "type: float",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {size}",
        f"space directions: {' '.join(vector(lps[:3, axis]) for axis in range(3))} none",
        "kinds: domain domain domain list",
        'labels: "" "" "" "frame"',
        "endian: little",
        "encoding: gzip",
        f"space origin: {vector(lps[:3, 3])}",
        "DataNodeClassName:=vtkMRMLScalarVolumeNode",
        "axis 3 index type:=numeric",
        f"axis 3 index values:={' '.join(f'{value:g}' for value in values)}",
    ]
    data = np.stack([frame.array for frame in frames]).astype("<f4", copy=False)
    return write_bytes(target, [("\n".join(header) + "\n\n").encode("ascii"), *packed(b"", data, GZIP)])
