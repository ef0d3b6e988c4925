"""TorchIO subjects as training data: the image of each, and its attributes for the training.

A dataset's transform is applied once, when a scan is prepared: preprocessing belongs there, augmentation does not.
"""

from __future__ import annotations

import math
import runpy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.recipes.sit.bids_dataset import KnownScan
from SITTranslateLib.volume import Volume

#: The name that a Python file gives its dataset.
SUBJECTS = "subjects"


def scans_of_subjects(subjects: Any, attributes: Sequence[str], image: str) -> list[KnownScan]:
    """The scans of a ``torchio.SubjectsDataset`` (or a list of subjects) that have a number for every attribute.

    Args:
        subjects: each with an image of that name and the attributes as numbers, e.g. ``age=63``.
        image: name of the image in a subject; the config's ``suffix``.

    Raises:
        InputError: no subject has that image or those attributes, or fewer than two do.
    """
    # Without loading: a dataset's own items come with their voxels, through its transform.
    plain = subjects.dry_iter() if hasattr(subjects, "dry_iter") else subjects
    scans = []
    for index, subject in enumerate(plain):
        values = tuple(_number(subject.get(name)) for name in attributes)
        if image not in subject or not all(math.isfinite(value) for value in values):
            continue
        name = Path(str(getattr(subject[image], "path", None) or f"subject-{index}"))
        scans.append(KnownScan(name, values, partial(_read, subjects, index, image)))
    if len(scans) < 2:
        raise InputError(
            f"{len(scans)} of the subjects have an image '{image}' and numbers for {' and '.join(attributes)}; two are "
            "least."
        )
    return scans


def subjects_of_file(file: Path) -> Any:
    """The ``subjects`` of a Python file. The file is executed: use only a trusted one.

    Raises:
        InputError: it cannot be run, or names none.
    """
    try:
        subjects_object = runpy.run_path(str(file)).get(SUBJECTS)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"'{file.name}' cannot be run ({type(error).__name__}: {text}).") from error
    if not hasattr(subjects_object, "__getitem__") or not hasattr(subjects_object, "__len__"):
        raise InputError(f"'{file.name}' does not name its torchio subjects: it needs 'subjects = ...'.")
    return subjects_object


def volume_of_image(image: Any, name: str = "volume") -> Volume:
    """A ``torchio.Image`` as a volume: both say in RAS mm where a voxel lies, and count them the other way round.

    Raises:
        InputError: more than one channel.
    """
    array = image.data.numpy()
    if array.shape[0] != 1:
        raise InputError(f"'{name}' has {array.shape[0]} channels; a scan has one.")
    return Volume(np.ascontiguousarray(array[0].transpose(2, 1, 0), dtype=np.float32), np.array(image.affine), name)


def _read(subjects: Any, index: int, image: str) -> Volume:
    return volume_of_image(subjects[index][image], f"{image} of subject {index}")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
