"""The field engine: exponential, inverse, composition, warp, Jacobian; in mm, RAS, on any affine.

``tensors`` holds the differentiable, batched form that networks train through; ``operations`` the form on
:class:`~SITTranslateLib.volume.VectorField` that everything else uses.
"""

from __future__ import annotations

from SITTranslateLib.fields.operations import (
    band_limit,
    compose,
    exponential,
    invert,
    jacobian,
    resample_field,
    resample_volume,
    sample_field,
    soft_bound,
    warp,
)

__all__ = [
    "band_limit",
    "compose",
    "exponential",
    "invert",
    "jacobian",
    "resample_field",
    "resample_volume",
    "sample_field",
    "soft_bound",
    "warp",
]
