"""A procedural head: a plausible label map from ellipsoids, tubes and random folds, without input data.

Coordinates are RAS mm about a point between the thalami. Left and right share one description through ``|x|``.
The same seed gives the same head at any spacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.simulation.labels import LabelMap

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]

_EXTENT = ((-88.0, 88.0), (-112.0, 112.0), (-116.0, 96.0))
"""Bounds in R, A, S."""
_CSF_RIM_MM = 2.0
_CORTEX_MM = 3.0
_SULCUS_DEPTH_MM = 15.0
_FOLD_SPACING_MM = 8.5


def procedural_head(
    seed: int = 0, *, spacing: float = 1.0, ventricles: float = 1.0, atrophy: float = 0.3, size: float = 1.0
) -> LabelMap:
    """Make a head.

    Args:
        seed: of the folds and of small variations of shape.
        spacing: voxel size in mm.
        ventricles: width of the ventricles (1 about 25 mL).
        atrophy: 0 (narrow sulci) to 1 (wide sulci).
        size: scale of everything.

    Returns:
        Labels (FreeSurfer and SynthSeg numbers) on axes along +R, +A, +S.
    """
    space = _Space(spacing, size, np.random.default_rng(seed))
    labels = np.zeros(space.shape, np.int16)
    cavity = _cavity(space)
    _outside_the_brain(space, labels, cavity)
    labels[cavity] = 24
    _cerebrum(space, labels, cavity, atrophy)
    _hind_brain(space, labels, cavity)
    _deep_structures(space, labels, ventricles)
    return LabelMap(labels, space.affine, f"procedural head {seed}")


class _Space:
    """Coordinates and the shapes that everything is made of."""

    def __init__(self, spacing: float, size: float, rng: np.random.Generator) -> None:
        axes = [np.arange(low * size, high * size + spacing / 2, spacing) for low, high in _EXTENT]
        self.shape = tuple(len(axis) for axis in reversed(axes))
        self.affine = np.diag([spacing, spacing, spacing, 1.0])
        self.affine[:3, 3] = [axis[0] for axis in axes]
        self.spacing = spacing / size
        stretch = 1.0 + 0.03 * rng.standard_normal(3)
        self.x, self.y, self.z = (
            (axis / size / factor).astype(np.float32)
            for axis, factor in zip(axes, np.clip(stretch, 0.94, 1.06), strict=True)
        )
        self.x, self.y, self.z = self.x[None, None, :], self.y[None, :, None], self.z[:, None, None]
        self.side = np.abs(self.x)
        self._folds = rng.standard_normal((28, 28, 28)).astype(np.float32)

    def ellipsoid(self, centre: Point, radii: Point, *, paired: bool = True) -> Mask:
        """Inside an ellipsoid; ``paired`` puts one on each side."""
        x = self.side if paired else self.x
        return np.asarray(
            ((x - centre[0]) / radii[0]) ** 2
            + ((self.y - centre[1]) / radii[1]) ** 2
            + ((self.z - centre[2]) / radii[2]) ** 2
            < 1.0
        )

    def tube(self, points: list[Point], radii: list[float], *, paired: bool = True) -> Mask:
        """Inside a tube along a polyline, its radius changing linearly between the points."""
        x = self.side if paired else self.x
        inside = np.zeros(self.shape, bool)
        for start, end, first, last in zip(points, points[1:], radii, radii[1:], strict=False):
            step = np.subtract(end, start).astype(np.float32)
            dx, dy, dz = x - start[0], self.y - start[1], self.z - start[2]
            along = np.clip((dx * step[0] + dy * step[1] + dz * step[2]) / float(step @ step), 0, 1)
            squared = (dx - along * step[0]) ** 2 + (dy - along * step[1]) ** 2 + (dz - along * step[2]) ** 2
            inside |= squared < (first + along * (last - first)) ** 2
        return inside

    def depth(self, mask: Mask) -> Array:
        """Distance in mm from the middle of a voxel inside a mask to the mask's surface."""
        return np.asarray((ndimage.distance_transform_edt(mask) - 0.5) * self.spacing, dtype=np.float32)

    def folds(self, centre: Point) -> Array:
        """A random field that is constant along rays from a point: its zero sheets run inwards, as sulci do."""
        offsets = [self.x - centre[0], self.y - centre[1], self.z - centre[2]]
        radius = np.sqrt(sum((o / r) ** 2 for o, r in zip(offsets, (0.9, 1.15, 0.85), strict=True))) + 1e-3
        scale = 75.0 / _FOLD_SPACING_MM
        middle = (np.array(self._folds.shape, np.float32) - 1) / 2
        # A little twist with depth keeps the sheets from being perfectly radial.
        coordinates = [
            np.broadcast_to(m + scale * o / radius + 0.012 * radius, self.shape).ravel()
            for o, m in zip(offsets, middle, strict=True)
        ]
        values = ndimage.map_coordinates(self._folds, coordinates, order=3, mode="mirror", output=np.float32)
        return np.asarray(values.reshape(self.shape))


