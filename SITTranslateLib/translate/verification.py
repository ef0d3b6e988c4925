"""Verification of a translation: recomputed from its parts, and compared with their hashes."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.arguments import instance_of
from SITTranslateLib.traceability.verdict import limit
from SITTranslateLib.translate.integrity import changes
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translate.saving import PROVENANCE_FILE, exact_source, fields_left_out, read_translation
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import VectorField, lengths

#: Limits of the verdict, those of ``traceability.verdict``: share of the scan's intensity range, mm at the 99th
#: percentile, folded voxels.
LARGEST_RECOMPOSITION = limit("recomposition_percent") / 100.0
LARGEST_RESIDUAL_MM = limit("inverse_residual_mm")
LARGEST_FOLDED = limit("folded_percent")
#: How far a part may lie from what the velocity or the motion gives again: rounding of files and of the last digits.
SAME_MM, SAME_JACOBIAN = 0.01, 0.01
#: Without a velocity, the Jacobian is compared with that of the motion on the scan's grid, which is another derivative.
LIKE_JACOBIAN = 0.1


class Status(StrEnum):
    """What a check concludes; ``NO_FIGURE`` where nothing could have gone wrong, so that nothing was found."""

    PASS = "PASS"
    FAIL = "FAIL"
    NO_FIGURE = "NO FIGURE"


@dataclass(frozen=True)
class Verification:
    """Findings; ``failures`` lists the differences in sentences.

    Attributes:
        recomposition: largest ``|translated - (source + d)(y + u(y))|`` over the scan, native units; None where the
            system gives no parts to recompose from.
        network_error: the same on the network's grid against the network's own output, as recorded.
        intensity_range: of the source, 0.5th to 99.5th percentile, native units.
        folded: voxels where the motion's Jacobian is not above 0.
        inverse_residual_mm: 99th percentile of ``|w(y + u(y)) + u(y)|``; None without a field.
        largest_motion_mm: longest motion vector.
        failures: what is not as it should be, a sentence each.
        hashes: whether the files were compared with hashes; None for a translation that was not read from files.
    """

    recomposition: float | None
    network_error: float
    intensity_range: float
    folded: int | None
    inverse_residual_mm: float | None
    largest_motion_mm: float | None
    failures: tuple[str, ...]
    hashes: bool | None = None

    @property
    def status(self) -> Status:
        if self.failures:
            return Status.FAIL
        return Status.NO_FIGURE if self.recomposition is None else Status.PASS

    @property
    def passed(self) -> bool:
        """Whether there was something to check and all of it is in order."""
        return self.status is Status.PASS

    @property
    def verdict(self) -> str:
        """One line: ``PASS: ...``, ``FAIL: ...`` or ``NO FIGURE: ...``."""
        if self.status is Status.FAIL:
            return "FAIL: " + "; ".join(self.failures)
        parts = []
        if self.recomposition is None:
            parts.append("nothing was kept that the translated scan could be recomposed from")
        else:
            share = max(self.recomposition, self.network_error) / self.intensity_range
            parts.append(f"recomposed to {100 * share:.2g} % of the intensity range")
        if self.folded is not None:
            parts.append(f"{self.folded} folded voxels")
        if self.inverse_residual_mm is not None:
            parts.append(f"inverse to {self.inverse_residual_mm:.2g} mm (p99)")
        if self.hashes is not None:
            parts.append(
                "every file as it was written" if self.hashes else "no hashes of its files: recomposition only"
            )
        return f"{self.status.value}: " + ", ".join(parts)


def verify_result(place: str | os.PathLike[str]) -> tuple[Translation, Verification]:
    """Check a result: its folder, or the sidecar of a batch. The translation that was read, and what was found.

    Raises:
        InputError: not a result, or a file of it cannot be read.
    """
    location = Path(place)
    sidecar_file = location if location.is_file() else location / PROVENANCE_FILE
    changed = changes(sidecar_file)
    translation = read_translation(place)
    whole = replace(translation, source=exact_source(translation, sidecar_file))
    found = verify(whole, without_fields=fields_left_out(sidecar_file))
    failures = list(changed or ())
    if whole.provenance.source_sha256 and hash_of(whole.source) != whole.provenance.source_sha256:
        failures.append("the source is not the scan that was translated (its sha256 is another)")
    return translation, replace(found, failures=(*failures, *found.failures), hashes=changed is not None)


def verify(translation: Translation, *, without_fields: bool = False) -> Verification:
    """Recompose, look for folds, and send every voxel there and back.

    Args:
        without_fields: the result was written without its fields on purpose, so that nothing can be recomposed.

    Raises:
        InputError: not a translation.
    """
    source = instance_of(translation, Translation, "What is verified").source
    low, high = np.percentile(source.array[:: max(1, source.shape[0] // 64)], (0.5, 99.5))
    span = float(high - low) or float(np.ptp(source.array)) or 1.0
    failures = []
    fits = True
    if not np.isfinite(translation.translated.array).all():
        failures.append("the translated scan holds voxels that are not numbers")
        fits = False
    if not translation.translated.grid.matches(source.grid):
        failures.append("the translated scan does not lie on the source's grid")
        fits = False
    recomposition = None
    if fits and can_be_recomposed(translation):
        recomposition = float(np.abs(translation.at(1.0).array - translation.translated.array).max())
        if not recomposition <= LARGEST_RECOMPOSITION * span:
            failures.append(
                f"source, intensity change and field do not give the translated scan (off by {recomposition:.3g})"
            )
    if not translation.recomposition_error >= 0.0:
        failures.append(f"the recorded recomposition error is no error ({translation.recomposition_error:.3g})")
    elif translation.recomposition_error > LARGEST_RECOMPOSITION * span:
        failures.append(
            f"the parts do not give the network's output (off by {translation.recomposition_error:.3g}, "
            f"{100 * translation.recomposition_error / span:.2g} % of the intensity range)"
        )
    folded = residual = longest = None
    if translation.motion is not None and translation.sampling is not None:
        folded = int(np.count_nonzero(fields.jacobian(translation.motion).array <= 0))
        if translation.jacobian is not None:
            folded = max(folded, int(np.count_nonzero(translation.jacobian.array <= 0)))
        if folded > LARGEST_FOLDED:
            failures.append(f"the motion folds the anatomy at {folded} voxels")
        residual = float(np.percentile(fields.compose(translation.motion, translation.sampling).magnitude(), 99))
        if not residual <= LARGEST_RESIDUAL_MM:
            failures.append(f"motion and sampling field are not each other's inverse ({residual:.2g} mm at p99)")
        longest = float(translation.motion.magnitude().max())
    return Verification(
        recomposition,
        translation.recomposition_error,
        span,
        folded,
        residual,
        longest,
        (*failures, *([] if without_fields else _of_the_field(translation))),
    )


def can_be_recomposed(translation: Translation) -> bool:
    """Whether its parts contain more than its two images: a field, or an intensity change that the network itself gave.

    Where the change is but the difference of the two images, source and change give the translated scan whatever it is.
    The parts of a scan that was only registered to another do not give that one at all.
    """
    if translation.field_origin is FieldOrigin.MODEL:
        return translation.sampling is not None
    given = translation.provenance.parts or ()
    return (
        translation.field_origin is FieldOrigin.IDENTITY
        and translation.intensity_change is not None
        and "intensity_change" in given
        # The target's own contrast is kept, and the change made of it.
        and not translation.provenance.target
    )


def _of_the_field(translation: Translation) -> list[str]:
    """What is not right with the parts that describe the motion: they follow from one another."""
    failures: list[str] = []
    moving = translation.motion is not None or translation.sampling is not None or translation.velocity is not None
    if translation.field_origin in (FieldOrigin.MODEL, FieldOrigin.ESTIMATED):
        missing = [n for n in ("motion", "sampling", "jacobian") if getattr(translation, n) is None]
        if len(missing) == 3:
            return [f"the field is said to be {translation.field_origin.value}, but there is none"]
        if missing:
            return [f"the field is said to be {translation.field_origin.value}, but '{missing[0]}' is missing"]
    elif moving or translation.jacobian is not None:
        return [f"the field is said to be {translation.field_origin.value}, but there is one"]
    motion, jacobian, velocity = translation.motion, translation.jacobian, translation.velocity
    if motion is None or jacobian is None:
        return failures
    if velocity is not None and np.isfinite(velocity.array).all():
        # As it was made: on the velocity's own grid, where its derivative is defined.
        coarse = fields.exponential(velocity)
        again = fields.resample_field(coarse, motion.grid)
        if not _farthest(again, motion) <= SAME_MM:
            failures.append("the velocity does not give the motion")
        elif not _differs_by(on_grid(fields.jacobian(coarse), jacobian.grid, 1.0).array, jacobian.array) <= (
            SAME_JACOBIAN
        ):
            failures.append("the Jacobian map is not that of the motion")
    elif not _differs_by(fields.jacobian(motion).array, jacobian.array, 99.0) <= LIKE_JACOBIAN:
        failures.append("the Jacobian map is not that of the motion")
    return failures


def _farthest(a: VectorField, b: VectorField) -> float:
    # A few layers at a time: the difference of two whole fields would be written to fresh memory.
    return max(float(lengths(a.array[k : k + 4] - b.array[k : k + 4]).max()) for k in range(0, len(a.array), 4))


def _differs_by(a: np.ndarray, b: np.ndarray, percentile: float = 100.0) -> float:
    if a.shape != b.shape:
        return float("inf")
    off = np.abs(a - b)
    return float(off.max() if percentile == 100.0 else np.percentile(off, percentile))
