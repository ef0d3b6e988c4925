"""An acute stroke by severity and age as a system of packages: volume, site and brightness of a population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from SITTranslateLib import fields
from SITTranslateLib.segmentation.parcellation import parcellated
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.systems.prescribed.regions import Shares, shares_of_parcellation
from SITTranslateLib.systems.prescribed.stroke_sites import (
    MOST_OF_TISSUE,
    SEVERITIES,
    VOLUMES_ML,
    StrokeSites,
    alignment,
    draw_stroke,
)
from SITTranslateLib.systems.prescribed.tissue_levels import (
    CORTEX,
    VENTRICLES,
    WHITE,
    LesionContrast,
    TissueLevels,
    share_of,
    tissue_levels,
)
from SITTranslateLib.volume import Volume

#: An infarct of some days against white matter. FLAIR: one patient with DWI and ADC (ISLES 2022, case 9) has 1.03 in
#: the core of a small infarct; T2w and T1w are numbers chosen.
CONTRAST = LesionContrast(t1w=1.3, t2w=0.45, flair=0.8)
#: At which the spread between patients is tabled.
PERCENTILES = (2.5, 10.0, 25.0, 50.0, 75.0, 90.0, 97.5)
SIDES = ("either", "left", "right")
FLUIDS = (*VENTRICLES, "third ventricle", "fourth ventricle")
#: Age at which the intercept holds, years.
MIDDLE_AGE = 65.0
#: Smallest stroke that is drawn, mL: the smallest mask has 0.23.
LEAST_ML = 0.2
#: Edge of a stroke, mm inside and outside of its outline.
EDGE_IN_MM, EDGE_OUT_MM = 1.5, 0.5
#: How much the brightness varies within a stroke, as a share of its contrast, and over what distance, mm.
UNEVEN, UNEVEN_MM = 0.12, 4.0
LESION_MAP = "stroke"


class StrokeNetwork(nn.Module):
    """Draws an acute stroke of the volume and at a site that its severity and the patient's age make likely.

    Args:
        maps: how many maps of sites.
        shape: of a map ``(K, J, I)``.
        volume: log mL is ``intercept + severity * log(1 + NIHSS) + decade * (age - 65) / 10`` in the mean.
        spread: what is added to it at each of :data:`PERCENTILES` of patients.

    Raises:
        ValueError: numbers that are missing.
    """

    def __init__(self, maps: int, shape: list[int], volume: Mapping[str, float], spread: Sequence[float]) -> None:
        super().__init__()
        missing = {"intercept", "severity", "decade"} ^ set(volume)
        if missing:
            raise ValueError(f"volume: {sorted(missing)[0]} is missing or not known")
        if len(spread) != len(PERCENTILES) or list(spread) != sorted(spread):
            raise ValueError(f"spread: give {len(PERCENTILES)} numbers that rise")
        self.volume, self.spread = dict(volume), tuple(spread)
        table = (len(SEVERITIES), len(VOLUMES_ML))
        self.register_buffer("maps", torch.zeros((maps, *shape), dtype=torch.uint8))
        self.register_buffer("affine", torch.eye(4))
        self.register_buffer("frequency", torch.zeros((*table, maps)))
        self.register_buffer("left", torch.zeros(table))

    @property
    def sites(self) -> StrokeSites:
        """The maps as densities."""
        maps = self.maps.cpu().numpy().astype(np.float32)  # type: ignore[operator]
        sums = np.maximum(maps.sum(axis=(1, 2, 3), keepdims=True), 1e-6)
        tables = [getattr(self, name).float().cpu().numpy() for name in ("affine", "frequency", "left")]
        return StrokeSites(maps / sums, tables[0].astype(np.float64), tables[1], tables[2])

    def millilitres(self, severity: float, age: float, percentile: float = 50.0) -> float:
        """Volume of a stroke: that percentile of patients of that severity (NIHSS) and age has a smaller one."""
        fit = self.volume
        middle = fit["intercept"] + fit["severity"] * np.log1p(severity) + fit["decade"] * (age - MIDDLE_AGE) / 10.0
        return max(LEAST_ML, float(np.exp(middle + np.interp(percentile, PERCENTILES, self.spread))))

    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`TranslationNetwork`; the request holds ``nihss``, ``age``, ``percentile`` and ``side``.

        Raises:
            InputError: no brain, or a contrast in which a stroke is not offered.
        """
        report = progress or (lambda fraction: None)
        severity, age = request.get("nihss", 8.0), request.get("age", MIDDLE_AGE)
        millilitres = self.millilitres(severity, age, request.get("percentile", 50.0))
        rng = np.random.default_rng(int(torch.randint(2**31 - 1, (1,))))
        scan = Volume(image[0, 0].float().cpu().numpy(), affine)
        coarse = _halved(scan)
        found = parcellated(coarse.array)
        report(0.5)
        shares = shares_of_parcellation(found, coarse.grid)
        levels = _levels(coarse, shares)
        contrast = CONTRAST.on(levels)
        tissue = _tissue(scan, shares, levels)
        room = MOST_OF_TISSUE * float(np.count_nonzero(tissue)) * scan.grid.voxel_volume / 1000.0
        said = [self._said(severity, age)]
        if millilitres > room:
            said.append(f"The stroke was cut to {room:.0f} mL, which is what this brain has room for.")
            millilitres = 0.999 * room
        side = SIDES[round(request.get("side", 0.0))]
        mask = draw_stroke(
            self.sites,
            alignment(shares),
            tissue,
            scan.grid,
            millilitres,
            severity,
            rng,
            "" if side == "either" else side,
        )
        report(0.9)
        change = _change(scan, mask, tissue, levels, contrast, rng)
        white = fields.resample_volume(Volume(share_of(shares, WHITE), shares.grid.affine), scan.grid).array
        voxel = scan.grid.voxel_volume / 1000.0
        delivered, in_white = float(np.count_nonzero(mask)) * voxel, float(white[mask].sum()) * voxel
        said.append(f"The stroke that was drawn has {delivered:.1f} mL, {in_white:.1f} mL of it in white matter.")
        changed = torch.from_numpy(change)[None, None].to(image.device)
        return NetworkOutput(
            translated=image + changed,
            intensity_change=changed,
            keeps_geometry=True,
            labels={LESION_MAP: torch.from_numpy(mask.astype(np.float32))[None, None]},
            warnings=tuple(said),
        )

    def _said(self, severity: float, age: float) -> str:
        low, middle, high = (self.millilitres(severity, age, percentile) for percentile in (2.5, 50.0, 97.5))
        return (
            f"A population's picture, no forecast: strokes of NIHSS {severity:.0f} at {age:.0f} years have "
            f"{middle:.1f} mL in the middle, and 95 % of patients {low:.1f} to {high:.0f} mL."
        )


