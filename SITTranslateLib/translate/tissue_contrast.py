"""Possible MR contrasts of a scan by the intensities of its tissues: a third test before a scan is refused.

The tissues come from the segmentation, which works in any contrast. What is compared are ratios to white matter, so
that units do not matter: T1w has grey matter and fluid below it; FLAIR and DWI have grey matter above and fluid below;
T2w, PD and ADC have both above, ADC its fluid far above. The limits lie in the gaps between real scans (measured in
docs/reliability.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from SITTranslateLib.segmentation.maps import shows_a_brain, tissue_probabilities
from SITTranslateLib.segmentation.tissues import CLASSES, SPACING_MM
from SITTranslateLib.translate.head import Anatomy, background_of
from SITTranslateLib.translate.preparation import reduced
from SITTranslateLib.volume import Grid, Volume

SHAPE = (88, 104, 88)
"""Of the grid about the brain that tissues are found on, voxels of 2 mm."""
CERTAIN, FEWEST = 0.7, 800
"""Probability from which a voxel counts as a tissue, and the fewest voxels of one."""
FLUID, CORTEX, WHITE = (CLASSES.index(name) for name in ("CSF", "cortical grey matter", "white matter"))
DARK_FLUID, BRIGHT_FLUID, VERY_BRIGHT_FLUID = 0.8, 1.03, 1.8
"""Fluid over white matter: below the first T1w, FLAIR, DWI; above the second T2w, PD, ADC; above the third, ADC."""
DARK_CORTEX, BRIGHT_CORTEX = 0.99, 1.01
"""Cortex over white matter: below the first T1w, above the second every other contrast."""


@dataclass(frozen=True)
class TissueContrast:
    """Brightness of fluid and of cortex over that of white matter, and the contrasts that have it so."""

    fluid: float
    cortex: float
    contrasts: tuple[str, ...]


def contrasts_by_tissue(volume: Volume, anatomy: Anatomy) -> TissueContrast | None:
    """What the scan can be; None where no brain with all tissues is found.

    Args:
        volume: native units, any grid.
        anatomy: of the scan.
    """
    grid = Grid.centred(anatomy.centre, SHAPE, SPACING_MM)
    image = reduced(volume, grid).array
    found = tissue_probabilities(torch.from_numpy(image)[None, None])
    if not shows_a_brain(found, SPACING_MM):
        return None
    shares = found[0].numpy()
    middles = []
    for tissue in (FLUID, CORTEX, WHITE):
        values = image[shares[tissue] > CERTAIN]
        if values.size < FEWEST:
            return None
        middles.append(float(np.median(values)) - background_of(volume.array))
    fluid, cortex, white = middles
    if white <= 0 or cortex <= 0:
        return None
    return named(fluid / white, cortex / white)


def named(fluid: float, cortex: float) -> TissueContrast:
    """The contrasts in which fluid and cortex are so bright, relative to white matter; none between the limits."""
    contrasts: tuple[str, ...] = ()
    if fluid < DARK_FLUID and cortex < DARK_CORTEX:
        contrasts = ("T1w", "T1wGd")
    elif fluid < DARK_FLUID and cortex > BRIGHT_CORTEX:
        contrasts = ("FLAIR", "DWI")
    elif fluid > VERY_BRIGHT_FLUID and cortex > BRIGHT_CORTEX:
        contrasts = ("ADC",)
    elif fluid > BRIGHT_FLUID and cortex > BRIGHT_CORTEX:
        contrasts = ("T2w", "PD")
    return TissueContrast(fluid, cortex, contrasts)
