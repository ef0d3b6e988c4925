"""Label maps that commands are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SITTranslateLib.volume import Volume


def read_label_map(path: str | None) -> Volume | None:
    """The label map in a file, its labels of any size apart; None without a file.

    Raises:
        InputError: unreadable, or no label map.
    """
    from SITTranslateLib.files import read_labels
    from SITTranslateLib.volume import LabelMap

    if path is None:
        return None
    array, affine = read_labels(path)
    return LabelMap(array, affine, Path(path).name.split(".")[0])  # type: ignore[arg-type]
