"""Label maps that commands are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SITTranslateLib.volume import Volume


def read_label_map(path: str | None) -> Volume | None:
    """The label map in a file, as a volume of whole numbers; None without a file.

    Raises:
        InputError: unreadable, or no label map.
    """
    import numpy as np

    from SITTranslateLib.files import read_labels
    from SITTranslateLib.volume import Volume

    if path is None:
        return None
    array, affine = read_labels(path)
    return Volume(array.astype(np.float32), affine, Path(path).name.split(".")[0])
