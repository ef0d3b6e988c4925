"""Explanation for every model: ``translated = h(source o phi) + r``, exact because ``r`` is defined by it.

``phi`` is the geometry, ``h`` a smooth map of low capacity from a voxel's intensity and the mean and spread around it
to the translated intensity, and ``r`` what neither explains: that is where a model may have hallucinated or lost
something. Within one contrast ``h`` is the identity and ``r`` follows from the intensity change alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import tensors
from SITTranslateLib.files.checks import is_ct
from SITTranslateLib.traceability.geometry import Geometry
from SITTranslateLib.traceability.residual import expected_residual, tissue_images
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import FloatArray, Volume

KNOTS = 12
NEIGHBOURHOODS_MM = (2.5, 8.0)
"""Gaussian sigmas of the local means and spreads that the contrast map sees."""
SHADING_MM = 18.0
"""Gaussian sigma of the smooth factor that receive coils put on a scan."""
BLUR_MM = 1.0
"""Gaussian sigma over which new content is averaged against noise before it is judged."""
FITTED_VOXELS = 150_000
BINS = 10
FEW = 50


@dataclass(frozen=True, eq=False)
class ContrastMap:
    """``h = a(I) + sum of b(I) (m - I) + c(I) s``, with a, b, c linear between knots in I.

    ``m`` and ``s`` are the mean and spread of the moved source within each of :data:`NEIGHBOURHOODS_MM`. The identity
    has no knots.
    """

    knots: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    @property
    def is_identity(self) -> bool:
        return len(self.knots) == 0

    def __call__(self, scan: Volume) -> FloatArray:
        """The map applied to a scan."""
        if self.is_identity:
            return scan.array
        mapped = np.interp(scan.array, self.knots, self.coefficients[0])
        for factor, row in zip(_surroundings(scan), self.coefficients[1:], strict=True):
            mapped += np.interp(scan.array, self.knots, row) * factor
        return np.asarray(mapped, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Explanation of a translated scan.

    Attributes:
        contrast_map: h, apart from the shading.
        shading: factor of h that varies over centimetres (receive bias differs from scan to scan); 1 within one
            contrast.
        explained: ``h(source o phi)``, units of the translated scan, on its grid.
        residual: r; ``explained + residual`` is the translated scan exactly.
        unexplained: size of r, averaged over a few mm, in units of the spread it has in such places (edges and
            noisy tissue vary more); about 1 is usual, above 4 content that the source does not explain. Across
            contrasts without what the source's surroundings let one expect of r
            (:mod:`~SITTranslateLib.traceability.residual`), and in units nearer the spread in such places than the
            spread everywhere (3 to 1, geometrically).
        shares: shares of the translated scan's variance by ``source``, ``contrast map``, ``geometry`` and ``rest``;
            they sum to 1.
        tissue: where all this was measured ``(K, J, I)``.
    """

    contrast_map: ContrastMap
    shading: Volume
    explained: Volume
    residual: Volume
    unexplained: Volume
    shares: dict[str, float]
    tissue: NDArray[np.bool_]