@dataclass(frozen=True)
class _Shell:
    label: int
    thickness: float


_SHELLS = (_Shell(515, 1.8), _Shell(516, 3.2), _Shell(515, 1.8), _Shell(507, 4.0), _Shell(511, 2.5))


def _cavity(space: _Space) -> Mask:
    """The inside of the skull."""
    cerebrum = _cerebrum_room(space)
    fossa = _fossa(space)
    canal = space.tube([(0, -16, -10), (0, -22, -32), (0, -34, -64)], [17, 17, 12], paired=False)
    base = space.ellipsoid((0, -2, -16), (26, 26, 14), paired=False)
    joined = cerebrum | fossa | canal | base
    away = ndimage.distance_transform_edt(~joined) * space.spacing
    return np.asarray(ndimage.distance_transform_edt(away < 9.0) * space.spacing > 9.0)


def _fossa(space: _Space) -> Mask:
    return space.ellipsoid((0, -48, -34), (56, 38, 29), paired=False)


def _cerebrum_room(space: _Space) -> Mask:
    vault = space.ellipsoid((0, -3, 10), (68, 86, 64), paired=False)
    above_tent = (space.y > -20 + 0 * space.z) | (space.z > -14 - 0.12 * (space.y + 20) - 0.18 * space.side + 4)
    temporal = space.ellipsoid((40, 2, -20), (26, 40, 22))
    above_orbits = (space.z > -14) | temporal | (space.y < -20)
    return np.asarray(vault & above_tent & above_orbits)


def _outside_the_brain(space: _Space, labels: NDArray[np.int16], cavity: Mask) -> None:
    """Skull, scalp, face, eyes, neck; only outside the cavity."""
    distance = np.asarray(ndimage.distance_transform_edt(~cavity) * space.spacing, dtype=np.float32)
    face = space.ellipsoid((0, 52, -52), (56, 46, 62), paired=False)
    nose = space.ellipsoid((0, 96, -44), (13, 14, 20), paired=False)
    neck = space.tube([(0, -24, -60), (0, -24, -130)], [58, 54], paired=False)
    soft = (face | nose | neck) & (distance > 0)
    labels[soft] = 507
    inner = 0.0
    for shell in _SHELLS:
        # The canal has no vault around it: the neck has its own bone.
        where = (distance > inner) & (distance <= inner + shell.thickness) & (space.z > -66)
        labels[where] = shell.label
        inner += shell.thickness
    head = labels > 0
    rim = head & (space.depth(np.pad(head, 1)[1:-1, 1:-1, 1:-1]) < 2.5) & (space.z > _EXTENT[2][0] + 3)
    labels[rim & (labels == 507)] = 511
    outside = (distance > sum(s.thickness for s in _SHELLS[:3])) & (labels == 507)
    jaw = space.ellipsoid((0, 46, -92), (44, 40, 12), paired=False) & ~space.ellipsoid(
        (0, 36, -90), (34, 36, 14), paired=False
    )
    labels[outside & jaw] = 515
    labels[outside & space.ellipsoid((0, 62, -46), (14, 26, 18), paired=False)] = 509
    airway = space.ellipsoid((0, 66, -44), (6, 24, 13), paired=False) | space.tube(
        [(0, 34, -50), (0, 22, -116)], [7, 8], paired=False
    )
    labels[outside & airway] = 0
    labels[outside & space.ellipsoid((24, 56, -48), (10, 14, 12))] = 0
    orbit = space.ellipsoid((32, 68, -22), (17, 19, 16))
    labels[orbit & (distance > 1.8) & head] = 507
    labels[space.tube([(6, 24, -16), (30, 58, -22)], [2.2, 2.2]) & orbit] = 530
    labels[space.ellipsoid((32, 72, -22), (12, 12, 12)) & (distance > 1.8)] = 506
    spine = space.tube([(0, -36, -68), (0, -40, -130)], [19, 19], paired=False) & (distance > 0)
    labels[spine] = 516
    labels[space.tube([(0, -35, -60), (0, -38, -130)], [9, 9], paired=False) & (distance > 0)] = 24
    labels[space.tube([(0, -35, -60), (0, -38, -130)], [5, 5], paired=False) & (distance > 0)] = 512


