"""The structures of a parcellation: FreeSurfer's names and numbers, left and right.

Numbers are those of ``FreeSurferColorLUT.txt`` for the brain and SynthSeg's (Billot et al., Medical Image Analysis
2023) for the rest of the head, as in :mod:`SITTranslateLib.simulation.labels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.simulation.labels import TISSUE_OF_LABEL, lookup


@dataclass(frozen=True)
class Structure:
    """One structure, on both sides or on the midline.

    Attributes:
        key: its name in tables of changes.
        name: FreeSurfer's, without the side.
        left, right: labels; the same number for a structure of the midline.
        merged: other labels of a training map that count as it.
    """

    key: str
    name: str
    left: int
    right: int
    merged: tuple[int, ...] = ()

    @property
    def sided(self) -> bool:
        """Whether it has a left and a right part."""
        return self.left != self.right

    @property
    def labels(self) -> tuple[int, ...]:
        """Left and right, or the one label of the midline."""
        return (self.left, self.right) if self.sided else (self.left,)


STRUCTURES: tuple[Structure, ...] = (
    Structure("cerebral white matter", "Cerebral-White-Matter", 2, 41),
    Structure("cerebral cortex", "Cerebral-Cortex", 3, 42),
    Structure("lateral ventricle", "Lateral-Ventricle", 4, 43),
    Structure("inferior lateral ventricle", "Inf-Lat-Vent", 5, 44),
    Structure("cerebellar white matter", "Cerebellum-White-Matter", 7, 46),
    Structure("cerebellar cortex", "Cerebellum-Cortex", 8, 47),
    Structure("thalamus", "Thalamus", 10, 49),
    Structure("caudate", "Caudate", 11, 50),
    Structure("putamen", "Putamen", 12, 51, (30, 62)),
    Structure("pallidum", "Pallidum", 13, 52),
    Structure("hippocampus", "Hippocampus", 17, 53),
    Structure("amygdala", "Amygdala", 18, 54),
    Structure("accumbens", "Accumbens-area", 26, 58),
    Structure("ventral diencephalon", "VentralDC", 28, 60),
    Structure("white-matter lesion", "WM-hypointensities", 25, 57),
    Structure("third ventricle", "3rd-Ventricle", 14, 14, (72,)),
    Structure("fourth ventricle", "4th-Ventricle", 15, 15),
    Structure("brain stem", "Brain-Stem", 16, 16),
    Structure("CSF", "CSF", 24, 24),
)
"""Structures distinguished inside the skull, in the order of the parcellation network's classes (after ``outside``)."""
BONE, SOFT_TISSUE = 515, 507
OUTSIDE_CLASS, BONE_CLASS, SOFT_CLASS = 0, len(STRUCTURES) + 1, len(STRUCTURES) + 2
CLASS_COUNT = len(STRUCTURES) + 3
"""``outside`` (air, and what skull stripping took away), the structures, bone, other soft tissue."""
SIDED_CLASSES = tuple(index for index, s in enumerate(STRUCTURES, start=1) if s.sided)
BY_KEY: dict[str, Structure] = {structure.key: structure for structure in STRUCTURES}


def _classes() -> dict[int, int]:
    table = {
        label: 0 if tissue == "air" else BONE_CLASS if tissue.startswith("bone") else SOFT_CLASS
        for label, tissue in TISSUE_OF_LABEL.items()
    }
    for index, structure in enumerate(STRUCTURES, start=1):
        table |= dict.fromkeys((*structure.labels, *structure.merged), index)
    return table


CLASS_OF_LABEL: NDArray[np.uint8] = lookup(_classes(), np.uint8)
"""Index of the class of each label of :mod:`SITTranslateLib.simulation.labels`."""
RIGHT_LABELS: NDArray[np.bool_] = lookup(dict.fromkeys([s.right for s in STRUCTURES if s.sided] + [62], True), np.bool_)
"""Which labels lie on the right."""