def explain(translation: Translation, same_contrast: bool | None = None) -> Explanation:
    """Split a translated scan into what its source explains and what it does not.

    Args:
        translation: on one grid; a translation without a field counts as unmoved.
        same_contrast: whether source and translated scan are of one contrast, so that h is the identity; by default
            found out: h stays the identity where a free h explains hardly more.

    Raises:
        InputError: the scans lie on different grids, or hold no tissue.
    """
    source, translated = translation.source, translation.translated
    if not source.grid.matches(translated.grid):
        raise InputError(f"{translated.name} lies on another grid than {source.name}; resample it to the source first.")
    tissue = tissue_mask(source.array) | tissue_mask(translated.array)
    if np.count_nonzero(tissue) < 100:
        raise InputError(f"{translated.name} and {source.name} hold no tissue to compare; are they empty?")
    geometry = Geometry.of(translation)
    moved = source if geometry is None or geometry.still else fields.warp(source, geometry.sampling)
    free, explained, shading = _fit_with_shading(moved, translated, tissue)
    total = float(np.var(translated.array[tissue], dtype=np.float64)) or 1.0
    rest_free = _mean_square(translated.array - explained, tissue) / total
    if same_contrast is None:
        rest_same = _mean_square(translated.array - moved.array, tissue) / total
        same_contrast = rest_same <= 2.0 * rest_free + 0.02
    if same_contrast:
        contrast_map, explained = ContrastMap(np.zeros(0), np.zeros((0, 0))), moved.array
        shading = translated.with_array(np.ones(translated.shape))
    else:
        contrast_map = free
    residual = translated.array - explained
    surprising = residual
    if not same_contrast:
        classes = tissue_images(
            source, tissue_mask(source.array), None if geometry is None or geometry.still else geometry.sampling
        )
        surprising = residual - expected_residual(residual, moved, tissue, _surroundings(moved), classes)
    # Rounding must not break the identity: the explained part is what the residual leaves.
    explained = translated.array - residual
    return Explanation(
        contrast_map=contrast_map,
        shading=shading,
        explained=translated.with_array(explained, f"{translated.name} explained by {source.name}"),
        residual=translated.with_array(residual, f"{translated.name} not explained by {source.name}"),
        unexplained=translated.with_array(
            _unexplained(surprising, explained, moved, tissue, 1.0 if same_contrast else 0.75),
            "not explained by the source",
        ),
        shares=_shares(source, translated, residual, same_contrast, tissue, total),
        tissue=tissue,
    )


def tissue_mask(array: FloatArray) -> NDArray[np.bool_]:
    """Head against air: above a tenth of the range of an MR, above -300 HU in a CT."""
    low, high = (float(p) for p in np.percentile(array, (0.5, 99.0)))
    return np.asarray(array > (-300.0 if is_ct(array) else low + 0.1 * (high - low)))


def _local(volume: Volume, sigma_mm: float) -> tuple[FloatArray, FloatArray]:
    """Local mean and spread of a scan."""
    centred = volume.array - np.float32(volume.array.mean())
    mean, square = smoothed(np.stack((centred, centred * centred)), volume.spacing, sigma_mm)
    spread = np.sqrt(np.clip(square - mean * mean, 0.0, None))
    return mean + np.float32(volume.array.mean()), spread


def smoothed(stack: FloatArray, spacing: tuple[float, float, float], sigma_mm: float) -> FloatArray:
    """Gaussian smoothing of images ``(C, K, J, I)``; wide ones on a grid of block means, many times faster.

    Blocks are at most half of sigma wide, and what they and the linear way back blur is taken off sigma.
    """
    sizes = np.array(spacing[::-1])
    blocks = np.maximum(1, np.floor(0.5 * sigma_mm / sizes)).astype(int)
    images = torch.from_numpy(np.ascontiguousarray(stack, dtype=np.float32))[None]
    shape = images.shape[2:]
    if blocks.max() > 1:
        padding = [int(p) for n, b in zip(shape[::-1], blocks[::-1], strict=True) for p in (0, -n % b)]
        images = functional.avg_pool3d(functional.pad(images, padding, mode="replicate"), tuple(int(b) for b in blocks))
    widths = sizes * blocks
    # A block mean has the variance of a box, linear reading that of a triangle.
    blurred = np.where(blocks > 1, widths**2 * (1 / 12 + 1 / 6), 0.0)
    sigma = np.sqrt(np.maximum(sigma_mm**2 - blurred, 0.0)) / widths
    smooth = tensors.gaussian(images, tuple(float(s) for s in sigma))  # type: ignore[arg-type]
    if blocks.max() > 1:
        whole = tuple(int(n * b) for n, b in zip(smooth.shape[2:], blocks, strict=True))
        smooth = functional.interpolate(smooth, size=whole, mode="trilinear")
        smooth = smooth[..., : shape[0], : shape[1], : shape[2]]
    return smooth[0].numpy()


def _surroundings(scan: Volume) -> list[FloatArray]:
    """Further inputs of the contrast map: offset of the local mean, and local spread, at each scale."""
    seen = []
    for sigma_mm in NEIGHBOURHOODS_MM:
        mean, spread = _local(scan, sigma_mm)
        seen += [mean - scan.array, spread]
    return seen


