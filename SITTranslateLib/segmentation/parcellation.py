"""Structures of a head or brain in any contrast: the parcellation network, refined by the scan's intensities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.refinement import refined
from SITTranslateLib.segmentation.structures import (
    BONE,
    BONE_CLASS,
    CLASS_COUNT,
    SOFT_CLASS,
    SOFT_TISSUE,
    STRUCTURES,
)
from SITTranslateLib.segmentation.tissues import normalised

WEIGHTS = Path(__file__).with_name("parcellation.safetensors")
"""Trained by the recipe ``segmentation`` (``sittranslate train parcellation``), float16."""
#: mL of bone and soft tissue near the brain above which the skull is there.
SKULL_ML = 100.0
_INDEX = {structure.key: index for index, structure in enumerate(STRUCTURES, start=1)}
#: Tissues of like brightness, in the order of :data:`SITTranslateLib.segmentation.CLASSES`; the last one beyond them.
_GROUPS: tuple[tuple[int, ...], ...] = (
    (0,),
    tuple(
        _INDEX[k]
        for k in ("lateral ventricle", "inferior lateral ventricle", "third ventricle", "fourth ventricle", "CSF")
    ),
    tuple(_INDEX[k] for k in ("cerebral cortex", "cerebellar cortex", "hippocampus", "amygdala")),
    tuple(_INDEX[k] for k in ("caudate", "putamen", "accumbens")),
    tuple(
        _INDEX[k]
        for k in (
            "cerebral white matter", "cerebellar white matter", "brain stem", "ventral diencephalon",
            "white-matter lesion",
        )
    ),
    (SOFT_CLASS,),
    (BONE_CLASS,),
    tuple(_INDEX[k] for k in ("thalamus", "pallidum")),
)  # fmt: skip
#: Brightness takes voxels from these, and adds none: the cortex beside them looks the same.
_NOT_ENLARGED = tuple(_INDEX[k] for k in ("hippocampus", "amygdala", "caudate", "accumbens"))
#: These are neither grey nor white: brightness takes voxels from them for fluid, and to other tissue it only adds.
_SHADED = tuple(_INDEX[k] for k in ("thalamus", "putamen", "pallidum", "ventral diencephalon", "brain stem"))
_FLUID = 1


@dataclass(frozen=True, eq=False)
class Parcellation:
    """Probabilities on a grid of 2 mm along +R, +A, +S.

    Attributes:
        classes: ``(CLASS_COUNT, K, J, I)``: outside, :data:`STRUCTURES` in their order, bone, other soft tissue.
        right: probability that sided tissue lies on the right ``(K, J, I)``.
    """

    classes: NDArray[np.float32]
    right: NDArray[np.float32]

    def of_label(self, label: int) -> NDArray[np.float32]:
        """Probability of a FreeSurfer label, left and right apart ``(K, J, I)``."""
        for index, structure in enumerate(STRUCTURES, start=1):
            if label in structure.labels:
                share = self.classes[index]
                if not structure.sided:
                    return share
                return share * (self.right if label == structure.right else 1.0 - self.right)
        raise KeyError(label)

    def labels(self) -> NDArray[np.int16]:
        """The likeliest label of each voxel, FreeSurfer's numbers, 515 for bone and 507 for other soft tissue."""
        best = self.classes.argmax(axis=0)
        left = np.array([0, *(s.left for s in STRUCTURES), BONE, SOFT_TISSUE], np.int16)
        right = np.array([0, *(s.right for s in STRUCTURES), BONE, SOFT_TISSUE], np.int16)
        return np.where(self.right > 0.5, right[best], left[best])

    def has_skull(self, spacing_mm: float = 2.0) -> bool:
        """Whether bone and skin surround the brain."""
        around = self.classes[BONE_CLASS] + self.classes[SOFT_CLASS]
        return float(around.sum()) * spacing_mm**3 / 1000.0 > SKULL_ML


@cache
def parcellation_network(weights: Path = WEIGHTS) -> TissueNetwork:
    """The trained network, ready to use."""
    stored = {n: v.float() if v.is_floating_point() else v for n, v in load_file(weights).items()}
    network = TissueNetwork(classes=CLASS_COUNT + 1)
    network.load_state_dict(stored)
    return network.eval()


@torch.no_grad()
def parcellated(image: NDArray[np.float32], *, weights: Path = WEIGHTS, refine: bool = True) -> Parcellation:
    """The structures of a scan of 2 mm with axes along R, A, S, in any units ``(K, J, I)``.

    Probabilities of the image and of its mirror image are averaged. Where the network is unsure, the scan's own
    brightness decides (:func:`SITTranslateLib.segmentation.refinement.refined`).
    """
    network = parcellation_network(weights)
    scan = torch.from_numpy(normalised(image))[None, None]
    classes = torch.zeros(0)
    right = torch.zeros(0)
    for mirrored in (False, True):
        given = scan.flip(-1) if mirrored else scan
        with torch.autocast("cpu", torch.bfloat16):
            output = network(given.contiguous(memory_format=torch.channels_last_3d)).float()
        if mirrored:
            output = output.flip(-1)
        found, side = output[:, :-1].softmax(dim=1), output[:, -1].sigmoid()
        classes = found if not mirrored else 0.5 * (classes + found)
        right = side if not mirrored else 0.5 * (right + 1.0 - side)
    if refine:
        classes = _refined(classes, scan)
    return Parcellation(classes[0].numpy(), right[0].numpy())


def _refined(classes: torch.Tensor, scan: torch.Tensor) -> torch.Tensor:
    """Probabilities scaled within each tissue to what the fitted mixture makes of that tissue."""
    tissues = torch.stack([classes[:, list(group)].sum(dim=1) for group in _GROUPS], dim=1)
    sharper = refined(tissues, scan)
    scaled = classes.clone()
    tissue = (1.0 - sharper[:, _FLUID]) / (1.0 - tissues[:, _FLUID]).clamp(min=1e-4)
    for index, group in enumerate(_GROUPS):
        ratio = sharper[:, index] / tissues[:, index].clamp(min=1e-4)
        for member in group:
            if member in _SHADED:
                scaled[:, member] *= tissue.clamp(max=1.0)
            else:
                scaled[:, member] *= ratio.clamp(max=1.0) if member in _NOT_ENLARGED else ratio
    return scaled / scaled.sum(dim=1, keepdim=True).clamp(min=1e-6)
