"""Estimated fields: the motion between any pair of scans, always marked as estimated, always with a noise floor.

A registration sees some motion where there is none, most of all across contrasts. How much was measured on simulated
pairs that did not move (``benchmarks/calibration.py``) and travels with every estimated field as its floor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.files.checks import is_ct
from SITTranslateLib.traceability.across_contrasts import register_across
from SITTranslateLib.traceability.explanation import tissue_mask
from SITTranslateLib.traceability.geometry import inside
from SITTranslateLib.traceability.registration import Settings, register
from SITTranslateLib.traceability.residual import tissue_images
from SITTranslateLib.translation import FieldOrigin, NoiseFloor, Provenance, Translation
from SITTranslateLib.volume import Grid, VectorField, Volume

WORKING_SPACING_MM = 2.0
FINER_SPACING_MM = 1.0
VELOCITY_SPACING_MM = 4.0
MARGIN_MM = 10.0
SAME, CROSS, WITH_CT = "same contrast", "across contrasts", "with CT"
SMOOTHNESS = {SAME: 30.0, CROSS: 500.0, WITH_CT: 3000.0}
"""mm^2; the less two contrasts have in common, the more the price of bending must hold back what is only misfit."""
WINDOW = {SAME: 3, CROSS: 2, WITH_CT: 2}
"""Voxels; in a smaller window a straight line fits two contrasts better, in a larger one noise matters less."""
FLOORS = Path(__file__).with_name("floors.json")

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class EstimatedField:
    """A field found by registration: velocity on its coarse grid, the rest (mm, RAS) on the source's."""

    velocity: VectorField
    motion: VectorField
    sampling: VectorField
    jacobian: Volume
    floor: NoiseFloor
    seconds: float


