"""Whether lesions that are visible in a scan keep their contrast in its translation to another MR contrast.

Lesions of white matter stand out by their brightness: dark in T1w, bright in T2w, FLAIR and PD. Clusters that do so in
the scan are found inside the white matter of the segmentation, and their contrast with the white matter around them is
compared before and after, each in standard deviations of its brain. Nothing says that a cluster is a lesion; a thing
that fades is a warning to read the scan itself. docs/cross-contrast.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.segmentation.maps import shows_a_brain, tissue_probabilities
from SITTranslateLib.segmentation.tissues import BRAIN, CLASSES, SPACING_MM
from SITTranslateLib.translate.head import background_of, resample_itk
from SITTranslateLib.translate.preparation import antialiased
from SITTranslateLib.volume import Grid, Volume

LESION_SIGN = {"T1w": -1.0, "T2w": 1.0, "FLAIR": 1.0, "PD": 1.0}
"""Whether lesions are brighter (1) or darker (-1) than white matter."""
OUTLIER = 3.5
"""Robust standard deviations of white matter from its median beyond which a voxel is part of a cluster."""
EDGE_MM = 2.0
"""Rim of the white matter, mixed with cortex and fluid, in which no cluster begins."""
SMALLEST_ML = 0.03
SHELL_MM = (2.0, 6.0)
"""Distance of the white matter that a cluster is compared with."""
LEAST_SHELL = 30
LEAST_KEPT = 0.25
"""Share of a cluster's contrast below which it has faded; acquired T1w and T2w scans keep more of 98 % of the clusters
of scans in another contrast (docs/cross-contrast.md)."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Cluster:
    """A cluster of the scan and what the translation makes of it.

    Attributes:
        middle: R, A, S in mm.
        millilitres: its volume.
        before, after: contrast with the white matter around it, standard deviations of the brain of scan and
            translation; positive where it looks as a lesion does in that contrast.
    """

    middle: tuple[float, float, float]
    millilitres: float
    before: float
    after: float

    @property
    def faded(self) -> bool:
        return self.after < LEAST_KEPT * self.before


def lesion_clusters(source: Volume, target: Volume, contrasts: tuple[str, str]) -> list[Cluster]:
    """Clusters of the white matter that look like lesions in the scan, the largest first.

    Args:
        source: the scan on axes along +R, +A, +S, any units.
        target: its translation, the same anatomy on the same grid, any units.
        contrasts: of both; there are no clusters where one is not in :data:`LESION_SIGN`, or no brain is found.
    """
    if not all(name in LESION_SIGN for name in contrasts):
        return []
    tissues = _white_and_brain(source)
    if tissues is None:
        return []
    white, brain = tissues
    spacing = float(np.mean(source.spacing))
    spreads = [_spread(image.array, brain) for image in (source, target)]
    # The rest of the grid costs time only.
    reach = int(np.ceil(SHELL_MM[1] / spacing)) + 1
    whole = _box(white, reach)
    white, scan, made = white[whole], source.array[whole], target.array[whole]
    # What is dark or bright enough to be taken for another tissue is inside all the same.
    solid = ndimage.binary_fill_holes(ndimage.binary_closing(white))
    inner = ndimage.binary_erosion(solid, iterations=max(1, round(EDGE_MM / spacing)))
    if np.count_nonzero(inner) * spacing**3 < 1000.0 * SMALLEST_ML:
        return []
    sign = LESION_SIGN[contrasts[0]]
    middle = float(np.median(scan[inner]))
    robust = max(1.4826 * float(np.median(np.abs(scan[inner] - middle))), 1e-6)
    smooth = ndimage.gaussian_filter(scan, 0.5 / spacing)
    labels, count = ndimage.label(inner & (sign * (smooth - middle) > OUTLIER * robust))
    boxes = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * spacing**3 / 1000.0
    found = []
    for number in np.argsort(-sizes[1:], kind="stable") + 1:
        if sizes[number] < SMALLEST_ML:
            break
        box = _wider(boxes[number - 1], reach, scan.shape)
        inside = labels[box] == number
        away = ndimage.distance_transform_edt(~inside) * spacing
        shell = (away >= SHELL_MM[0]) & (away <= SHELL_MM[1]) & white[box] & (labels[box] == 0)
        if np.count_nonzero(shell) < LEAST_SHELL:
            continue
        before, after = (
            LESION_SIGN[name] * float(image[box][inside].mean() - np.median(image[box][shell])) / spread
            for name, image, spread in zip(contrasts, (scan, made), spreads, strict=True)
        )
        if before <= 0.0:
            continue
        place = np.argwhere(inside).mean(axis=0) + [a.start + b.start for a, b in zip(box, whole, strict=True)]
        where = source.grid.to_world(place[::-1])
        found.append(Cluster((float(where[0]), float(where[1]), float(where[2])), float(sizes[number]), before, after))
    return found


