"""Reproduction of a translation from its sidecar, and comparison of the two."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from SITTranslateLib.arguments import check_progress, path_of
from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages import Package, find
from SITTranslateLib.structure_table import StructureVolumes
from SITTranslateLib.translate.integrity import changes
from SITTranslateLib.translate.pipeline import Progress, translate
from SITTranslateLib.translate.prescribing import prescribe_again
from SITTranslateLib.translate.provenance import hash_of, software_versions
from SITTranslateLib.translate.saving import PROVENANCE_FILE, exact_source, fields_left_out, read_translation
from SITTranslateLib.translation import PARTS, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

#: How far two runs on other devices or with other software may lie apart: share of the scan's intensity range, mm.
LARGEST_DIFFERENCE, LARGEST_SHIFT_MM = 1e-3, 0.01
#: The same of the volumes of structures: per cent of the volume before, and mL for the smallest ones. The parcellation
#: computes in half precision, so that a difference in the last digit of a scan moves the accumbens by 1 %.
LARGEST_POINTS, LARGEST_ML = 1.0, 0.05
#: The same of the other parts by their unit, and of further maps as a share of their own range.
LARGEST_PART, LARGEST_EXTRA = {"mm": LARGEST_SHIFT_MM, "mm per unit time": LARGEST_SHIFT_MM, "1": 0.01}, 0.01


@dataclass(frozen=True)
class Reproduction:
    """Two runs side by side.

    Attributes:
        same_source: whether the scan in the folder is the one that was translated, by its hash.
        identical: whether every voxel of the translated scan has the same bytes.
        difference: largest difference of the translated scans, share of the source's intensity range.
        shift_mm: largest difference of the motions; None where there is none.
        changed: what is not as it was then (device, software), in words.
        failures: what of the result did not come out again, or was changed since it was written, a sentence each.
    """

    same_source: bool
    identical: bool
    difference: float
    shift_mm: float | None
    changed: tuple[str, ...]
    failures: tuple[str, ...] = ()

    @property
    def near(self) -> bool:
        """Whether translated scan and motion came out again, within what other devices and versions differ by."""
        return self.difference <= LARGEST_DIFFERENCE and (self.shift_mm or 0.0) <= LARGEST_SHIFT_MM

    @property
    def passed(self) -> bool:
        return self.same_source and self.near and not self.failures

    @property
    def verdict(self) -> str:
        """One line, ``PASS: ...`` or ``FAIL: ...``, by :attr:`passed`."""
        moved = "" if self.shift_mm is None else f", motion to {self.shift_mm:.2g} mm"
        text = f"made again to {100 * self.difference:.2g} % of the intensity range{moved}"
        if self.passed:
            return "PASS: made again, the same bytes" if self.identical else f"PASS: {text}"
        source = "the scan beside it is not the one that was translated (its sha256 is another)"
        failures = [*([] if self.same_source else [source]), *([] if self.near else [text]), *self.failures]
        return "FAIL: " + "; ".join(failures)


def reproduce(
    folder: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    labels: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run the model again on the scan of a result's folder, by its sidecar, and compare.

    Args:
        folder: what ``save_translation`` wrote, the sidecar in it, or that of a batch.
        model: where the package is now; without it, looked for by name.
        labels: the label map that a prescribed change was made with.

    Raises:
        InputError: not the folder of a translation, the model gave nothing this time, or a label map is needed.
        PackageError: the package is not here, or it is another version or has other weights.
    """
    check_progress(progress)
    place = path_of(folder, "A result")
    before = read_translation(place)
    sidecar_file = place if place.is_file() else place / PROVENANCE_FILE
    source = exact_source(before, sidecar_file)
    made = before.provenance
    again = make_again(source, made, model=model, device=device, labels=labels, progress=progress)
    low, high = np.percentile(before.source.array, (0.5, 99.5))
    span = float(high - low) or float(np.ptp(before.source.array)) or 1.0
    # The first was written and read back; a whole-numbered scan went as 16 bit, which keeps it.
    return Reproduction(
        hash_of(source) == made.source_sha256,
        bool(np.array_equal(again.translated.array, before.translated.array)),
        _apart(again.translated, before.translated) / span,
        _shift(before, again),
        _changes(made, again.provenance),
        (*(changes(sidecar_file) or ()), *_not_again(before, again, span, fields_left_out(sidecar_file))),
    )