def _cerebrum(space: _Space, labels: NDArray[np.int16], cavity: Mask, atrophy: float) -> None:
    """Folded cortex over white matter in two hemispheres joined by the corpus callosum."""
    room = _cerebrum_room(space) & cavity
    field = space.folds((0.0, -3.0, 4.0))
    width = 0.16 + 0.22 * float(np.clip(atrophy, 0, 1))
    sulcus = _SULCUS_DEPTH_MM * np.exp(-((field / np.float32(width)) ** 2))
    tissue = room & (space.depth(room) > _CSF_RIM_MM + sulcus)
    callosum = 27.0 - 0.012 * (space.y + 4) ** 2
    fissure = (space.side < 1.2 + 0.6 * atrophy) & ((space.z > callosum) | (np.abs(space.y + 4) > 38) | (space.z < -4))
    tissue &= ~fissure
    sylvian = (np.abs(space.z + 4 - 0.25 * space.y) < 1.4 + atrophy) & (space.side > 40) & (np.abs(space.y - 4) < 34)
    tissue &= ~sylvian
    tissue = ndimage.binary_opening(tissue)
    cortex = tissue & (space.depth(tissue | (space.side < 1.2) & ~fissure) < _CORTEX_MM)
    right = np.broadcast_to(space.x > 0, space.shape)
    labels[tissue] = np.where(right, 41, 2)[tissue]
    labels[cortex] = np.where(right, 42, 3)[cortex]


def _hind_brain(space: _Space, labels: NDArray[np.int16], cavity: Mask) -> None:
    """Cerebellum with folia, brain stem."""
    right = np.broadcast_to(space.x > 0, space.shape)
    free = cavity & np.isin(labels, (24,))
    body = (space.depth(_fossa(space) & cavity) > 3.0) & (space.y < -28) & (space.z < -12) & free
    body &= ~space.ellipsoid((0, -90, -50), (4, 22, 30), paired=False)
    depth = space.depth(body)
    folia = np.sin(2 * np.pi * (space.z + 0.35 * np.sqrt(space.side**2 + (space.y + 30) ** 2)) / 7.0)
    labels[body] = np.where(right, 47, 8)[body]
    core = body & (depth > 9.0 - 4.5 * np.maximum(folia, 0))
    labels[core] = np.where(right, 46, 7)[core]
    stem = space.tube(
        [(0, -16, -4), (0, -17, -16), (0, -20, -30), (0, -30, -48), (0, -35, -62)], [11, 12, 14, 8, 6], paired=False
    )
    labels[stem & cavity] = 16


def _deep_structures(space: _Space, labels: NDArray[np.int16], ventricles: float) -> None:
    """Basal ganglia, thalamus, hippocampus, ventricles; the ventricles last, so that they stay whole."""
    right = np.broadcast_to(space.x > 0, space.shape)
    inside = np.isin(labels, (2, 41, 3, 42, 16, 24)) & (space.side < 40)
    wide = float(np.clip(ventricles, 0.3, 4.0)) ** 0.5

    def put(mask: Mask, left: int, other: int) -> None:
        where = mask & inside
        labels[where] = np.where(right, other, left)[where]

    # White matter fills the middle first: the deep structures lie in it, not in sulci.
    put(space.ellipsoid((15, -6, 8), (27, 40, 20)), 2, 41)
    put(space.ellipsoid((8, 6, -9), (13, 16, 6)), 2, 41)
    put(space.tube([(24, -4, -19), (27, -22, -13), (22, -38, 2)], [8, 8, 6]), 2, 41)
    put(space.ellipsoid((11, -17, 7), (9, 15, 9)), 10, 49)
    put(space.ellipsoid((8, -13, -5), (7, 8, 5)), 28, 60)
    put(space.ellipsoid((26, 2, 1), (6, 18, 10)), 12, 51)
    put(space.ellipsoid((18.5, -2, 0), (4, 10, 7)), 13, 52)
    put(space.ellipsoid((9, 13, -4), (4, 5, 4)), 26, 58)
    put(space.tube([(14, 22, 5), (15, 14, 12), (19, -8, 22), (26, -28, 18)], [7, 7, 4, 2]), 11, 50)
    put(space.ellipsoid((23, -4, -18), (6.5, 7, 7)), 18, 54)
    put(space.tube([(25, -11, -19), (27, -20, -15), (24, -32, -3)], [5.5, 5, 3.5]), 17, 53)
    body = space.tube(
        [(7, 33, 7), (8, 20, 13), (11, -4, 21), (19, -30, 17), (23, -42, 8), (21, -58, 6)],
        [3.5 * wide, 5 * wide, 5 * wide, 6 * wide, 6 * wide, 2.5 * wide],
    )
    put(body & (space.side > 0.9), 4, 43)
    horn = space.tube([(25, -38, 4), (31, -26, -8), (31, -12, -15)], [3 * wide, 2.2 * wide, 1.8 * wide])
    put(horn & ~body & ~np.isin(labels, (17, 53)), 5, 44)
    labels[space.ellipsoid((0, -8, 0), (2.2 * wide, 15, 10), paired=False) & inside] = 14
    aqueduct = space.tube([(0, -21, -6), (0, -29, -22)], [1.3, 1.5], paired=False)
    fourth = space.ellipsoid((0, -35, -32), (6 * wide, 4.5 * wide, 8), paired=False)
    labels[(aqueduct | fourth) & np.isin(labels, (16, 7, 46, 8, 47, 24))] = 15
