"""Real visits as training data: every contrast of a visit on one 1 mm grid, aligned, with masks of brain and lesions.

The grid is the network's: 1 mm along +R, +A, +S about the middle of the brain, as a translation prepares a scan. All
contrasts are brought into the space of FLAIR (of T1w where there is none), in which lesions are drawn, by a rigid
registration with mutual information. Thick slices are interpolated linearly, as in use.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import place_image, read_volume
from SITTranslateLib.packages import NetworkGrid
from SITTranslateLib.segmentation.maps import tissue_probabilities
from SITTranslateLib.segmentation.tissues import BRAIN
from SITTranslateLib.training.engine.visits import CONTRASTS, Visit, existing
from SITTranslateLib.translate.head import background_of, locate_head, resample_itk
from SITTranslateLib.translate.preparation import antialiased, network_grid
from SITTranslateLib.volume import Grid, Volume

log = logging.getLogger(__name__)

GRID = NetworkGrid(1.0, (176, 208, 176))
#: Largest correction by the registration that is believed, mm and degrees.
LARGEST_SHIFT_MM, LARGEST_TURN_DEG = 12.0, 12.0

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PreparedVisit:
    """A visit on the network's grid.

    Attributes:
        name: of the visit.
        scans: contrast to array ``(K, J, I)`` in native units, background 0 in stripped scans.
        unaligned: the same before the registration.
        brain: mask of the brain with its fluid, where every scan covers it.
        covered: mask of where every scan shows something of the head.
        lesions: mask of lesions or tumour; empty where there is none.
        affine: of the grid, ijk to RAS mm.
        shifts: contrast to the length of the registration's correction at the brain's middle, mm.
    """

    name: str
    scans: dict[str, Array]
    unaligned: dict[str, Array]
    brain: Mask
    covered: Mask
    lesions: Mask
    affine: NDArray[np.float64]
    shifts: dict[str, float]


def prepared(visit: Visit, data: Path, cache: Path) -> PreparedVisit:
    """The prepared visit, from the cache where it is there.

    Args:
        visit: to prepare.
        data: folder with the scans.
        cache: folder that keeps prepared visits, outside the repository.

    Raises:
        InputError: no scans there, or a registration that went astray.
    """
    file = cache / f"{visit.name}.npz"
    if file.is_file():
        return _load(file)
    ready = _prepare(visit, data)
    cache.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {"brain": ready.brain, "lesions": ready.lesions, "affine": ready.affine}
    for contrast, array in ready.scans.items():
        parts[f"scan_{contrast}"] = array
        parts[f"unaligned_{contrast}"] = ready.unaligned[contrast]
        parts[f"shift_{contrast}"] = ready.shifts[contrast]
    part = file.with_suffix(".part.npz")
    np.savez(part, **parts)
    part.replace(file)
    return _load(file)


def _load(file: Path) -> PreparedVisit:
    with np.load(file) as stored:
        contrasts = [c for c in CONTRASTS if f"scan_{c}" in stored]
        scans = {c: stored[f"scan_{c}"] for c in contrasts}
        covered = _covered(list(scans.values()))
        return PreparedVisit(
            name=file.stem,
            scans=scans,
            unaligned={c: stored[f"unaligned_{c}"] for c in contrasts},
            brain=stored["brain"] & covered,
            covered=covered,
            lesions=stored["lesions"],
            affine=stored["affine"],
            shifts={c: float(stored[f"shift_{c}"]) for c in contrasts},
        )


def _prepare(visit: Visit, data: Path) -> PreparedVisit:
    files = existing(visit, data)
    if len(files) < 2:
        raise InputError(f"The data folder holds {len(files)} scans of '{visit.name}', and a pair needs two.")
    volumes = {contrast: read_volume(file) for contrast, file in files.items()}
    fixed_name = "FLAIR" if "FLAIR" in volumes else "T1w"
    fixed = volumes[fixed_name]
    grid = network_grid(GRID, locate_head(fixed).centre)
    reference = _on(fixed, grid)
    brain = _brain(visit, reference, grid, data)
    scans, unaligned, shifts = {}, {}, {}
    for contrast, volume in volumes.items():
        unaligned[contrast] = _on(volume, grid).array
        if contrast == fixed_name:
            scans[contrast], shifts[contrast] = unaligned[contrast], 0.0
            continue
        transform, shifts[contrast] = align(reference, volume, brain, _start(visit, contrast, data))
        scans[contrast] = _on(volume, grid, transform).array
        log.info("%s %s: moved by %.2f mm", visit.name, contrast, shifts[contrast])
    lesions = _mask(data / visit.lesions, grid) if visit.lesions else np.zeros(grid.shape, dtype=bool)
    covered = np.ones_like(brain)
    return PreparedVisit(visit.name, scans, unaligned, brain, covered, lesions, grid.affine, shifts)


def _covered(scans: list[Array]) -> Mask:
    """Mask covered by every scan, since slabs end at different heights; computed in blocks of 4 mm."""
    coarse = np.ones([n // 4 for n in scans[0].shape], dtype=bool)
    for scan in scans:
        there = np.abs(scan - background_of(scan)) > 1e-3 * np.ptp(scan)
        k, j, i = coarse.shape
        blocks = there[: 4 * k, : 4 * j, : 4 * i].reshape(k, 4, j, 4, i, 4).mean(axis=(1, 3, 5)) > 0.3
        coarse &= ndimage.binary_closing(np.pad(blocks, 4), iterations=3)[4:-4, 4:-4, 4:-4]
    return np.asarray(coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2))


def _on(volume: Volume, grid: Grid, transform: sitk.Transform | None = None) -> Volume:
    """A scan on a grid, linear, read through ``transform`` (points of the grid to points of the scan, LPS mm)."""
    smooth = antialiased(volume, GRID.spacing_mm)
    outside = background_of(volume.array)
    if transform is None:
        return resample_itk(smooth, grid, outside)
    image = place_image(sitk.GetImageFromArray(smooth.array), smooth.affine)
    onto = place_image(sitk.Image(list(grid.shape[::-1]), sitk.sitkUInt8), grid.affine)
    moved = sitk.Resample(image, onto, transform, sitk.sitkLinear, outside, sitk.sitkFloat32)
    return Volume(sitk.GetArrayFromImage(moved), grid.affine, volume.name)


def _mask(file: Path, grid: Grid) -> Mask:
    image = sitk.Cast(sitk.ReadImage(str(file)) > 0, sitk.sitkFloat32)
    onto = place_image(sitk.Image(list(grid.shape[::-1]), sitk.sitkUInt8), grid.affine)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, onto, sitk.Transform(), sitk.sitkLinear, 0.0)) > 0.5)


def _brain(visit: Visit, reference: Volume, grid: Grid, data: Path) -> Mask:
    if visit.brain:
        return _mask(data / visit.brain, grid)
    if visit.stripped:
        there = ndimage.binary_opening(np.abs(reference.array) > 1e-3 * np.ptp(reference.array), iterations=1)
        return _solid(there)
    coarse = Grid.centred(_centre(grid), (88, 104, 88), 2.0)
    image = resample_itk(antialiased(reference, 2.0), coarse, background_of(reference.array))
    found = tissue_probabilities(torch.from_numpy(image.array)[None, None])
    share = found[0, list(BRAIN)].sum(dim=0).numpy()
    fine = resample_itk(Volume(share, coarse.affine, "brain"), grid, 0.0).array
    return _solid(ndimage.binary_opening(fine > 0.5, iterations=2))


def _centre(grid: Grid) -> NDArray[np.float64]:
    return grid.to_world((np.array(grid.shape[::-1]) - 1) / 2.0)


def _solid(mask: Mask) -> Mask:
    """The largest part of a mask without holes."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=2)))


