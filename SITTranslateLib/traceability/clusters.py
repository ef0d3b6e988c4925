"""Clusters of content that the source does not explain: where, how large, how far beyond what is usual.

A share of all voxels cannot show a small lesion that was added or removed; a cluster of the map can. Limits of size and
peak were chosen on real pairs without new content (docs/traceability.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.parcellation import parcellated
from SITTranslateLib.systems.prescribed.regions import shares_of_parcellation
from SITTranslateLib.traceability.explanation import tissue_mask
from SITTranslateLib.traceability.residual import LARGEST_MM
from SITTranslateLib.traceability.tissue_maps import on_grid, upright_grid
from SITTranslateLib.volume import Grid, VectorField, Volume


@dataclass(frozen=True)
class Limits:
    """What a cluster must have to be listed: voxels above ``edge``, one above ``peak``, and ``millilitres`` of them."""

    edge: float
    peak: float
    millilitres: float


WITHIN, ACROSS = Limits(4.0, 6.0, 0.08), Limits(4.0, 14.0, 0.08)
"""Within one contrast, and across contrasts, where what the map shows is no noise: 30 clusters above a peak of 8."""

LEAST_BRAIN = 0.5
"""Share of brain in a cluster that is listed: skull and skin differ between contrasts in ways that no map explains."""


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes:
        middle: R, A, S in mm, in the translated scan.
        millilitres: its volume.
        peak: largest value of the map in it, in units of what is usual in such places.
        structure: where most of it lies; empty where that is not known.
    """

    middle: tuple[float, float, float]
    millilitres: float
    peak: float
    structure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


def clusters_of(unexplained: Volume, limits: Limits) -> tuple[list[Cluster], NDArray[np.int32]]:
    """Clusters of a map of what is not explained, the largest first.

    Args:
        unexplained: see :class:`~SITTranslateLib.traceability.explanation.Explanation`.
        limits: of edge, peak and size.

    Returns:
        The clusters, and an image ``(K, J, I)`` with the number of each from 1.
    """
    labels, count = ndimage.label(unexplained.array > limits.edge, structure=np.ones((3, 3, 3)))
    numbered = np.zeros(unexplained.shape, np.int32)
    if count == 0:
        return [], numbered
    boxes = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * unexplained.grid.voxel_volume / 1000.0
    found: list[Cluster] = []
    for index in np.argsort(-sizes, kind="stable"):
        if sizes[index] < limits.millilitres:
            break
        box = boxes[index]
        inside = labels[box] == index + 1
        values = np.where(inside, unexplained.array[box], 0.0)
        if values.max() < limits.peak:
            continue
        place = np.average(np.argwhere(inside), axis=0, weights=values[inside]) + [part.start for part in box]
        r, a, s = (float(x) for x in unexplained.grid.to_world(place[::-1]))
        found.append(Cluster((r, a, s), float(sizes[index]), float(values.max())))
        numbered[box][inside] = len(found)
    return found, numbered


def inside_the_brain(
    clusters: Sequence[Cluster], numbered: Volume, source: Volume, sampling: VectorField | None
) -> tuple[Cluster, ...]:
    """The clusters that lie in the brain, with the structure of the parcellation that most of each lies in.

    Args:
        clusters: of a translated scan.
        numbered: their numbers, from 1.
        source: any contrast, on the same grid.
        sampling: where each voxel comes from, mm RAS; None where nothing moves.

    Returns:
        Those in the brain; all of them, without a structure, where no brain is found. 1.2 CPU-seconds if there is one.
    """
    if not clusters:
        return ()
    there = np.argwhere(tissue_mask(source.array))
    ends = np.array([there.min(axis=0), there.max(axis=0)])[:, ::-1]
    corners = source.grid.to_world(np.stack(np.meshgrid(*ends.T), axis=-1).reshape(-1, 3).astype(float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    if np.any(high - low > LARGEST_MM):
        return tuple(clusters)
    grid = upright_grid(low, high)
    try:
        shares = shares_of_parcellation(parcellated(on_grid(source, grid)[0, 0].numpy()), grid)
    except InputError:
        return tuple(clusters)
    names = list(shares.parts)
    kept = []
    for number, cluster in enumerate(clusters, start=1):
        voxels = np.argwhere(numbered.array == number)
        points = numbered.grid.to_world(voxels[:, ::-1].astype(float))
        if sampling is not None:
            points = points + sampling.array[tuple(voxels.T)]
        places = _nearest(shares.grid, points)
        if float(shares.brain[places].mean()) > LEAST_BRAIN:
            of_each = [float(shares.parts[name][places].sum()) for name in names]
            kept.append(replace(cluster, structure=names[int(np.argmax(of_each))]))
    return tuple(kept)


def _nearest(grid: Grid, points: NDArray[np.float64]) -> tuple[NDArray[np.intp], ...]:
    indices = np.rint(grid.to_indices(points)).astype(np.intp)[:, ::-1]
    return tuple(np.clip(indices, 0, np.array(grid.shape) - 1).T)
