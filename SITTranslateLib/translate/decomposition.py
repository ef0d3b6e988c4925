"""Decomposition of a network's output into parts that give the translation; one class for each state.

The parts lie on the network's grids, in native units, and fade to nothing beyond them. Each class knows how to take an
answer apart, to put it together again (on the network's grid, to be compared), and to go onto the scan's own grid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from SITTranslateLib import fields
from SITTranslateLib.fields.rounding import intensity_step, rounded_field, rounded_volume
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.systems import NetworkOutput
from SITTranslateLib.translate.normalisation import to_native
from SITTranslateLib.translate.preparation import Prepared
from SITTranslateLib.translate.restoration import as_array, faded_outwards, on_grid, with_rim
from SITTranslateLib.translate.uncertainty import UNCERTAINTY
from SITTranslateLib.translate.upsampling import on_scan_grid
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume


@dataclass(frozen=True, eq=False)
class Flow:
    """Motion of the anatomy; mm RAS. The velocity is None where the network gives a displacement."""

    velocity: VectorField | None
    sampling: VectorField
    motion: VectorField

    @classmethod
    def of(cls, output: NetworkOutput, prepared: Prepared) -> Flow | None:
        """The motion of an answer; None if it has none."""
        if output.velocity is not None:
            assert output.velocity_affine is not None
            velocity = faded_outwards(VectorField(as_array(output.velocity), output.velocity_affine))
            return cls(velocity, fields.exponential(velocity, -1.0), fields.exponential(velocity))
        if output.displacement is not None:
            sampling = faded_outwards(VectorField(as_array(output.displacement), prepared.image.affine))
            return cls(None, sampling, fields.invert(sampling))
        return None

    def move(self, image: Volume) -> Volume:
        """An image warped on its own grid."""
        return fields.warp(image, fields.resample_field(self.sampling, image.grid))


@dataclass(frozen=True, eq=False)
class Maps:
    """Further contents of an output.

    Attributes:
        extras, labels: further maps by name; labels are read without interpolation.
        steps: the answer after each step of the sampling, in the units of the translated scan.
        air: value of air in the translated scan.
    """

    extras: Mapping[str, Volume] = field(default_factory=dict)
    labels: Mapping[str, Volume] = field(default_factory=dict)
    steps: Mapping[str, Volume] = field(default_factory=dict)
    air: float = 0.0

    @classmethod
    def of(cls, output: NetworkOutput, prepared: Prepared, card: ModelCard | None) -> Maps:
        """The further maps of an answer."""
        affine = prepared.image.affine
        maps = {name: tensor for name, tensor in output.extras.items() if name not in output.steps}
        extras = {name: faded_outwards(Volume(as_array(tensor), affine, name)) for name, tensor in maps.items()}
        if UNCERTAINTY in maps:
            extras[UNCERTAINTY] = faded_outwards(_uncertainty(output, prepared, card))
        steps = {name: in_native_units(output.extras[name], name, prepared, card) for name in output.steps}
        air = float(in_native_units(torch.zeros(1, 1, 1, 1, 1), "air", prepared, card).array.max())
        labels = {name: Volume(as_array(t), affine, name) for name, t in output.labels.items()}
        return cls(extras, labels, steps, air)

    def on_scan(self, scan: Volume) -> dict[str, Volume]:
        """All of them at the scan's voxels."""
        grid = scan.grid
        return (
            {name: fields.resample_volume(image, grid) for name, image in self.extras.items()}
            | {name: on_grid(image, grid, self.air) for name, image in self.steps.items()}
            | {name: fields.resample_volume(with_rim(image), grid, "nearest") for name, image in self.labels.items()}
        )


