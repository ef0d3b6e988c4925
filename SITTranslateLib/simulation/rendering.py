"""A subject on a grid, and its noise-free image in any contrast.

Partial volume: signals are averaged over about one voxel of the grid at the label map's own resolution before they
are read, so that an image of 2 mm from labels of 1 mm is not blocky.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.simulation.contrast import signal_table, texture_table
from SITTranslateLib.simulation.deformation import (
    Deformation,
    DeformationRange,
    no_deformation,
    random_deformation,
)
from SITTranslateLib.simulation.labels import WHITE_MATTER, LabelMap, lookup
from SITTranslateLib.simulation.lesions import lesion_share
from SITTranslateLib.simulation.scanner import Scanner
from SITTranslateLib.simulation.subject import Subject, brain_mask, mirrored
from SITTranslateLib.simulation.tissue import Tissue
from SITTranslateLib.volume import Grid, VectorField

COARSENING = 2
CT_TEXTURE_HU = 20.0
"""HU by which a texture of 1 varies a CT (the tables hold a few hundredths)."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PlacedHead:
    """A subject, deformed or not, on a grid.

    Attributes:
        grid: of the images.
        deformation: where the grid's points lie in the subject, and the ageing velocity there.
        points: RAS mm in the subject of every voxel ``(K, J, I, 3)``.
        labels: nearest label of every voxel.
        white, potential: share of white matter and lesion potential of every voxel.
        texture: smooth noise of unit variance that belongs to the anatomy.
    """

    subject: Subject
    grid: Grid
    deformation: Deformation
    points: Array
    labels: LabelMap
    white: Array
    potential: Array
    texture: Array

    def lesions(self, load: float) -> Array:
        """Share of lesion in every voxel for a load in mL."""
        return lesion_share(self.potential, self.white, self.grid.voxel_volume / 1000.0, load)


def place(
    subject: Subject, grid: Grid, rng: np.random.Generator, deform: bool | DeformationRange, lesions: bool = True
) -> PlacedHead:
    """Put a subject on a grid; ``lesions`` False leaves out what only lesions need."""
    coarse = grid.coarsened(COARSENING)
    if deform is False:
        deformation = no_deformation(subject, coarse)
    else:
        limits = DeformationRange() if deform is True else deform
        deformation = random_deformation(subject, coarse, rng, limits)
    points = _points(deformation.displacement, grid)
    zero = np.zeros(grid.shape, np.float32)
    potential = subject.lesion_potential
    return PlacedHead(
        subject,
        grid,
        deformation,
        points,
        _nearest_labels(subject.labels, points, deformation.flipped, grid),
        _white_matter(subject, points, grid) if lesions else zero,
        _read(potential.array, potential.grid, points) if lesions else zero,
        _texture(grid, rng),
    )


def clean_images(
    head: PlacedHead,
    contrast: str,
    tissues: Mapping[str, Tissue],
    scanner: Scanner,
    loads: tuple[float, ...] = (0.0,),
    skull_strip: bool = False,
) -> list[Array]:
    """The head in a contrast with each lesion load (mL): native units after the scanner's transfer, no blur, no noise.

    Voxels whose lesion share is equal for two loads have equal bytes in both images.
    """
    signals = signal_table(contrast, tissues)
    signal = _read_averaged(signals[head.subject.labels.array], head.subject.labels.grid, head)
    texture = head.texture * texture_table(tissues)[head.labels.array]
    lesion_contrast = np.float32(signals[25] - signals[2])
    strip = brain_mask(head.labels) if skull_strip else None
    images = []
    for load in loads:
        value = signal + lesion_contrast * head.lesions(load) if load > 0 else signal
        if scanner.hounsfield:
            image = value + np.float32(CT_TEXTURE_HU) * texture
        else:
            image = scanner.transfer(value * (1 + texture), float(signals[2]))
        air = np.float32(signals[0] if scanner.hounsfield else 0.0)
        images.append(image if strip is None else np.where(strip, image, air))
    return images


