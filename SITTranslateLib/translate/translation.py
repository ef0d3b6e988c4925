"""What a translation is: the translated scan and where every part of it came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.volume import VectorField, Volume


class FieldOrigin(StrEnum):
    """Where the field of a translation comes from; shown in every label."""

    MODEL = "model"
    IDENTITY = "identity"
    ESTIMATED = "estimated"
    NONE = "none"


@dataclass(frozen=True)
class Provenance:
    """How a translation was made; everything needed to make it again."""

    package: str
    version: str
    sha256: str
    system: str
    attributes: dict[str, float]
    seed: int
    device: str
    source_sha256: str
    created: str
    seconds: float
    software: dict[str, str] = field(default_factory=dict)
    forced: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    precision: str = "float32"
    #: Contrast of the translated scan, if it is another than the source's.
    target: str = ""
    #: How many answers its maps of uncertainty were made of; 1 where it has none.
    ensemble: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self) | {"forced": list(self.forced), "warnings": list(self.warnings)}


@dataclass(frozen=True, eq=False)
class Translation:
    """A translated scan with its decomposition: ``translated(y) = (source + d)(y + u(y))``.

    All volumes and displacement fields lie on the source's own grid, in its native units; the velocity keeps its
    own coarser grid. ``field_origin`` says whether the field is the model's, identity, estimated or none.
    ``extras`` are further maps by name; ``steps`` names those of them that are what the model took the translated scan
    to be after each step of its sampling, in order.
    """

    source: Volume
    translated: Volume
    velocity: VectorField | None
    motion: VectorField | None
    sampling: VectorField | None
    jacobian: Volume | None
    intensity_change: Volume | None
    field_origin: FieldOrigin
    recomposition_error: float
    provenance: Provenance
    extras: dict[str, Volume] = field(default_factory=dict)
    steps: tuple[str, ...] = ()

    def at(self, strength: float, *, spatial: bool = True, intensity: bool = True) -> Volume:
        """The scan with ``strength`` times the change, without running the network.

        0 gives the source, 1 the translation, 0.5 half of both the motion (``exp(0.5 v)``) and the intensity
        change; beyond 1 is an extrapolation. ``spatial`` and ``intensity`` switch the two parts. Half of another
        contrast is no contrast: where the model also moves the anatomy, ``strength`` is that of the motion alone.
        """
        name = f"{self.source.name} at {strength:g}"
        if self.intensity_change is None and self.sampling is None:
            # No decomposition to scale: blend towards the translation (said so by field_origin NONE).
            blend = self.source.array + strength * (self.translated.array - self.source.array)
            return self.source.with_array(blend, name)
        changed = self.source
        if intensity and self.intensity_change is not None:
            share = 1.0 if self.provenance.target and self.sampling is not None else strength
            array = np.multiply(self.intensity_change.array, np.float32(share))
            array += changed.array
            changed = changed.with_array(array)
        if not spatial or self.sampling is None or strength == 0:
            return changed.with_array(changed.array, name)
        if self.velocity is not None and strength != 1:
            # The coarse field is read on the way: for one picture, the full field need not exist.
            coarse = fields.exponential(self.velocity, -strength)
            return changed.with_array(fields.warp(changed, coarse, grid=self.source.grid).array, name)
        sampling = self.sampling_at(strength)
        assert sampling is not None
        return changed.with_array(fields.warp(changed, sampling).array, name)

    def sampling_at(self, strength: float) -> VectorField | None:
        """The sampling field for ``strength`` times the change, on the source's grid; None if nothing moves."""
        if self.sampling is None or strength == 0:
            return None
        if strength == 1:
            return self.sampling
        if self.velocity is not None:
            coarse = fields.exponential(self.velocity, -strength)
            return fields.resample_field(coarse, self.source.grid)
        return VectorField(np.float32(strength) * self.sampling.array, self.sampling.affine)

    def motion_at(self, strength: float) -> VectorField | None:
        """Where a source point goes for ``strength`` times the change, on the source's grid; None if not known."""
        if self.motion is None:
            return None
        if strength == 0:
            # Not None: whoever draws it must take away the arrows of another strength.
            return VectorField(np.zeros_like(self.motion.array), self.motion.affine)
        if strength == 1:
            return self.motion
        if self.velocity is not None:
            return fields.resample_field(fields.exponential(self.velocity, strength), self.source.grid)
        sampling = self.sampling_at(strength)
        return None if sampling is None else fields.invert(sampling)