def faded_lesions(source: Volume, target: Volume, contrasts: tuple[str, str]) -> tuple[str, ...]:
    """A warning where clusters that look like lesions fade or turn their sign; see :func:`lesion_clusters`."""
    clusters = lesion_clusters(source, target, contrasts)
    faded = [c for c in clusters if c.faded]
    if not faded:
        return ()
    look = "bright" if LESION_SIGN[contrasts[0]] > 0 else "dark"
    turned = sum(c.after < 0 for c in faded)
    r, a, s = (round(x) for x in faded[0].middle)
    spots = "spot" if len(clusters) == 1 else "spots"
    return (
        f"{len(faded)} of {len(clusters)} {look} {spots} in the white matter of the scan "
        f"({sum(c.millilitres for c in faded):.2g} of {sum(c.millilitres for c in clusters):.2g} mL) keep less than "
        f"{100 * LEAST_KEPT:.0f} % of their contrast in the {contrasts[1]} that was made"
        + (f", {turned} with the sign turned" if turned else "")
        + f"; the largest, {faded[0].millilitres:.2g} mL, is at R {r}, A {a}, S {s} mm: lesions may be "
        "lost in the translation, so look for them in the scan.",
    )


def _white_and_brain(scan: Volume) -> tuple[Mask, Mask] | None:
    """White matter (lesions with it) and brain with its fluid on the scan's grid; None where there is no brain."""
    extent = np.array(scan.shape) * np.array(scan.spacing[::-1]) / SPACING_MM
    k, j, i = (int(8 * np.ceil(n / 8)) for n in extent)
    centre = scan.grid.to_world((np.array(scan.shape[::-1]) - 1) / 2.0)
    coarse = Grid.centred(centre, (k, j, i), SPACING_MM)
    small = resample_itk(antialiased(scan, SPACING_MM), coarse, background_of(scan.array))
    shares = tissue_probabilities(torch.from_numpy(small.array)[None, None])
    if not shows_a_brain(shares, SPACING_MM):
        return None
    white = shares[0, CLASSES.index("white matter")].numpy()
    brain = shares[0, list(BRAIN)].sum(dim=0).numpy()
    masks = [resample_itk(Volume(part, coarse.affine, "share"), scan.grid, 0.0).array > 0.5 for part in (white, brain)]
    return (masks[0], masks[1]) if masks[0].any() and masks[1].any() else None


def _box(mask: Mask, reach: int) -> Box:
    return _wider(ndimage.find_objects(mask.astype(np.uint8))[0], reach, mask.shape)


def _wider(box: Box, reach: int, shape: tuple[int, ...]) -> Box:
    """A box with a margin, inside an array of this shape."""
    return tuple(slice(max(0, s.start - reach), min(n, s.stop + reach)) for s, n in zip(box, shape, strict=True))


def _spread(image: Array, brain: Mask) -> float:
    """Standard deviation of the middle 90 % of a brain."""
    values = image[brain]
    low, high = np.percentile(values, (5, 95))
    return max(float(values[(values >= low) & (values <= high)].std()), 1e-6)
