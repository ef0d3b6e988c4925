"""How a case ended: translated and checked, or refused in one sentence. Everything else is a fault of ours."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from tiny_model import write_tiny_package

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume
from SITTranslateLib.packages import NetworkGrid
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.saving import read_translation, save_translation
from SITTranslateLib.translate.verification import verify
from SITTranslateLib.volume import Volume


class Fault(AssertionError):  # noqa: N818 - of ours, not of the input
    """An outcome that a user must never see."""


def fast_model(folder: Path) -> LoadedModel:
    """A network on 16 x 16 x 16 voxels of 10 mm: it moves and changes a scan in a few milliseconds."""
    return load_model(write_tiny_package(folder / "fast", grid=NetworkGrid(10.0, (16, 16, 16))), "cpu")


def of_volume(volume: Volume, model: LoadedModel, *, force: bool, keep: Path | None = None) -> str:
    """Translate a volume and check the result; with ``keep``, save it and check what was saved.

    Raises:
        Fault: anything but a result that passes, or one sentence.
    """
    try:
        result = translate(volume, model, force=force, attributes={"age": 10})
    except InputError as error:
        return refused(error)
    found = verify(result)
    if not found.passed:
        raise Fault(f"translated, but {found.verdict}")
    if keep is not None:
        found = verify(read_translation(save_translation(result, keep)))
        if not found.passed:
            raise Fault(f"saved and read back, but {found.verdict}")
    return "translated"


def of_path(
    path: Path, model: LoadedModel, *, force: bool, keep: Path | None = None, honest: np.ndarray | None = None
) -> str:
    """Read, translate and check a file or folder; see :func:`of_volume`.

    With ``honest``, what is read must be these voxels or nothing.
    """
    try:
        volume = read_volume(path)
    except InputError as error:
        return refused(error, path)
    if honest is not None and not np.array_equal(volume.array, honest):
        raise Fault("read, but not the voxels of this file")
    return of_volume(volume, model, force=force, keep=keep)


def refused(error: InputError, path: Path | None = None) -> str:
    """The refusal's sentence.

    Raises:
        Fault: it is no sentence for a user, or says where the file lies.
    """
    text = str(error)
    if path is not None:
        # The file's own name may hold anything; what we write around it may not.
        if path.parent.name in text.replace(path.name, ""):
            raise Fault(f"the place of the file is in {text!r}")
        text = text.replace(path.name, "scan")
    if not text.endswith(".") or not 20 <= len(text) <= 500 or re.search(r"Traceback|0x[0-9a-f]{8}", text):
        raise Fault(f"not a sentence: {text!r}")
    return "refused: " + re.sub(r"'[^']*'", "'scan'", text)