def _halved(scan: Volume) -> Volume:
    """Means of 2 x 2 x 2 voxels."""
    pooled = torch.nn.functional.avg_pool3d(torch.from_numpy(scan.array)[None, None], 2)[0, 0].numpy()
    affine = scan.affine.copy()
    affine[:3, 3] = scan.grid.to_world(np.full(3, 0.5))
    affine[:3, :3] *= 2.0
    return Volume(np.ascontiguousarray(pooled), affine)


def _levels(coarse: Volume, shares: Shares) -> TissueLevels:
    image = fields.resample_volume(coarse, shares.grid).array
    white = share_of(shares, WHITE)
    edge = ndimage.distance_transform_edt(white >= 0.5) * shares.grid.spacing[0]
    return tissue_levels(
        image, white, share_of(shares, CORTEX), share_of(shares, VENTRICLES), np.asarray(edge, np.float32)
    )


def _tissue(scan: Volume, shares: Shares, levels: TissueLevels) -> NDArray[np.bool_]:
    """Brain without its ventricles and without voxels as bright (or dark) as fluid."""
    solid = np.clip(shares.brain - share_of(shares, FLUIDS), 0.0, 1.0)
    share = fields.resample_volume(Volume(solid, shares.grid.affine), scan.grid).array
    nearest = min((levels.white, levels.grey), key=lambda level: abs(level - levels.fluid))
    wet = (scan.array - nearest) / (levels.fluid - nearest)
    inside = (share > 0.5) & (wet < 0.5)
    # Single voxels are noise; a stroke holds small gaps as well.
    return np.asarray(ndimage.binary_opening(inside) | (inside & (share > 0.9)))


def _change(
    scan: Volume,
    mask: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
    levels: TissueLevels,
    contrast: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """What is added: towards the brightness of an infarct, nothing where the tissue is beyond it, nothing in fluid."""
    change = np.zeros(scan.shape, np.float32)
    box = tuple(
        slice(max(0, s.start - 4), s.stop + 4) for s in ndimage.find_objects(mask.astype(np.uint8), max_label=1)[0]
    )
    inside, spacing = mask[box], scan.grid.spacing[0]
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    # The outline lies half a voxel from the outermost voxels.
    depth = (depth - 0.5 * np.sign(depth)) * spacing
    profile = np.where(inside, 0.5 + 0.5 * depth / EDGE_IN_MM, 0.5 + 0.5 * depth / EDGE_OUT_MM).clip(0.0, 1.0)
    noise = ndimage.gaussian_filter(rng.normal(size=inside.shape), UNEVEN_MM / spacing)
    noise /= max(float(noise.std()), 1e-6)
    level = levels.white + contrast * (1.0 + UNEVEN * noise.clip(-2.0, 2.0))
    image = scan.array[box]
    towards = level - ndimage.gaussian_filter(image, 0.7 / spacing)
    towards = np.maximum(towards, 0.0) if contrast > 0.0 else np.minimum(towards, 0.0)
    change[box] = profile * towards * tissue[box]
    return change