@dataclass(frozen=True, eq=False)
class Decomposition(ABC):
    """Base of the three states."""

    flow: Flow | None
    maps: Maps

    @property
    @abstractmethod
    def origin(self) -> FieldOrigin:
        """Origin of the field."""

    @abstractmethod
    def recomposed(self, prepared: Prepared) -> Volume:
        """The answer put together from the parts on the network's grid, native units."""

    @abstractmethod
    def changed(self, scan: Volume) -> tuple[Volume, Volume | None]:
        """The scan with its intensities changed and not yet moved, and the change where it is one to be kept."""

    def recomposition_error(self, output: NetworkOutput, prepared: Prepared, card: ModelCard | None = None) -> float:
        """Largest ``|network output - recomposed|`` on the network's grid, native units.

        Recomposed from the parts that the translation keeps, by the array form of the field engine with its own number
        of squarings: another path than the one the network took.
        """
        expected = in_native_units(output.translated, "expected", prepared, card)
        return float(np.abs(self.recomposed(prepared).array - expected.array).max())

    def on_scan(self, scan: Volume, recomposition_error: float, provenance: Provenance) -> Translation:
        """The parts on the scan's own grid, and the translated scan made of the scan's own voxels."""
        translated, change = self.changed(scan)
        if change is not None:
            change = rounded_volume(change, intensity_step(scan, translated))
            translated = scan.with_array(scan.array + change.array)
        moved: dict[str, Any] = {"velocity": None, "motion": None, "sampling": None, "jacobian": None}
        if self.flow is not None:
            sampling = rounded_field(fields.resample_field(self.flow.sampling, scan.grid))
            moved = {
                "velocity": self.flow.velocity,
                "motion": rounded_field(fields.resample_field(self.flow.motion, scan.grid)),
                "sampling": sampling,
                # On the field's own grid, where its derivative is defined, then read at the scan's voxels.
                "jacobian": on_grid(fields.jacobian(self.flow.motion), scan.grid, outside=1.0),
            }
            step = intensity_step(scan, translated)
            translated = rounded_volume(fields.warp(translated, sampling), step, where_not=translated)
        return Translation(
            source=scan,
            translated=translated.with_array(translated.array, f"{scan.name} translated"),
            intensity_change=change,
            field_origin=self.origin,
            recomposition_error=recomposition_error,
            provenance=provenance,
            extras=self.maps.on_scan(scan),
            steps=tuple(self.maps.steps),
            **moved,
        )


@dataclass(frozen=True, eq=False)
class AdditiveChange(Decomposition):
    """A change within the scan's contrast: something is added, then the anatomy may move.

    Attributes:
        change: what is added, native units; None if only the anatomy moves.
    """

    change: Volume | None

    @property
    def origin(self) -> FieldOrigin:
        return FieldOrigin.IDENTITY if self.flow is None else FieldOrigin.MODEL

    @classmethod
    def of(cls, output: NetworkOutput, prepared: Prepared, flow: Flow | None, maps: Maps) -> AdditiveChange:
        """Of an answer in the scan's units; without a motion its difference from the scan is the change."""
        change = None
        if output.intensity_change is not None:
            change = _native_difference(as_array(output.intensity_change), prepared)
        elif flow is None:
            change = _native_difference(as_array(output.translated) - prepared.image.array, prepared)
        return cls(flow, maps, change)

    def recomposed(self, prepared: Prepared) -> Volume:
        native = _with(prepared.image.with_array(prepared.scale.restore(prepared.image.array)), self.change)
        return native if self.flow is None else self.flow.move(native)

    def changed(self, scan: Volume) -> tuple[Volume, Volume | None]:
        if self.change is None:
            return scan, None
        change = fields.resample_volume(self.change, scan.grid)
        return scan.with_array(scan.array + change.array), change


