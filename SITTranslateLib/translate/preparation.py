"""Preparation of a scan for a network: on the card's grid about the brain, in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from SITTranslateLib.fields import tensors
from SITTranslateLib.packages import ModelCard, NetworkGrid, Normalisation
from SITTranslateLib.translate.head import Anatomy, background_of, corners_of, kept_for_last_volume, resample_itk
from SITTranslateLib.translate.normalisation import IntensityRange, percentile_range
from SITTranslateLib.volume import Grid, Volume

#: Half the width of what counts as a cut inside a brain and not as its outside, and what is tissue (network units).
SULCUS_MM = 4.0
TISSUE = 0.1
#: Full width at half maximum of a Gaussian in standard deviations.
FWHM = 2.3548


@dataclass(frozen=True, eq=False)
class Prepared:
    """The network's input and the way back.

    Attributes:
        image: normalised, on the network's grid (axes along +R, +A, +S).
        scale: between native units and the network's.
    """

    image: Volume
    scale: IntensityRange


def prepare(volume: Volume, anatomy: Anatomy, card: ModelCard) -> Prepared:
    """Bring a scan to the card's grid, centred on the brain, and to its intensities."""
    grid = network_grid(card.grid, anatomy.centre)
    resampled = reduced(volume, grid)
    scale = intensity_range(resampled.array, card.normalisation)
    array = scale.normalise(resampled.array)
    if card.normalisation.fluid and not anatomy.skull:
        array = with_fluid(array, card.normalisation.fluid, card.grid.spacing_mm)
    return Prepared(resampled.with_array(array), scale)


def network_grid(wanted: NetworkGrid, centre: NDArray[np.float64]) -> Grid:
    """The card's grid about a point in RAS mm."""
    return Grid.centred(centre, wanted.shape, wanted.spacing_mm)


@kept_for_last_volume
def reduced(volume: Volume, grid: Grid) -> Volume:
    """The volume smoothed to the resolution of a coarser, isotropic grid, and read on it."""
    smooth = antialiased(around(volume, grid, grid.spacing[0]), grid.spacing[0])
    # Not the minimum: interpolation rings below zero in stripped scans, and would pass for air where the scan ends.
    return resample_itk(smooth, grid, background_of(volume.array))


def around(volume: Volume, grid: Grid, margin_mm: float) -> Volume:
    """The part of a volume that a grid covers, a margin wider than what smoothing reaches: the rest costs time only."""
    corners = volume.grid.to_indices(corners_of(grid))
    margins = np.ceil(2.0 * margin_mm / np.array(volume.spacing)) + 1
    sizes = np.array(volume.shape[::-1])
    first = np.clip(np.floor(corners.min(axis=0) - margins), 0, sizes - 1).astype(int)
    last = np.clip(np.ceil(corners.max(axis=0) + margins), first, sizes - 1).astype(int)
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.to_world(first.astype(np.float64))
    (i, j, k), (x, y, z) = first, last + 1
    return Volume(volume.array[k:z, j:y, i:x], affine, volume.name)


def antialiased(volume: Volume, spacing_mm: float) -> Volume:
    """The volume smoothed to the resolution of a coarser grid; unchanged along axes that are as coarse already.

    The Gaussian that takes a profile of the width of one voxel to that of another (Cardoso et al., "Scale factor
    point spread function matching", MICCAI 2015).
    """
    sigmas = [np.sqrt(max(0.0, spacing_mm**2 - s**2)) / FWHM / s for s in volume.spacing]
    # Below a third of a voxel it changes nothing.
    needed = tuple(float(s) if s > 1.0 / 3.0 else 0.0 for s in reversed(sigmas))
    if not any(needed):
        return volume
    image = torch.from_numpy(np.ascontiguousarray(volume.array))[None, None]
    return volume.with_array(tensors.gaussian(image, needed)[0, 0].numpy())  # type: ignore[arg-type]


def with_fluid(array: NDArray[np.float32], fluid: float, spacing_mm: float) -> NDArray[np.float32]:
    """Nothing darker than CSF inside a stripped brain, ventricles and sulci that were cut out to 0 included.

    Args:
        array: a stripped brain in network units.
        fluid: what CSF has at least.
        spacing_mm: of the array's grid.
    """
    reach = max(1, round(SULCUS_MM / spacing_mm))
    # Margin for the closing: what touches the edge would grow into it otherwise.
    tissue = np.pad(array > TISSUE, reach).astype(np.uint8)
    closed = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(tissue), [reach] * 3, sitk.sitkBall)
    inside = sitk.GetArrayViewFromImage(sitk.BinaryFillhole(closed))[(slice(reach, -reach),) * 3] > 0
    return np.where(inside, np.maximum(array, np.float32(fluid)), array)


def intensity_range(array: NDArray[np.float32], wanted: Normalisation) -> IntensityRange:
    """The card's normalisation for these values."""
    if wanted.method == "range":
        return IntensityRange(wanted.low, wanted.high)
    return percentile_range(array, wanted.low, wanted.high, wanted.stretch)
