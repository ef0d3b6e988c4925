"""A scan as a network wants it: on the card's grid about the brain, in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.files import place_image
from SITTranslateLib.packages import ModelCard, NetworkGrid, Normalisation
from SITTranslateLib.translate.anatomy import Anatomy, resample_itk
from SITTranslateLib.translate.normalisation import IntensityRange, percentile_range
from SITTranslateLib.volume import Grid, Volume

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
    smooth = antialiased(volume, card.grid.spacing_mm)
    resampled = resample_itk(smooth, grid, float(volume.array.min()))
    scale = intensity_range(resampled.array, card.normalisation)
    return Prepared(resampled.with_array(scale.normalise(resampled.array)), scale)


def network_grid(wanted: NetworkGrid, centre: NDArray[np.float64]) -> Grid:
    """The card's grid about a point in RAS mm."""
    return Grid.centred(centre, wanted.shape, wanted.spacing_mm)


def antialiased(volume: Volume, spacing_mm: float) -> Volume:
    """The volume smoothed to the resolution of a coarser grid; unchanged along axes that are as coarse already.

    The Gaussian that takes a profile of the width of one voxel to that of another (Cardoso et al., "Scale factor
    point spread function matching", MICCAI 2015).
    """
    sigmas = [np.sqrt(max(0.0, spacing_mm**2 - s**2)) / FWHM for s in volume.spacing]
    image = place_image(sitk.GetImageFromArray(volume.array), volume.affine)
    for axis, (sigma, spacing, count) in enumerate(zip(sigmas, volume.spacing, volume.shape[::-1], strict=True)):
        # The recursive filter needs four voxels; below a third of a voxel it changes nothing.
        if sigma > spacing / 3.0 and count >= 4:
            image = sitk.RecursiveGaussian(
                image, float(sigma), False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis
            )
    return volume.with_array(sitk.GetArrayFromImage(image))


def intensity_range(array: NDArray[np.float32], wanted: Normalisation) -> IntensityRange:
    """The card's normalisation for these values."""
    if wanted.method == "range":
        return IntensityRange(wanted.low, wanted.high)
    return percentile_range(array, wanted.low, wanted.high, wanted.stretch)
