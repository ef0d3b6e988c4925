"""Prescribed change as a system of packages: a parcellation of the scan, a preset, and the motion for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.parcellation import parcellated
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.systems.prescribed.changes import ratios
from SITTranslateLib.systems.prescribed.motion import prescribed_motion, warnings_of
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import REGIONS, shares_of_parcellation
from SITTranslateLib.volume import Grid, Volume

#: What the parcellation is called among a result's maps.
STRUCTURES_MAP = "structures"


class PrescribedNetwork(nn.Module):
    """Finds the structures by the library's parcellation network and moves them by a preset.

    Args:
        presets: names in the order of the card's choices.

    Raises:
        ValueError: no presets.
    """

    def __init__(self, presets: Sequence[str]) -> None:
        super().__init__()
        if not presets:
            raise ValueError("presets: give at least one")
        self.presets = tuple(presets)
        # A package has a file of weights; there is nothing else to keep in it.
        self.register_buffer("format", torch.ones(1))

    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`TranslationNetwork`; the request holds ``preset``, ``years`` and, where it matters, ``age``.

        Raises:
            InputError: no years, no age where the preset depends on it, an age that is no adult's, or no brain.
        """
        report = progress or (lambda fraction: None)
        preset = self.presets[round(request.get("preset", 0.0))]
        if "years" not in request:
            raise InputError(f"The preset '{preset}' needs years: how much later, or (negative) earlier.")
        table = preset_changes(preset, request.get("age"), request["years"])
        scan = image[0, 0].float().cpu().numpy()
        found = parcellated(scan)
        report(0.4)
        grid = Grid(scan.shape, affine)  # type: ignore[arg-type]
        shares = shares_of_parcellation(found, grid)
        shown = {region.name for region in REGIONS for part, _ in region.parts if part in shares.volumes_ml}
        asked = ratios({name: value for name, value in table.items() if name in shown}, shares.volumes_ml, None)
        motion = prescribed_motion(shares, asked, stripped=not found.has_skull(grid.spacing[0]))
        report(0.9)
        velocity = motion.solution.velocity
        sampling = fields.resample_field(fields.exponential(velocity, -1.0), grid)
        moved = fields.warp(Volume(scan, affine), sampling).array
        labels = torch.from_numpy(found.labels().astype(np.float32))[None, None]
        return NetworkOutput(
            translated=torch.from_numpy(moved)[None, None].to(image.device),
            velocity=torch.from_numpy(np.ascontiguousarray(velocity.array.transpose(3, 0, 1, 2)))[None].to(
                image.device
            ),
            velocity_affine=velocity.affine,
            labels={STRUCTURES_MAP: labels},
            parcellation=found,
            warnings=warnings_of(motion),
        )
