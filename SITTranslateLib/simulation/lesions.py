"""White-matter lesions of a given load.

A lesion potential says where in a subject's white matter lesions come first: near the ventricles (periventricular
first, deep white matter later: Fazekas et al., AJR 1987;149:351; spatial frequency by distance from the ventricles:
DeCarli et al., Stroke 2005;36:50), at the subject's own sites, and seldom under the cortex. The lesions of a load are
the part of the white matter with the highest potential whose volume is the load, so more load grows lesions that are
there and adds new ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.simulation.ageing import pooled, pooled_grid, solver_box
from SITTranslateLib.simulation.labels import LATERAL_VENTRICLES, WHITE_MATTER, LabelMap
from SITTranslateLib.volume import Volume

PERIVENTRICULAR_MM = 9.0
SITE_SIGMA_MM = 3.5
SOFT_EDGE = 0.06
"""Half the width of a lesion's edge in units of the potential (about 1 mm)."""


def lesion_potential(labels: LabelMap, seed: int) -> tuple[Volume, Volume]:
    """Potential that orders the lesions, and the distance to the lateral ventricles in mm; on the 2 mm solver grid.

    Args:
        labels: a head; its own lesions (labels 25 and 57) come first.
        seed: of the subject's sites.
    """
    box, factor = solver_box(labels)
    grid = pooled_grid(box.grid, factor)
    spacing = tuple(reversed(grid.spacing))
    ventricles = pooled(box.mask(*LATERAL_VENTRICLES), factor)
    drawn = pooled(box.mask(25, 57), factor)
    white = pooled(box.mask(*WHITE_MATTER, 25, 57), factor)
    distance = ndimage.distance_transform_edt(ventricles < 0.5, sampling=spacing).astype(np.float32)
    deep = ndimage.distance_transform_edt(white + ventricles > 0.5, sampling=spacing).astype(np.float32)
    rng = np.random.default_rng(seed)
    sites = rng.standard_normal(grid.shape).astype(np.float32)
    sites = ndimage.gaussian_filter(sites, [SITE_SIGMA_MM / s for s in spacing])
    sites /= sites.std()
    potential = (
        np.exp(-distance / PERIVENTRICULAR_MM)
        + 0.32 * sites
        + 1.5 * ndimage.gaussian_filter(drawn, [1.5 / s for s in spacing])
        - 0.8 * np.exp(-deep / 2.5)
    )
    return Volume(potential, grid.affine, "lesion potential"), Volume(distance, grid.affine, "ventricle distance")


def threshold_of_load(
    potential: NDArray[np.float32], white: NDArray[np.float32], voxel_millilitres: float, load: float
) -> float:
    """The potential above which the white matter fills ``load`` mL; infinite for no load."""
    if load <= 0:
        return float("inf")
    inside = white > 0.05
    values, shares = potential[inside], white[inside]
    if values.size == 0:
        return float("inf")
    order = np.argsort(-values, kind="stable")
    cumulative = np.cumsum(shares[order], dtype=np.float64) * voxel_millilitres
    return float(values[order[min(int(np.searchsorted(cumulative, load)), values.size - 1)]])


def lesion_share(
    potential: NDArray[np.float32], white: NDArray[np.float32], voxel_millilitres: float, load: float
) -> NDArray[np.float32]:
    """Share of each voxel that is lesion, 0 to 1, for a load in mL; exactly zero away from lesions.

    Args:
        potential, white: lesion potential and share of white matter on one grid.
        voxel_millilitres: volume of its voxels.
        load: mL of lesion.
    """
    threshold = threshold_of_load(potential, white, voxel_millilitres, load)
    if not np.isfinite(threshold):
        return np.zeros_like(white)
    ramp = np.clip((potential - np.float32(threshold)) / np.float32(2 * SOFT_EDGE) + np.float32(0.5), 0.0, 1.0)
    return np.asarray(white * ramp * ramp * (3 - 2 * ramp), dtype=np.float32)
