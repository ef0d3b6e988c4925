"""Cases of the tables between contrasts: scans whose translation is known, and the range of each contrast.

Values are in network units for MR (the head's median is 0.5) and in HU for CT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.evaluation.table import Array, Prediction, Unit

#: Fixed range of each contrast, for SSIM and PSNR: black to cerebrospinal fluid, white matter, cortical bone.
SPANS = {"T1w": 1.0, "T1wGd": 1.0, "T2w": 1.5, "FLAIR": 1.0, "PD": 1.0, "CT": 2600.0}
BONE_HU = 300.0


@dataclass(frozen=True, eq=False)
class Case:
    """A scan whose translation is known.

    Attributes:
        group: what it counts towards (a scanner range, a real scan).
        source, truth: ``(K, J, I)``; network units, CT truth in HU.
        acquired: the target as its scanner gives it, for the row that shows what noise alone costs.
        brain, head: masks.
        classes: 1 CSF, 2 grey, 3 white, or None where nobody drew them.
        stripped: the skull was taken off.
    """

    name: str
    group: str
    target: str
    source: Array
    truth: Array
    acquired: Array | None
    brain: NDArray[np.bool_]
    head: NDArray[np.bool_]
    classes: NDArray[np.uint8] | None
    stripped: bool
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)


Method = Callable[[Case], Prediction]


def unit_of(target: str) -> Unit:
    """The unit of a case's truth: HU of CT, network units of MR."""
    return Unit.HU if target == "CT" else Unit.NETWORK
