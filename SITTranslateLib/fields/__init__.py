"""The field engine: exponential, inverse, composition, warp, Jacobian; in mm, RAS, on any affine.

``tensors`` holds the differentiable, batched form that networks train through; ``operations`` the form on
:class:`~SITTranslateLib.volume.VectorField` that everything else uses, by compiled kernels (``compiled``) where numba
is installed. Importing this package loads neither torch nor numba.
"""

from __future__ import annotations

from SITTranslateLib.fields.labels import carried_sums, sums_by_label
from SITTranslateLib.fields.operations import (
    band_limit,
    compose,
    exponential,
    invert,
    jacobian,
    resample_field,
    resample_volume,
    sample_field,
    sample_field_with_derivative,
    soft_bound,
    warp,
)
from SITTranslateLib.fields.shares import corner_shares
from SITTranslateLib.fields.threads import set_threads, thread_count

__all__ = [
    "band_limit",
    "carried_sums",
    "compose",
    "corner_shares",
    "exponential",
    "invert",
    "jacobian",
    "resample_field",
    "resample_volume",
    "sample_field",
    "sample_field_with_derivative",
    "set_threads",
    "soft_bound",
    "sums_by_label",
    "thread_count",
    "warp",
]