def _fit_with_shading(
    moved: Volume, translated: Volume, tissue: NDArray[np.bool_]
) -> tuple[ContrastMap, FloatArray, Volume]:
    """The contrast map, fitted again after the shading that the first fit leaves is known."""
    _, explained = _fit(moved, translated, tissue)
    shading = _shading(explained, translated, tissue)
    contrast_map, explained = _fit(moved, translated.with_array(translated.array / shading), tissue)
    return contrast_map, explained * shading, translated.with_array(shading, "shading")


def contrast_between(source: Volume, moved: Volume, translated: Volume) -> tuple[FloatArray, FloatArray]:
    """The unmoved source in the contrast of the translated scan, and that scan without the shading between the two.

    Args:
        source: as it lies.
        moved: the source moved onto the translated scan, whose values are compared.
        translated: on the same grid.

    Raises:
        InputError: there is no tissue to compare.
    """
    tissue = tissue_mask(moved.array) | tissue_mask(translated.array)
    if np.count_nonzero(tissue) < 100:
        raise InputError(f"{translated.name} and {source.name} hold no tissue to compare; are they empty?")
    contrast_map, _, shading = _fit_with_shading(moved, translated, tissue)
    return contrast_map(source), translated.array / shading.array


def _shading(explained: FloatArray, translated: Volume, tissue: NDArray[np.bool_]) -> FloatArray:
    """Smooth ratio of the translated scan to what explains it."""
    if is_ct(translated.array):
        return np.ones_like(explained)  # CT numbers have an absolute scale.
    products = np.stack((explained * translated.array, explained * explained)) * tissue
    numerator, denominator = smoothed(products, translated.spacing, SHADING_MM)
    weak = 0.05 * float(denominator[tissue].mean())
    return np.asarray(np.clip((numerator + weak) / (denominator + weak), 0.5, 2.0), dtype=np.float32)