def _start(visit: Visit, contrast: str, data: Path) -> sitk.Transform | None:
    file = data / visit.affines.get(contrast, "")
    return sitk.ReadTransform(str(file)) if contrast in visit.affines and file.is_file() else None


def align(
    fixed: Volume, moving: Volume, mask: Mask, start: sitk.Transform | None = None
) -> tuple[sitk.Transform, float]:
    """Rigid registration of a scan of the same head by mutual information.

    Args:
        fixed: on axes along +R, +A, +S.
        moving: another contrast, its own grid.
        mask: of the brain on the fixed grid.
        start: a transform to begin with, tried beside none.

    Returns:
        Fixed points to moving points (LPS mm), and how far it moves the brain's middle from where the headers put it.

    Raises:
        InputError: it moved further than two scans of one visit may lie apart.
    """
    still = place_image(sitk.GetImageFromArray(fixed.array), fixed.affine)
    # As smooth as the fixed scan: resolution must not decide where the best match lies.
    other = place_image(sitk.GetImageFromArray(antialiased(moving, 1.0).array), moving.affine)
    wide = ndimage.binary_dilation(mask, iterations=4).astype(np.uint8)
    region = place_image(sitk.GetImageFromArray(wide), fixed.affine)
    middle = np.argwhere(mask).mean(axis=0)[::-1]
    centre = still.TransformContinuousIndexToPhysicalPoint(middle.tolist())
    found = []
    for first in (None, start) if start is not None else (None,):
        rigid = sitk.Euler3DTransform()
        rigid.SetCenter(centre)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(48)
        method.SetMetricFixedMask(region)
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(0.08, 1)
        method.SetInterpolator(sitk.sitkLinear)
        if first is not None:
            method.SetMovingInitialTransform(first)
        method.SetInitialTransform(rigid, inPlace=True)
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.005, 60, 0.5, 1e-6)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([2, 1])
        method.SetSmoothingSigmasPerLevel([1.0, 0.0])
        method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
        method.SetNumberOfThreads(1)
        method.Execute(still, other)
        whole = rigid if first is None else sitk.CompositeTransform([first, rigid])
        found.append((method.GetMetricValue(), whole, rigid))
    _, best, rigid = min(found, key=lambda one: one[0])
    turn = float(np.degrees(np.abs(rigid.GetParameters()[:3]).max()))
    shift = float(np.linalg.norm(np.subtract(best.TransformPoint(centre), centre)))
    if shift > LARGEST_SHIFT_MM or turn > LARGEST_TURN_DEG:
        raise InputError(f"The registration of '{moving.name}' moved it by {shift:.1f} mm and {turn:.1f} degrees.")
    return best, shift