def make_again(
    scan: Volume,
    made: Provenance,
    *,
    model: str | os.PathLike[str] | None = None,
    device: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Translation:
    """The translation that a record describes, made again of the same scan.

    Args:
        model: where the package is now; without it, looked for by name.
        device: instead of the one that was asked for then.
        labels: the label map that a prescribed change was made with.

    Raises:
        InputError: the model gave nothing this time, or a label map is missing or another.
        PackageError: the package is not here, or it is another version or has other weights.
    """
    if made.prescription is not None:
        return prescribe_again(scan, made, labels)
    package = _same_package(find(made.package if model is None else model), made)
    # What suits a model may be judged otherwise by another version; it was translated then.
    options = made.options.changed(device=device, force=True)
    return translate(scan, package, options=options, progress=progress, attributes=dict(made.attributes))


def _apart(a: Volume | VectorField, b: Volume | VectorField) -> float:
    """Largest difference of two parts; infinite where they do not lie on one grid or hold what is no number."""
    if a.array.shape != b.array.shape:
        return float("inf")
    difference = float(np.abs(a.array - b.array).max())
    return difference if np.isfinite(difference) else float("inf")


def _not_again(before: Translation, again: Translation, span: float, without_fields: bool) -> list[str]:
    """Differing parts of a result other than the translated scan and the motion."""
    failures = []
    if before.field_origin is not again.field_origin:
        failures.append(f"the field is said to be {before.field_origin.value}, and is {again.field_origin.value}")
    for part in (part for part in PARTS if part.name not in ("source", "translated")):
        mine, theirs = getattr(before, part.name), getattr(again, part.name)
        if part.is_field and mine is None and without_fields:
            continue
        if (mine is None) != (theirs is None):
            failures.append(f"'{part.name}' is {'missing' if mine is None else 'not of this model'}")
        elif mine is not None and not _apart(mine, theirs) <= LARGEST_PART.get(part.unit, LARGEST_DIFFERENCE * span):
            failures.append(f"'{part.name}' is another when made again")
    for name in sorted(before.extras.keys() | again.extras.keys()):
        if name not in before.extras or name not in again.extras:
            failures.append(f"the map '{name}' is {'missing' if name in again.extras else 'not of this model'}")
        else:
            largest = LARGEST_EXTRA * (float(np.ptp(again.extras[name].array)) or 1.0)
            if not _apart(before.extras[name], again.extras[name]) <= largest:
                failures.append(f"the map '{name}' is another when made again")
    if before.known_structures is not None and not _alike(before.known_structures, again.structures):
        failures.append("the volumes of structures are others when made again")
    for name in ("attributes", "forced", "warnings", "target"):
        if getattr(before.provenance, name) != getattr(again.provenance, name):
            failures.append(f"the record says other {name} than come out again")
    error = before.recomposition_error
    if not (error >= 0.0 and abs(error - again.recomposition_error) <= LARGEST_DIFFERENCE * span):
        failures.append("the recorded recomposition error is not the one that comes out again")
    return failures


def _alike(before: StructureVolumes, again: StructureVolumes) -> bool:
    """Whether two tables of structures agree within :data:`LARGEST_POINTS` and :data:`LARGEST_ML`."""
    if [(row.name, row.side) for row in before] != [(row.name, row.side) for row in again]:
        return False
    return all(
        abs(a.before_ml - b.before_ml) <= LARGEST_POINTS / 100.0 * b.before_ml + LARGEST_ML
        and abs(a.change_percent - b.change_percent) <= LARGEST_POINTS
        for a, b in zip(before, again, strict=True)
    )


def _same_package(package: Package, made: Provenance) -> Package:
    card = package.card
    if (card.name, card.version) != (made.package, made.version):
        raise PackageError(
            f"It was made by '{made.package}' {made.version}, and the model here is '{card.name}' {card.version}."
        )
    if package.sha256 != made.sha256:
        raise PackageError(f"The weights of '{card.name}' {card.version} here are not those it was made with (sha256).")
    return package


def _shift(before: Translation, again: Translation) -> float | None:
    if before.motion is None or again.motion is None or before.field_origin is not again.field_origin:
        return None
    difference = VectorField(again.motion.array - before.motion.array, before.motion.affine)
    return float(difference.magnitude().max())


def _changes(made: Provenance, again: Provenance) -> tuple[str, ...]:
    changed = [] if made.device == again.device else [f"device {made.device}, now {again.device}"]
    now = software_versions()
    for name, version in made.software.items():
        if now.get(name) != version:
            changed.append(f"{name} {version}, now {now.get(name, 'missing')}")
    return tuple(changed)
