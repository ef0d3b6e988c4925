"""Structures of a head or brain in any contrast: the parcellation network, refined by the scan's intensities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from SITTranslateLib.segmentation.network import TissueNetwork, for_inference
from SITTranslateLib.segmentation.refinement import AIR, posterior
from SITTranslateLib.segmentation.structures import (
    BONE,
    BONE_CLASS,
    CLASS_COUNT,
    OUTSIDE_CLASS,
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
#: One voxel in so many decides how bright the tissues are: tens of thousands are left.
FITTED_EVERY = 4


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


@cache
def _folded(weights: Path) -> TissueNetwork:
    return for_inference(parcellation_network(weights))


@torch.no_grad()
def parcellated(image: NDArray[np.float32], *, weights: Path = WEIGHTS, refine: bool = True) -> Parcellation:
    """The structures of a scan of 2 mm with axes along R, A, S, in any units ``(K, J, I)``.

    Probabilities of the image and of its mirror image are averaged. Where the network is unsure, the scan's own
    brightness decides (:func:`SITTranslateLib.segmentation.refinement.posterior`).
    """
    network, scan = _folded(weights), torch.from_numpy(normalised(image))
    # Classes last, as the network gives them: what follows reads them voxel by voxel.
    classes, right = torch.zeros(*scan.shape, CLASS_COUNT), torch.zeros(scan.shape)
    # Also where the caller computes in half precision.
    with torch.autocast("cpu", enabled=False):
        for mirrored in (False, True):
            given = (scan.flip(-1) if mirrored else scan)[None, None].bfloat16()
            output = network(given.contiguous(memory_format=torch.channels_last_3d))[0].permute(1, 2, 3, 0)
            # Layer by layer, which fits into the processor's cache.
            for layer, shares, side in zip(output, classes, right, strict=True):
                logits = (layer.flip(1) if mirrored else layer).float()
                seen = logits[..., -1].sigmoid()
                shares.add_(logits[..., :-1].softmax(dim=-1), alpha=0.5)
                side.add_(1.0 - seen if mirrored else seen, alpha=0.5)
        if refine:
            _refine(classes, scan)
    first = torch.empty(CLASS_COUNT, *scan.shape)
    for target, values in zip(first.unbind(dim=1), classes, strict=True):
        target.copy_(values.permute(2, 0, 1))
    return Parcellation(first.numpy(), right.numpy())


def _refine(classes: torch.Tensor, scan: torch.Tensor) -> None:
    """Scale the probabilities within each tissue to what the fitted mixture makes of that tissue.

    Args:
        classes: ``(K, J, I, CLASS_COUNT)``; changed in place.
        scan: ``(K, J, I)``, network units.
    """
    seen = (classes[..., OUTSIDE_CLASS] < AIR) & (scan > 0)
    if int(seen.sum()) < 2:
        return
    found = classes[seen]
    group = torch.empty(CLASS_COUNT, dtype=torch.long)
    for index, members in enumerate(_GROUPS):
        group[list(members)] = index
    tissues = (found @ torch.eye(len(_GROUPS))[group]).T.contiguous()
    sharper = posterior(tissues, scan[seen], every=FITTED_EVERY)
    ratio = sharper / tissues.clamp(min=1e-4)
    factors = ratio[group]
    factors[list(_NOT_ENLARGED)] = factors[list(_NOT_ENLARGED)].clamp(max=1.0)
    factors[list(_SHADED)] = ((1.0 - sharper[_FLUID]) / (1.0 - tissues[_FLUID]).clamp(min=1e-4)).clamp(max=1.0)
    found *= factors.T
    found /= found.sum(dim=1, keepdim=True).clamp(min=1e-6)
    classes[seen] = found
