"""Interface of every system's network to the pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from SITTranslateLib.segmentation.parcellation import Parcellation

Progress = Callable[[float], None]

_AFTER_STEP = re.compile(r"after step \d+ of \d+")


def after_step(number: int, count: int) -> str:
    """Name of the image after a step of the sampling, in the extras; ``number`` from 1."""
    return f"after step {number} of {count}"


@dataclass(frozen=True)
class NetworkOutput:
    """One network's answer on its own grid, normalised intensities, batch of one.

    Attributes:
        translated: ``(1, 1, K, J, I)``.
        intensity_change: ``d`` on the source grid ``(1, 1, K, J, I)``, or None if the system has none. Of a system
            that changes the contrast and moves the anatomy, ``image + d`` is the new contrast in the target's network
            units where the source's anatomy lies, and ``translated`` the same after the motion.
        velocity: stationary velocity of the motion ``(1, 3, k, j, i)`` in mm RAS, on the network's grid or a
            coarser one.
        velocity_affine: 4x4 of the velocity's grid (ijk to RAS mm).
        displacement: sampling field ``(1, 3, K, J, I)`` in mm RAS, for systems that predict it directly.
        keeps_geometry: the system promises that nothing moves (field origin IDENTITY).
        extras: further maps to show (attention, uncertainty), each ``(1, 1, K, J, I)``; those called as
            :func:`after_step` says are images in the units and the place of ``translated``.
        labels: further label maps (a segmentation), the same shape; brought to the scan's grid by nearest voxel.
        parcellation: the structures of the image on its grid, where the network needed them.
        warnings: what the user must know about this answer, one sentence each.
    """

    translated: Tensor
    intensity_change: Tensor | None = None
    velocity: Tensor | None = None
    velocity_affine: NDArray[np.float64] | None = None
    displacement: Tensor | None = None
    keeps_geometry: bool = False
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    parcellation: Parcellation | None = None
    warnings: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the network's own outputs other than the image."""
        named = ("velocity", "displacement", "intensity_change")
        return tuple(name for name in named if getattr(self, name) is not None)

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the extras that are the image after one step each, in the order of the steps."""
        return tuple(name for name in self.extras if _AFTER_STEP.fullmatch(name))


@runtime_checkable
class TranslationNetwork(Protocol):
    """A system as the pipeline sees it; implementations are ``torch.nn.Module``."""

    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """Translate one normalised image ``(1, 1, K, J, I)``.

        Args:
            image: normalised intensities on the grid that the package's card asks for.
            request: attribute name to value in its own unit; an attribute that is absent is not asked for.
            affine: 4x4 of the image's grid (ijk to RAS mm).
            progress: called with the fraction done, for systems that take more than a second.
        """
        ...