@dataclass(frozen=True, eq=False)
class ContrastChange(Decomposition):
    """Another contrast, which has its own units: the scan in it is kept, and not its difference from the scan.

    Attributes:
        source: the scan as the network saw it, native units.
        target: the scan in the other contrast where the source's anatomy lies, that contrast's units.
        keeps_geometry: whether the model promises that nothing moves.
    """

    source: Volume
    target: Volume
    keeps_geometry: bool

    @property
    def origin(self) -> FieldOrigin:
        if self.flow is not None:
            return FieldOrigin.MODEL
        return FieldOrigin.IDENTITY if self.keeps_geometry else FieldOrigin.NONE

    @classmethod
    def of(
        cls, output: NetworkOutput, prepared: Prepared, card: ModelCard, flow: Flow | None, maps: Maps
    ) -> ContrastChange:
        """Of an answer of a card with a scale of the target."""
        assert card.target_scale is not None
        image = prepared.image
        target = in_native_units(output.translated, image.name, prepared, card)
        if output.intensity_change is not None:
            target = image.with_array(to_native(image.array + as_array(output.intensity_change), card.target_scale))
        source = image.with_array(prepared.scale.restore(image.array))
        return cls(flow, maps, source, target, output.keeps_geometry)

    def recomposed(self, prepared: Prepared) -> Volume:
        # From the change, as a translation keeps it.
        change = self.target.array - self.source.array
        native = self.source.with_array(self.source.array + change)
        return native if self.flow is None else self.flow.move(native)

    def changed(self, scan: Volume) -> tuple[Volume, Volume | None]:
        target = on_scan_grid(scan, self.source, self.target, self.maps.air)
        if self.origin is FieldOrigin.NONE:
            return target, None
        change = scan.with_array(target.array - scan.array, "intensity change")
        return scan.with_array(scan.array + change.array), change


@dataclass(frozen=True, eq=False)
class OpaqueChange(Decomposition):
    """A change of which nothing is known but its result.

    Attributes:
        residual: the answer less the scan, native units; no part of a translation.
    """

    residual: Volume

    @property
    def origin(self) -> FieldOrigin:
        return FieldOrigin.NONE

    @classmethod
    def of(cls, output: NetworkOutput, prepared: Prepared, maps: Maps) -> OpaqueChange:
        """Of an answer in the scan's units."""
        return cls(None, maps, _native_difference(as_array(output.translated) - prepared.image.array, prepared))

    def recomposed(self, prepared: Prepared) -> Volume:
        return _with(prepared.image.with_array(prepared.scale.restore(prepared.image.array)), self.residual)

    def changed(self, scan: Volume) -> tuple[Volume, Volume | None]:
        return _with(scan, self.residual), None


def decompose(output: NetworkOutput, prepared: Prepared, card: ModelCard | None = None) -> Decomposition:
    """A network's answer in the state that it allows.

    Args:
        card: of the model; without it, the answer is in the scan's units.
    """
    flow, maps = Flow.of(output, prepared), Maps.of(output, prepared, card)
    if card is not None and card.target_scale is not None:
        return ContrastChange.of(output, prepared, card, flow, maps)
    if flow is not None or output.keeps_geometry:
        return AdditiveChange.of(output, prepared, flow, maps)
    return OpaqueChange.of(output, prepared, maps)


def in_native_units(tensor: torch.Tensor, name: str, prepared: Prepared, card: ModelCard | None) -> Volume:
    """An image of the network in the units of the translated scan."""
    values, scale = as_array(tensor), card.target_scale if card is not None else None
    native = prepared.scale.restore(values) if scale is None else to_native(values, scale)
    return Volume(native, prepared.image.affine, name)


def _with(image: Volume, addition: Volume | None) -> Volume:
    """An image with something of another grid added."""
    if addition is None:
        return image
    return image.with_array(image.array + fields.resample_volume(addition, image.grid).array)


def _native_difference(values: np.ndarray, prepared: Prepared) -> Volume:
    """A difference in network units in native ones, fading out beyond the network's grid."""
    array = values * np.float32(prepared.scale.width)
    return faded_outwards(Volume(array, prepared.image.affine, "intensity change"))


def _uncertainty(output: NetworkOutput, prepared: Prepared, card: ModelCard | None) -> Volume:
    """The uncertainty of a translated scan, which networks give in their own units, in the scan's or the target's."""
    spread = as_array(output.extras[UNCERTAINTY])
    if card is None or card.target_scale is None:
        return prepared.image.with_array(spread * np.float32(prepared.scale.width), UNCERTAINTY)
    middle, half = as_array(output.translated), np.float32(0.5) * spread
    native = to_native(middle + half, card.target_scale) - to_native(middle - half, card.target_scale)
    return prepared.image.with_array(native, UNCERTAINTY)
