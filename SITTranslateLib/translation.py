"""A translation: the translated scan, its parts, and the record of how it was made.

Importing this module loads neither torch nor numba; in Slicer it is what the worker process answers with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from SITTranslateLib import fields, notebook
from SITTranslateLib.arguments import number_of
from SITTranslateLib.attributes import AttributeRole, usual_role
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields.rounding import intensity_step, rounded_volume
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.structure_table import StructureVolumes
from SITTranslateLib.volume import VectorField, Volume


class FieldOrigin(StrEnum):
    """Where the field of a translation comes from; shown in every label."""

    MODEL = "model"
    IDENTITY = "identity"
    ESTIMATED = "estimated"
    NONE = "none"


@dataclass(frozen=True)
class Part:
    """A volume or a displacement field of a translation.

    Attributes:
        name: attribute of :class:`Translation`, key of the sidecar and of the host's lines.
        file: name in the folder of a result.
        unit: of its values.
        about: what it is, for the sidecar.
        is_field: a :class:`VectorField`, not a :class:`Volume`.
    """

    name: str
    file: str
    unit: str
    about: str
    is_field: bool = False


#: Every part of a translation except its extra maps.
PARTS = (
    Part("source", "source.nii.gz", "native units", "the scan, as it was given"),
    Part("translated", "translated.nii.gz", "native units",
         "the translated scan, native units, on the scan's own grid"),
    Part("jacobian", "jacobian.nii.gz", "1",
         "determinant of the motion's Jacobian: above 1 the anatomy expands, below 1 it shrinks"),
    Part("intensity_change", "intensity_change.nii.gz", "native units",
         "what was added to the source before it was warped, native units, source grid"),
    Part("motion", "motion.nrrd", "mm", "where a source point goes, mm", is_field=True),
    Part(
        "sampling", "sampling.nrrd", "mm",
        "where a translated voxel comes from, mm; a DisplacementFieldTransform, Slicer's from-parent transform",
        is_field=True,
    ),
    Part(
        "velocity", "velocity.nrrd", "mm per unit time",
        "stationary velocity whose exponential is the motion, mm per unit time", is_field=True,
    ),
)  # fmt: skip
VOLUME_PARTS = tuple(part for part in PARTS if not part.is_field)
FIELD_PARTS = tuple(part for part in PARTS if part.is_field)


@dataclass(frozen=True)
class NoiseFloor:
    """What an estimated field reports where nothing moved, and how far off it is where something did.

    Attributes:
        pair: the contrasts or the kind of pair it was measured on; empty if an earlier version did not record it.
        mean_mm, p95_mm: length of the motion in the brain of pairs that did not move.
        error_mm: mean error on pairs that moved by known fields of up to 8 mm; None if not recorded.
    """

    pair: str
    mean_mm: float
    p95_mm: float
    error_mm: float | None = None

    def sentence(self) -> str:
        """For every label and page that shows an estimated figure."""
        measured_on = f" ({self.pair})" if self.pair else ""
        return (
            f"Estimated: where nothing moves, this estimate shows {self.mean_mm:.2g} mm on average and "
            f"{self.p95_mm:.2g} mm in 5 % of the voxels{measured_on}; less than that means nothing."
        )


@dataclass(frozen=True)
class Provenance:
    """How a translation was made; everything needed to make it again from the same scan.

    Attributes:
        attributes: values of the model's attributes, in each one's own unit.
        device: name of the processor it ran on.
        source_sha256: of the scan's voxels and position.
        forced: why the scan does not suit the model, where it was translated all the same.
        target: contrast of the translated scan, if it is another than the source's.
        ensemble: number of answers its maps of uncertainty were made of; 1 where it has none.
        noise_floor: of an estimated field; None for other origins.
        requested_device: as in :class:`TranslationOptions`; empty if an earlier version did not record it.
        force: whether it would have been made of any scan.
        parts: outputs of the network itself other than its image (velocity, displacement, intensity_change); None if an
            earlier version did not record it. Without any, a result has nothing that could be recomposed.
        roles: of the attributes (:class:`AttributeRole`); of those that are missing, the usual one.
        prescription: what a prescribed change was made with, if no package made it: ``ratios`` by part, ``lesions`` in
            mL, ``years``, ``age``, and ``labels_sha256`` of its label map (empty if the structures were found).
        words: the choices that stand for values of attributes, by attribute; earlier versions recorded none.
    """

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
    target: str = ""
    ensemble: int = 1
    noise_floor: NoiseFloor | None = None
    requested_device: str = ""
    force: bool = False
    parts: tuple[str, ...] | None = None
    roles: dict[str, str] = field(default_factory=dict)
    prescription: dict[str, Any] | None = None
    words: dict[str, str] = field(default_factory=dict)

    def role_of(self, name: str) -> AttributeRole:
        """The role of one of the attributes."""
        role = self.roles.get(name)
        return AttributeRole(role) if role in tuple(AttributeRole) else usual_role(name)

    def with_roles(self, *roles: AttributeRole) -> dict[str, float]:
        """The attributes of some roles."""
        return {n: v for n, v in self.attributes.items() if self.role_of(n) in roles}

    def in_words(self, *roles: AttributeRole) -> dict[str, str]:
        """The attributes of some roles with their values in words; of all roles without any."""
        chosen = self.with_roles(*(roles or AttributeRole))
        numbers = {n: self.role_of(n).number(v) for n, v in chosen.items() if isinstance(v, (int, float))}
        return numbers | {n: str(word) for n, word in self.words.items() if n in numbers}

    @property
    def options(self) -> TranslationOptions:
        """The options it was made with."""
        # Earlier versions recorded only the processor.
        named = self.device if self.device in ("cpu", "mps") else "auto"
        return TranslationOptions(
            self.requested_device or named, self.seed, self.precision, self.ensemble, self.force or bool(self.forced)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        sequences = {"forced": list(self.forced), "warnings": list(self.warnings)}
        plain = asdict(self) | sequences | {"parts": None if self.parts is None else list(self.parts)}
        return {name: value for name, value in plain.items() if value or name not in ("prescription", "words")}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Provenance:
        """What :meth:`to_dict` gave, also of earlier versions; keys of later versions are left out.

        Raises:
            InputError: it lacks something, or is no record.
        """
        try:
            known = {f.name: record[f.name] for f in fields_of(cls) if f.name in record}
            known |= {name: tuple(known.get(name, ())) for name in ("forced", "warnings")}
            known["words"] = dict(known.get("words", {}))
            if known.get("parts") is not None:
                known["parts"] = tuple(map(str, known["parts"]))
            attributes = dict(known["attributes"])
            # Before 0.2 the noise floor stood among the attributes.
            early = {name: attributes.pop(name) for name in ("floor_mm", "floor_p95_mm") if name in attributes}
            floor = known.get("noise_floor")
            if floor is not None:
                known["noise_floor"] = NoiseFloor(**floor)
            elif "floor_mm" in early:
                mean = float(early["floor_mm"])
                known["noise_floor"] = NoiseFloor("", mean, float(early.get("floor_p95_mm", mean)))
            return cls(**{**known, "attributes": attributes})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                "The record of how this result was made cannot be read; translate the scan again."
            ) from error


@dataclass(frozen=True, eq=False, repr=False)
class Translation:
    """A translated scan with its decomposition: ``translated(y) = (source + d)(y + u(y))``.

    All volumes and displacement fields lie on the source's own grid, in its native units; the velocity keeps its
    own coarser grid. ``field_origin`` says whether the field is the model's, identity, estimated or none.
    ``extras`` are further maps by name; ``steps`` names those of them that are what the model took the translated scan
    to be after each step of its sampling, in order. ``given_structures`` are volumes of structures that
    came with it.
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
    given_structures: StructureVolumes | None = None

    @property
    def known_structures(self) -> StructureVolumes | None:
        """Volumes of the structures where they were measured already."""
        found: StructureVolumes | None = self.__dict__.get("_structures")
        return found if self.given_structures is None else self.given_structures

    @property
    def structures(self) -> StructureVolumes:
        """Volumes of the structures before and after: those that came with it, or found at first use (1.2 CPU-s)."""
        known = self.known_structures
        if known is None:
            from SITTranslateLib import structure_volumes

            known = structure_volumes(self)
            self.keep_structures(known)
        return known

    def keep_structures(self, volumes: StructureVolumes) -> None:
        """Keep volumes that were measured in this very translation."""
        # No field: a copy with another motion must not take them over.
        self.__dict__["_structures"] = volumes

    def keep_parcellation(self, found: Any) -> None:
        """Keep the source's parcellation and its grid, which are large, until they are taken."""
        self.__dict__["_parcellation"] = found

    def take_parcellation(self) -> Any:
        return self.__dict__.pop("_parcellation", None)

    def __repr__(self) -> str:
        return f"<Translation of '{self.source.name}' {'; '.join(f'{n}: {v}' for n, v in self._figures()[:4])}>"

    def _repr_html_(self) -> str:
        window = notebook.window_of(self.source.array)
        after = notebook.window_of(self.translated.array) if self.provenance.target else window
        affine = self.source.affine
        pictures = [
            notebook.picture_html(self.source.array, affine, "source", window=window),
            notebook.picture_html(self.translated.array, affine, "translated (synthetic)", window=after),
        ]
        if self.motion is not None:
            length = self.motion.magnitude()
            caption = f"motion, 0 to {float(length.max()):.2g} mm"
            pictures.append(notebook.picture_html(length, affine, caption, "length", (0.0, float(length.max()))))
        if self.intensity_change is not None:
            change = self.intensity_change.array
            caption = f"intensity change, {float(change.min()):.3g} to {float(change.max()):.3g}"
            pictures.append(notebook.picture_html(change, affine, caption, "change"))
        return f"<div>{''.join(pictures)}{notebook.table_html(self._figures())}</div>"

    def _figures(self) -> list[tuple[str, str]]:
        """What was made by what, and how much of it."""
        made = self.provenance
        request = ", ".join(f"{name} {value:+g}" for name, value in made.attributes.items())
        rows = [("model", f"{made.package} {made.version}" + (f" ({request})" if request else ""))]
        rows.append(("field", self.field_origin.value))
        if self.motion is not None:
            length = self.motion.magnitude()
            rows.append(("motion", f"{float(length.mean()):.2g} mm on average, up to {float(length.max()):.3g} mm"))
        rows.append(("recomposition error", f"{self.recomposition_error:.3g}"))
        if self.jacobian is not None:
            low, high = float(self.jacobian.array.min()), float(self.jacobian.array.max())
            rows.append(("Jacobian", f"{low:.3g} to {high:.3g}, {int((self.jacobian.array <= 0).sum())} voxels folded"))
        if self.known_structures:
            rows.append(("structures", self.known_structures.headline()))
        rows += [("warning", sentence) for sentence in (*made.forced, *made.warnings)]
        return rows

    def to_sitk(self) -> Any:
        """The translated scan as a ``SimpleITK.Image``."""
        return self.translated.to_sitk()

    def to_nibabel(self) -> Any:
        """The translated scan as a ``nibabel.Nifti1Image``."""
        return self.translated.to_nibabel()

    def to_monai(self) -> Any:
        """The translated scan as a ``monai.data.MetaTensor``."""
        return self.translated.to_monai()

    def to_torchio(self) -> Any:
        """A ``torchio.Subject`` with ``source``, ``translated``, and where they are known ``jacobian`` and
        ``intensity_change``."""
        volumes = {part.name: getattr(self, part.name) for part in VOLUME_PARTS}
        images = {name: one.to_torchio() for name, one in volumes.items() if one is not None}
        import torchio

        return torchio.Subject(images)

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it to a new folder; :func:`SITTranslateLib.save_translation`."""
        from SITTranslateLib import save_translation

        return save_translation(self, folder, overwrite=overwrite)

    def at(self, strength: float, *, spatial: bool = True, intensity: bool = True) -> Volume:
        """The scan with ``strength`` times the change, without running the network.

        0 gives the source, 1 the translation, 0.5 half of both the motion (``exp(0.5 v)``) and the intensity
        change; beyond 1 is an extrapolation. ``spatial`` and ``intensity`` switch the two parts. Half of another
        contrast is no contrast: where the model also moves the anatomy, ``strength`` is that of the motion alone.
        """
        strength = checked_strength(strength)
        name = f"{self.source.name} at {strength:g}"
        if self.intensity_change is None and self.sampling is None:
            # No decomposition to scale: blend towards the translation (marked by field_origin NONE).
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
        moved = fields.warp(changed, sampling)
        if strength == 1 and self.field_origin is FieldOrigin.MODEL:
            # As the translation itself was rounded, so that the two are the same bytes.
            moved = rounded_volume(moved, intensity_step(self.source, changed), where_not=changed)
        return changed.with_array(moved.array, name)

    def sampling_at(self, strength: float) -> VectorField | None:
        """The sampling field for ``strength`` times the change, on the source's grid; None if nothing moves."""
        strength = checked_strength(strength)
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
        strength = checked_strength(strength)
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


def checked_strength(strength: object) -> float:
    """A share of the change that can be asked for; beyond 100 times no field could be integrated.

    Raises:
        InputError: not a number, or out of range.
    """
    return number_of(strength, "The strength", -100.0, 100.0)
