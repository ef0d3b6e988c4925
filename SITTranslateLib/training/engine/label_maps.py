"""Label maps of heads, prepared for simulation once and cached."""

from __future__ import annotations

import re
from pathlib import Path

from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import (
    LabelMap,
    Subject,
    load_subject,
    prepare_subject,
    procedural_head,
    read_label_map,
)
from SITTranslateLib.training.engine.progress import steps_with_progress


def prepared_subjects(folder: Path, names: tuple[str, ...], cache: Path) -> list[Subject]:
    """Label maps ``*_NAME.nii.gz`` of a folder (or ``procedural-N``), prepared for simulation once, kept in ``cache``.

    Raises:
        InputError: a map that is not there.
    """
    cache.mkdir(parents=True, exist_ok=True)
    subjects = []
    with steps_with_progress("label maps", 0, len(names)) as advance:
        for name in names:
            stored = cache / f"{name}.npz"
            if stored.exists():
                subjects.append(load_subject(stored))
            else:
                subjects.append(prepare_subject(label_map(folder, name)))
                subjects[-1].save(stored)
            advance({})
    return subjects


def label_map(folder: Path, name: str) -> LabelMap:
    """The map of that name; ``procedural-7`` is a head made of formulas, which needs no data."""
    procedural = re.fullmatch(r"procedural-(\d{1,6})", name)
    if procedural is not None:
        return procedural_head(seed=int(procedural[1]))
    files = sorted(folder.glob(f"*_{name}.nii.gz"))
    if not files:
        raise InputError(f"There is no label map '*_{name}.nii.gz' in {folder}; give the folder of label maps.")
    return read_label_map(files[0])