def estimate(
    source: Volume,
    translated: Volume,
    *,
    contrasts: tuple[str, str] | None = None,
    smoothness: float | None = None,
    finer: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> EstimatedField:
    """The motion between a scan and its translation, by diffeomorphic registration at 4 and 2 mm.

    Args:
        source, translated: on any grids that share space.
        contrasts: names of both contrasts, for the floor measured on just these; found out roughly by default.
        smoothness: price of bending; by default what the kind of pair needs.
        finer: a last level of 1 mm, for scans of that resolution.
        device: ``cpu`` or ``cuda``.
        progress: called with the current work and the fraction done.

    Raises:
        InputError: a scan is constant or a label map, or the two share no space.
    """
    started = time.perf_counter()
    for scan in (source, translated):
        check_scan(scan)
    kind = relation(source, translated, contrasts)
    floor = floor_of(contrasts, kind)
    if source.grid.matches(translated.grid) and np.array_equal(source.array, translated.array):
        coarse = source.grid.coarsened(2)
        velocity = VectorField(np.zeros((*coarse.shape, 3), np.float32), coarse.affine)
    else:
        spacing = FINER_SPACING_MM if finer else WORKING_SPACING_MM
        grid = working_grid(source, translated, spacing)
        moving, fixed = (_on_working_grid(scan, grid).to(device) for scan in (source, translated))
        settings = Settings(
            SMOOTHNESS[kind] if smoothness is None else smoothness,
            levels=(4, 2, 1) if finer else (2, 1),
            window=WINDOW[kind],
            coarsening=round(VELOCITY_SPACING_MM / spacing),
        )
        tell = None if progress is None else lambda fraction: progress("estimating the motion", 0.9 * fraction)
        if kind == SAME:
            found = register(moving, fixed, spacing, settings, tell)
        else:
            tissues = _tissues(moving, grid)
            found = register_across(moving, fixed, spacing, settings, tell, tissues)
        velocity = _in_ras(found, grid)
    if progress is not None:
        progress("integrating the motion", 0.92)
    # The velocity is one of 4 mm: below 1.5 mm, half the resolution holds its flow to hundredths of a millimetre.
    grid = source.grid.coarsened(2) if max(source.spacing) < 1.5 and not finer else source.grid
    flow = fields.resample_field(velocity, grid)
    motion, sampling = (fields.resample_field(fields.exponential(flow, sign), source.grid) for sign in (1.0, -1.0))
    return EstimatedField(velocity, motion, sampling, fields.jacobian(motion), floor, time.perf_counter() - started)


def estimated_translation(
    translation: Translation,
    *,
    contrasts: tuple[str, str] | None = None,
    finer: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Translation:
    """The same scans with an estimated field in place of what the translation carries, labelled so.

    The noise floor travels in ``provenance.noise_floor``. Intensity change is left out: across contrasts it is the
    contrast; ``explanation.explain`` tells contrast from new content.
    """
    scans = translation.source, translation.translated
    found = estimate(*scans, contrasts=contrasts, finer=finer, device=device, progress=progress)
    return replace(
        translation,
        velocity=found.velocity,
        motion=found.motion,
        sampling=found.sampling,
        jacobian=found.jacobian,
        intensity_change=None,
        field_origin=FieldOrigin.ESTIMATED,
        recomposition_error=0.0,
        provenance=replace(translation.provenance, noise_floor=found.floor),
        given_structures=None,
    )


def translation_by_transform(translation: Translation, sampling: VectorField) -> Translation:
    """The same scans with a field that another program made, labelled as estimated; no noise floor is known of it.

    Args:
        translation: the pair, on the source's grid.
        sampling: where each point of the translated scan comes from, on any grid.

    Raises:
        InputError: the field folds so much that it has no inverse.
    """
    field = fields.resample_field(sampling, translation.source.grid)
    motion = fields.invert(field)
    if not np.isfinite(motion.array).all():
        raise InputError("The transform has no inverse here; give the one that brings the first image to the second.")
    return replace(
        translation,
        velocity=None,
        motion=motion,
        sampling=field,
        jacobian=fields.jacobian(motion),
        intensity_change=None,
        field_origin=FieldOrigin.ESTIMATED,
        recomposition_error=0.0,
        given_structures=None,
    )


def translation_of_pair(source: Volume, translated: Volume) -> Translation:
    """Two scans from disk as a translation without a field; the second is brought to the source's grid.

    Raises:
        InputError: the two share no space.
    """
    working_grid(source, translated)
    if not source.grid.matches(translated.grid):
        translated = Volume(fields.resample_volume(translated, source.grid).array, source.affine, translated.name)
    provenance = Provenance(
        package="",
        version="",
        sha256="",
        system="unknown",
        attributes={},
        seed=0,
        device="",
        source_sha256="",
        created="",
        seconds=0.0,
        software={"torch": metadata.version("torch")},
    )
    return Translation(source, translated, None, None, None, None, None, FieldOrigin.NONE, 0.0, provenance)


def relation(source: Volume, translated: Volume, contrasts: tuple[str, str] | None = None) -> str:
    """Kind of a pair: one contrast, across contrasts, or with a CT on one side.

    A CT is known by its air; one of a brain alone has none, and is known by the name of its contrast if that is given.
    """
    if contrasts is not None and (contrasts[0] == "CT") != (contrasts[1] == "CT"):
        return WITH_CT
    computed = [is_ct(scan.array) for scan in (source, translated)]
    if computed[0] != computed[1]:
        return WITH_CT
    other = translated if source.grid.matches(translated.grid) else fields.resample_volume(translated, source.grid)
    tissue = tissue_mask(source.array) & tissue_mask(other.array)
    if np.count_nonzero(tissue) < 100:
        return CROSS
    return SAME if float(np.corrcoef(source.array[tissue], other.array[tissue])[0, 1]) > 0.75 else CROSS


@cache
def _floors() -> dict[str, NoiseFloor]:
    document = json.loads(FLOORS.read_text(encoding="utf-8"))
    return {
        name: NoiseFloor(name, *(entry[key] for key in ("mean_mm", "p95_mm", "error_mm")))
        for name, entry in document["pairs"].items()
    }


def floor_of(contrasts: tuple[str, str] | None, kind: str) -> NoiseFloor:
    """The calibrated floor of two contrasts, or of the kind of pair where these were not measured."""
    floors = _floors()
    return floors.get(">".join(contrasts) if contrasts else kind, floors[kind])


def check_scan(scan: Volume) -> None:
    """Refuse what cannot be a scan.

    Raises:
        InputError: not finite, constant, or a label map.
    """
    if not np.isfinite(scan.array).all():
        raise InputError(f"{scan.name} holds values that are no numbers; export it again.")
    if float(scan.array.max()) == float(scan.array.min()):
        raise InputError(f"{scan.name} is constant: there is nothing to trace in it.")
    if min(scan.shape) < 8:
        raise InputError(
            f"{scan.name} has {scan.shape} voxels; an estimated field needs a volume of at least 8 slices."
        )
    occupied = scan.array != 0
    if np.array_equal(scan.array, np.rint(scan.array)) and occupied[..., 1:].any():
        equal = (scan.array[..., 1:] == scan.array[..., :-1])[occupied[..., 1:]]
        if float(equal.mean()) > 0.7:
            raise InputError(f"{scan.name} looks like a label map, not a scan; give it as the segmentation instead.")


def working_grid(source: Volume, translated: Volume, spacing: float = WORKING_SPACING_MM) -> Grid:
    """Isotropic grid along the source's axes around the tissue that both scans show.

    Raises:
        InputError: the scans share no space.
    """
    u, _, v = np.linalg.svd(source.grid.axes / np.array(source.spacing))
    axes = u @ v
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    for scan in (source, translated):
        points = _tissue_corners(scan) @ axes
        low, high = np.maximum(low, points.min(axis=0)), np.minimum(high, points.max(axis=0))
    middle = 0.5 * (low + high) @ axes.T
    if np.any(high - low < 10.0) or not (inside(source.grid, middle) and inside(translated.grid, middle)):
        raise InputError(f"{source.name} and {translated.name} do not overlap in space; align them first.")
    low, high = low - MARGIN_MM, high + MARGIN_MM
    size = np.ceil((high - low) / spacing / 4.0).astype(int) * 4
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ (0.5 * (low + high) - spacing * (size - 1) / 2.0)
    return Grid(tuple(int(n) for n in size[::-1]), affine)  # type: ignore[arg-type]


def _tissue_corners(scan: Volume) -> np.ndarray:
    """RAS points on the faces of the box around a scan's tissue, enough to bound it on any axes ``(N, 3)``."""
    tissue = tissue_mask(scan.array)
    ends = []
    for axis in (2, 1, 0):
        where = np.flatnonzero(tissue.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append((where[0], where[-1]) if len(where) else (0, scan.shape[axis] - 1))
    corners = np.array([[i, j, k] for i in ends[0] for j in ends[1] for k in ends[2]], dtype=float)
    return scan.grid.to_world(corners)


def _on_working_grid(scan: Volume, grid: Grid) -> torch.Tensor:
    """A scan averaged to about the working grid's resolution and read on it."""
    spacing = grid.spacing[0]
    sigma = tuple(0.4 * float(np.sqrt(max(0.0, spacing**2 - s**2))) / s for s in reversed(scan.spacing))
    image = torch.from_numpy(scan.array)[None, None]
    smooth = tensors.gaussian(image, sigma) if max(sigma) > 0.2 else image  # type: ignore[arg-type]
    on_grid = fields.resample_volume(scan.with_array(smooth[0, 0].numpy()), grid)
    return torch.from_numpy(on_grid.array)[None, None]


def _tissues(scan: torch.Tensor, grid: Grid) -> torch.Tensor | None:
    """Tissue probabilities of a scan on the working grid, None where no brain is found."""
    image = Volume(scan[0, 0].cpu().numpy(), grid.affine)
    head = tissue_mask(image.array)
    found = tissue_images(image, head, None, expected=False) if head.any() else []
    return torch.from_numpy(np.stack(found))[None].to(scan.device) if found else None


def _in_ras(velocity: torch.Tensor, grid: Grid) -> VectorField:
    """A velocity along the working grid's axes as a field in RAS on its coarse grid."""
    coarsening = grid.shape[0] // velocity.shape[2]
    directions = grid.axes / grid.spacing[0]
    array = velocity[0].permute(1, 2, 3, 0).cpu().numpy() @ directions.T.astype(np.float32)
    affine = grid.affine.copy()
    affine[:3, :3] *= coarsening
    affine[:3, 3] = grid.to_world(np.full(3, (coarsening - 1) / 2.0))
    return VectorField(array, affine)