def _points(displacement: VectorField, grid: Grid) -> Array:
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid.shape), indexing="ij")
    points = np.stack((i, j, k), axis=-1) @ grid.axes.T.astype(np.float32) + grid.affine[:3, 3].astype(np.float32)
    return np.asarray(points + fields.resample_field(displacement, grid).array)


def _indices(points: Array, grid: Grid) -> Array:
    inverse = np.linalg.inv(grid.axes)
    offset = (inverse @ grid.affine[:3, 3]).astype(np.float32)
    return np.asarray(points @ inverse.T.astype(np.float32) - offset)


def _read(array: Array, grid: Grid, points: Array) -> Array:
    """Linear values at points; the border is repeated outside."""
    indices = torch.from_numpy(_indices(points, grid))[None]
    image = torch.from_numpy(np.ascontiguousarray(array))[None, None]
    return tensors.sample(image, indices)[0, 0].numpy()


def _read_averaged(array: Array, source: Grid, head: PlacedHead) -> Array:
    return _read(_averaged(array, source, head.grid), source, head.points)


def _averaged(array: Array, source: Grid, grid: Grid) -> Array:
    """Averaged over about one voxel of ``grid``; an image as fine as its labels gets a scanner's narrow spread."""
    side = 0.25 if min(grid.spacing) >= 1.5 * max(source.spacing) else 0.125
    for axis in range(3):
        moved = np.moveaxis(array, axis, 0)
        out = moved * np.float32(1 - 2 * side)
        out[1:-1] += np.float32(side) * (moved[:-2] + moved[2:])
        out[0], out[-1] = moved[0], moved[-1]
        array = np.moveaxis(out, 0, axis)
    return array


def _white_matter(subject: Subject, points: Array, grid: Grid) -> Array:
    box, box_grid = subject.brain_box
    mask = lookup(dict.fromkeys(WHITE_MATTER, 1.0), np.float32)[subject.labels.array[box]]
    return _read(_averaged(mask, box_grid, grid), box_grid, points)


def _nearest_labels(labels: LabelMap, points: Array, flipped: bool, grid: Grid) -> LabelMap:
    """Nearest labels at points; air outside the map."""
    indices = np.rint(_indices(points, labels.grid)).astype(np.int32)
    sizes = np.array(labels.array.shape[::-1], dtype=np.int32)
    inside = ((indices >= 0) & (indices < sizes)).all(axis=-1)
    i, j, k = np.moveaxis(np.clip(indices, 0, sizes - 1), -1, 0)
    array = np.where(inside, labels.array[k, j, i], np.int16(0))
    return LabelMap(mirrored(array) if flipped else array, grid.affine, labels.name)


def _texture(grid: Grid, rng: np.random.Generator) -> Array:
    """Smooth noise of unit variance, correlated over about 5 mm, bounded."""
    coarse = grid.coarsened(max(1, round(4.0 / grid.spacing[0])))
    noise = torch.from_numpy(rng.standard_normal(coarse.shape, dtype=np.float32))[None, None]
    smooth = functional.interpolate(noise, size=grid.shape, mode="trilinear", align_corners=True)[0, 0].numpy()
    return np.asarray(np.clip(smooth / smooth.std(), -2.5, 2.5), dtype=np.float32)


def class_shares(head: PlacedHead, class_of_label: NDArray[np.uint8], classes: int) -> Array:
    """Share of each class in every voxel ``(classes, K, J, I)``, partial volume as in the images; they sum to 1.

    Args:
        class_of_label: class of each label, as a table indexed by label.
    """
    labels = head.subject.labels
    found = class_of_label[labels.array]
    shares = np.stack([_read_averaged((found == n).astype(np.float32), labels.grid, head) for n in range(classes)])
    return np.asarray(shares / np.maximum(shares.sum(axis=0), 1e-6), dtype=np.float32)
