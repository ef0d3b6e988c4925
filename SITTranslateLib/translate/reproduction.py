"""Making a translation again from what is written beside it, and comparing the two."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages import Package, find
from SITTranslateLib.translate.pipeline import Progress, hash_of, software_versions, translate
from SITTranslateLib.translate.saving import PROVENANCE_FILE, exact_source, read_translation
from SITTranslateLib.translation import Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

#: How far two runs on other devices or with other software may lie apart: share of the scan's intensity range, mm.
LARGEST_DIFFERENCE, LARGEST_SHIFT_MM = 1e-3, 0.01


@dataclass(frozen=True)
class Reproduction:
    """Two runs side by side.

    Attributes:
        same_source: whether the scan in the folder is the one that was translated, by its hash.
        identical: whether every voxel of the translated scan has the same bytes.
        difference: largest difference of the translated scans, share of the source's intensity range.
        shift_mm: largest difference of the motions; None where there is none.
        changed: what is not as it was then (device, software), in words.
    """

    same_source: bool
    identical: bool
    difference: float
    shift_mm: float | None
    changed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        near = self.difference <= LARGEST_DIFFERENCE and (self.shift_mm or 0.0) <= LARGEST_SHIFT_MM
        return self.same_source and near

    @property
    def verdict(self) -> str:
        """One line, ``PASS: ...`` or ``FAIL: ...``."""
        if not self.same_source:
            return "FAIL: the scan beside it is not the one that was translated (its sha256 is another)"
        if self.identical:
            return "PASS: made again, the same bytes"
        moved = "" if self.shift_mm is None else f", motion to {self.shift_mm:.2g} mm"
        text = f"made again to {100 * self.difference:.2g} % of the intensity range{moved}"
        return f"PASS: {text}" if self.passed else f"FAIL: {text}"


def reproduce(
    folder: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Reproduction:
    """Run the model again on the scan of a result's folder, as its sidecar says, and compare.

    Args:
        folder: what ``save_translation`` wrote, the sidecar in it, or that of a batch.
        model: where the package is now; without it, looked for by name.

    Raises:
        InputError: not the folder of a translation, or the model gave nothing this time.
        PackageError: the package is not here, or it is another version or has other weights.
    """
    place = Path(folder)
    before = read_translation(place)
    source = exact_source(before, place if place.is_file() else place / PROVENANCE_FILE)
    made = before.provenance
    again = make_again(source, made, model=model, device=device, progress=progress)
    low, high = np.percentile(before.source.array, (0.5, 99.5))
    span = float(high - low) or float(np.ptp(before.source.array))
    # The first was written and read back; a whole-numbered scan went as 16 bit, which keeps it.
    off = float(np.abs(again.translated.array - before.translated.array).max())
    return Reproduction(
        hash_of(source) == made.source_sha256,
        bool(np.array_equal(again.translated.array, before.translated.array)),
        off / span,
        _shift(before, again),
        _changes(made, again.provenance),
    )


def make_again(
    scan: Volume,
    made: Provenance,
    *,
    model: str | os.PathLike[str] | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Translation:
    """The translation that a record describes, made again of the same scan.

    Args:
        model: where the package is now; without it, looked for by name.
        device: instead of the one that was asked for then.

    Raises:
        InputError: the model gave nothing this time.
        PackageError: the package is not here, or it is another version or has other weights.
    """
    package = _same_package(find(made.package if model is None else model), made)
    # What suits a model may be judged otherwise by another version; it was translated then.
    options = made.options.changed(device=device, force=True)
    return translate(scan, package, options=options, progress=progress, attributes=dict(made.attributes))


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