def _fit(moved: Volume, translated: Volume, tissue: NDArray[np.bool_]) -> tuple[ContrastMap, FloatArray]:
    """The contrast map that explains most, by robust least squares (Tukey's weights), and its image."""
    places = np.flatnonzero(tissue)
    places = places[:: max(1, len(places) // FITTED_VOXELS)]
    x, y = (array.ravel()[places].astype(np.float64) for array in (moved.array, translated.array))
    seen = [np.ones(len(x)), *(factor.ravel()[places].astype(np.float64) for factor in _surroundings(moved))]
    knots = np.unique(np.quantile(x, np.linspace(0.002, 0.998, KNOTS)))
    if len(knots) < 2:
        constant = ContrastMap(np.array([0.0, 1.0]), np.zeros((len(seen), 2)))
        constant.coefficients[0] = np.median(y)
        return constant, constant(moved)
    position = np.interp(x, knots, np.arange(len(knots)))
    base = np.minimum(position.astype(int), len(knots) - 2)
    hats = np.zeros((len(x), len(knots)))
    hats[np.arange(len(x)), base] = 1 - (position - base)
    hats[np.arange(len(x)), base + 1] += position - base
    design = np.concatenate([hats * factor[:, None] for factor in seen], axis=1)
    stiffness = _smoothness(len(knots), len(seen), float(np.var(x)))
    weight = np.ones(len(x))
    solution = np.zeros(design.shape[1])
    for _ in range(4):
        weighted = design * weight[:, None]
        solution = np.linalg.solve(weighted.T @ design + weight.sum() * stiffness, weighted.T @ y)
        misfit = y - design @ solution
        # The scale belongs to the intensity: cerebrospinal fluid varies more than white matter and is no outlier.
        size = np.abs(misfit)
        typical = np.array([np.median(size[base == b]) if np.any(base == b) else 0.0 for b in range(len(knots) - 1)])
        scale = 6.0 / 0.6745 * np.maximum(typical, np.median(size))[base]
        weight = np.maximum(np.clip(1.0 - (misfit / np.maximum(scale, 1e-12)) ** 2, 0.0, None) ** 2, 1e-3)
    contrast_map = ContrastMap(knots, solution.reshape(len(seen), len(knots)))
    return contrast_map, contrast_map(moved)


def _smoothness(count: int, rows: int, variance: float) -> NDArray[np.float64]:
    """Penalty on the bends of a, b, c and on the size of b and c, so that few voxels cannot shape the map."""
    bends = np.diff(np.eye(count), n=2, axis=0)
    bending = 1e-3 * bends.T @ bends
    block = np.zeros((rows * count, rows * count))
    for part in range(rows):
        inside = slice(part * count, (part + 1) * count)
        unit = variance if part else 1.0
        block[inside, inside] = unit * (bending + (1e-3 if part else 1e-9) * np.eye(count))
    return block


def _unexplained(
    residual: FloatArray, explained: FloatArray, moved: Volume, tissue: NDArray[np.bool_], local: float
) -> FloatArray:
    """Averaged residual over the spread that residuals have in such places: of such brightness, with such edges.

    ``local`` 1 takes all of that spread; 0.75 three quarters of it (geometrically): all of it would
    hide what is new where residuals vary much, none of it would show every sulcus.
    """
    averaged = smoothed(np.stack((residual * tissue, tissue.astype(np.float32))), moved.spacing, BLUR_MM)
    size = np.abs(averaged[0] / np.maximum(averaged[1], 0.05))[tissue]
    mean, spread = (array[tissue] for array in _local(moved.with_array(explained), NEIGHBOURHOODS_MM[0]))
    bright, edges = _ranks(mean), _ranks(spread)
    bins = (bright * BINS).astype(int) * BINS + (edges * BINS).astype(int)
    order = np.argsort(bins, kind="stable")
    bounds = np.searchsorted(bins[order], np.arange(BINS * BINS + 1))
    overall = float(np.median(size)) / 0.6745
    usual = np.full(BINS * BINS, overall)
    for index in range(BINS * BINS):
        chosen = size[order[bounds[index] : bounds[index + 1]]]
        # Shrunk towards the whole: a bin of few voxels must not take a hallucination for noise.
        if len(chosen):
            median = float(np.median(chosen)) / 0.6745
            usual[index] = (len(chosen) * median + FEW * overall) / (len(chosen) + FEW)
    smooth = tensors.gaussian(torch.from_numpy(usual.reshape(1, 1, 1, BINS, BINS)).float(), (0.0, 0.7, 0.7))[0, 0, 0]
    level = tensors.sample(
        smooth[None, None, None],
        torch.from_numpy(np.stack((edges * BINS - 0.5, bright * BINS - 0.5, 0 * edges), axis=-1))[
            None, None, None
        ].float(),
    )[0, 0, 0, 0].numpy()
    smallest = 1e-6 * (float(np.abs(explained).max()) or 1.0)
    units = np.zeros(residual.shape, np.float32)
    units[tissue] = size / np.maximum(level**local * overall ** (1.0 - local), smallest)
    return units


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rank of each value among all, 0 to just below 1."""
    limits = np.quantile(values, np.linspace(0, 1, 257))
    return np.clip(np.interp(values, limits, np.linspace(0, 1, 257)), 0.0, 0.999)


def _shares(
    source: Volume,
    translated: Volume,
    residual: FloatArray,
    same_contrast: bool,
    tissue: NDArray[np.bool_],
    total: float,
) -> dict[str, float]:
    """Contribution of each step to the explained variance: the unmoved source, the contrast map, the geometry."""
    y, x = translated.array[tissue].astype(np.float64), source.array[tissue].astype(np.float64)
    if same_contrast:
        as_it_is = 1.0 - float(np.mean((y - x) ** 2)) / total
        mapped = as_it_is
    else:
        as_it_is = float(np.corrcoef(x, y)[0, 1] ** 2) if x.std() > 0 and y.std() > 0 else 0.0
        mapped = 1.0 - _mean_square(translated.array - _fit_with_shading(source, translated, tissue)[1], tissue) / total
    whole = float(np.clip(1.0 - _mean_square(residual, tissue) / total, 0.0, 1.0))
    first = float(np.clip(as_it_is, 0.0, whole))
    second = float(np.clip(mapped, first, whole))
    return {"source": first, "contrast map": second - first, "geometry": whole - second, "rest": 1.0 - whole}


def _mean_square(array: FloatArray, tissue: NDArray[np.bool_]) -> float:
    return float(np.mean(array[tissue].astype(np.float64) ** 2))
