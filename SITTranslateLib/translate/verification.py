"""Is a translation what it says? Everything is computed again from its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.translation import FieldOrigin, Translation

#: Limits of the verdict: share of the scan's intensity range, mm at the 99th percentile, folded voxels.
LARGEST_RECOMPOSITION, LARGEST_RESIDUAL_MM, LARGEST_FOLDED = 0.01, 0.1, 0


@dataclass(frozen=True)
class Verification:
    """What was found; ``failures`` says what is not right, in plain words.

    Attributes:
        recomposition: largest ``|translated - (source + d)(y + u(y))|`` over the scan, native units; None where the
            system gives no parts to recompose from.
        network_error: the same on the network's grid against the network's own output, as recorded.
        intensity_range: of the source, 0.5th to 99.5th percentile, native units.
        folded: voxels where the motion's Jacobian is not above 0.
        inverse_residual_mm: 99th percentile of ``|w(y + u(y)) + u(y)|``; None without a field.
        largest_motion_mm: longest motion vector.
    """

    recomposition: float | None
    network_error: float
    intensity_range: float
    folded: int | None
    inverse_residual_mm: float | None
    largest_motion_mm: float | None
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def verdict(self) -> str:
        """One line, ``PASS: ...`` or ``FAIL: ...``."""
        if not self.passed:
            return "FAIL: " + "; ".join(self.failures)
        share = max(self.recomposition or 0.0, self.network_error) / self.intensity_range
        parts = [f"recomposed to {100 * share:.2g} % of the intensity range"]
        if self.folded is not None:
            parts.append(f"{self.folded} folded voxels")
        if self.inverse_residual_mm is not None:
            parts.append(f"inverse to {self.inverse_residual_mm:.2g} mm (p99)")
        if self.recomposition is None:
            parts.append("no field and no intensity change to trace")
        return "PASS: " + ", ".join(parts)


def verify(translation: Translation) -> Verification:
    """Recompose, look for folds, and send every voxel there and back."""
    source = translation.source
    low, high = np.percentile(source.array[:: max(1, source.shape[0] // 64)], (0.5, 99.5))
    span = float(high - low) or float(np.ptp(source.array)) or 1.0
    failures = []
    if not np.isfinite(translation.translated.array).all():
        failures.append("the translated scan holds voxels that are not numbers")
    if not translation.translated.grid.matches(source.grid):
        failures.append("the translated scan does not lie on the source's grid")
    recomposition = None
    if (translation.sampling is not None or translation.intensity_change is not None) and not failures:
        recomposition = float(np.abs(translation.at(1.0).array - translation.translated.array).max())
        if recomposition > LARGEST_RECOMPOSITION * span:
            failures.append(
                f"source, intensity change and field do not give the translated scan (off by {recomposition:.3g})"
            )
    if not translation.recomposition_error <= LARGEST_RECOMPOSITION * span:
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
        there_and_back = fields.compose(translation.motion, translation.sampling)
        residual = float(np.percentile(there_and_back.magnitude(), 99))
        if not residual <= LARGEST_RESIDUAL_MM:
            failures.append(f"motion and sampling field are not each other's inverse ({residual:.2g} mm at p99)")
        longest = float(translation.motion.magnitude().max())
    elif translation.field_origin in (FieldOrigin.MODEL, FieldOrigin.ESTIMATED):
        failures.append(f"the field is said to be {translation.field_origin.value}, but there is none")
    return Verification(
        recomposition,
        translation.recomposition_error,
        span,
        folded,
        residual,
        longest,
        tuple(failures),
    )
