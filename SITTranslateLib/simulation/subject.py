"""A head prepared for simulation: its labels, its ageing, and its lesion prior."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.ageing import Ageing, ageing
from SITTranslateLib.simulation.labels import BRAIN_LABELS, LEFT_RIGHT, LabelMap
from SITTranslateLib.simulation.lesions import lesion_potential
from SITTranslateLib.volume import Grid, VectorField, Volume

_LESION_TO_WHITE = {25: 2, 57: 41}


@dataclass(frozen=True, eq=False)
class Subject:
    """The properties of a head that do not depend on the pair.

    Attributes:
        labels: the head without its own lesions (they become white matter with a high lesion potential).
        velocity: of ageing, mm per decade, RAS, of the motion, 2 mm grid.
        lesion_potential: where lesions come first, on the same grid.
        ventricle_distance: mm to the lateral ventricles, on the same grid.
        targets, realised: volume change by structure, per cent a year.
    """

    labels: LabelMap
    velocity: VectorField
    lesion_potential: Volume
    ventricle_distance: Volume
    targets: dict[str, float]
    realised: dict[str, float]

    @property
    def name(self) -> str:
        return self.labels.name

    @cached_property
    def brain_box(self) -> tuple[tuple[slice, slice, slice], Grid]:
        """The part of the labels that holds brain, with a margin, and its grid."""
        brain = self.labels.mask(*BRAIN_LABELS)
        box = []
        for axis in range(3):
            where = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
            box.append(slice(max(0, int(where[0]) - 2), int(where[-1]) + 3))
        affine = self.labels.affine.copy()
        affine[:3, 3] = self.labels.grid.to_world(np.array([s.start for s in reversed(box)]))
        shape = self.labels.array[tuple(box)].shape
        return (box[0], box[1], box[2]), Grid(shape, affine)  # type: ignore[arg-type]

    @cached_property
    def coarse_velocity(self) -> VectorField:
        """The velocity on a 4 mm grid, for ventricles of another size."""
        return fields.resample_field(self.velocity, self.velocity.grid.coarsened(2))

    @cached_property
    def centre(self) -> np.ndarray:
        """RAS mm of the middle of the brain's bounding box."""
        grid = self.brain_box[1]
        return grid.centre

    def save(self, path: str | Path) -> None:
        """Write everything to one ``.npz``."""
        np.savez_compressed(
            path,
            labels=self.labels.array,
            labels_affine=self.labels.affine,
            velocity=self.velocity.array,
            affine=self.velocity.affine,
            lesion_potential=self.lesion_potential.array,
            ventricle_distance=self.ventricle_distance.array,
            about=json.dumps({"name": self.name, "targets": self.targets, "realised": self.realised}),
        )


def load_subject(path: str | Path) -> Subject:
    """Read a subject written by :meth:`Subject.save`."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            affine = data["affine"]
            return Subject(
                LabelMap(data["labels"], data["labels_affine"], about["name"]),
                VectorField(data["velocity"], affine),
                Volume(data["lesion_potential"], affine, "lesion potential"),
                Volume(data["ventricle_distance"], affine, "ventricle distance"),
                about["targets"],
                about["realised"],
            )
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path.name} is not a prepared subject: prepare it again from its label map.") from error


def prepare_subject(labels: LabelMap, seed: int = 0, *, aged: Ageing | None = None) -> Subject:
    """Prepare a head (a few seconds for a whole head at 1 mm; deterministic).

    Args:
        labels: a head with axes along +R, +A, +S, as :func:`read_label_map` gives it.
        seed: of the subject's lesion sites.
        aged: an ageing velocity to use instead of the computed one.
    """
    labels = labels.cropped()
    aged = ageing(labels) if aged is None else aged
    potential, distance = lesion_potential(labels, seed)
    plain = labels.array.copy()
    for lesion, white in _LESION_TO_WHITE.items():
        plain[plain == lesion] = white
    healed = LabelMap(plain, labels.affine, labels.name)
    return Subject(healed, aged.velocity, potential, distance, aged.targets, aged.realised)


def plain_subject(labels: LabelMap) -> Subject:
    """A head as it is, its own lesions drawn: for scans without ageing; takes no time."""
    labels = labels.cropped()
    affine = labels.grid.coarsened(max(labels.array.shape)).affine
    nothing = Volume(np.zeros((2, 2, 2), np.float32), affine)
    return Subject(labels, VectorField(np.zeros((2, 2, 2, 3), np.float32), affine), nothing, nothing, {}, {})


def brain_mask(labels: LabelMap, dilation_mm: float = 2.0) -> np.ndarray:
    """Brain and ventricles with the sulci closed and a thin rim, as skull stripping leaves it; ``(K, J, I)``."""
    brain = labels.mask(*BRAIN_LABELS)
    spacing = tuple(reversed(labels.grid.spacing))
    grown = ndimage.distance_transform_edt(~brain, sampling=spacing) <= dilation_mm + 2.0
    closed = ndimage.distance_transform_edt(grown, sampling=spacing) > 2.0
    return np.asarray(closed & labels.mask(*BRAIN_LABELS, 24, 30, 62, 85, 502, 514))


def mirrored(array: np.ndarray) -> np.ndarray:
    """Labels with left and right names exchanged (not their places)."""
    table = np.arange(600, dtype=np.int16)
    for label, other in LEFT_RIGHT.items():
        table[label] = other
    return table[array]
