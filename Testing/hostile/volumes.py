"""Hypothesis strategies for volumes in memory: what a script, a scene or another program may hand over."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hostile import seeds

#: Types of voxel that arrays may have.
TYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint64", "bool",
         "complex64", "str", "object", ">f4", ">i2", "datetime64[s]")  # fmt: skip
_ODD_VALUES = (float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 1e9, -1e9, 9.9e8, 1e-40, 0.0, -0.0, 1e6)
_AXES = st.sampled_from([0, 1, 2, 2, 3, 4, 5, 9, 14, 23])


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    """An array of any shape and type, from nothing to a head with single voxels gone wrong."""
    pattern = draw(st.sampled_from(["head", "head", "head", "noise", "constant", "labels", "one voxel", "ramp"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if pattern == "head":
        array = seeds.scan().array.astype(np.float64) * draw(
            st.sampled_from([1.0, 1.0, 1.0, 1e-30, 1e-6, 1e-3, 0.3, 1e5, -1.0])
        )
        array = array + draw(st.sampled_from([0.0, 0.0, 0.0, -1024.0, 1e4, 1e8]))
        if draw(st.booleans()):
            array = array[tuple(slice(0, draw(st.integers(1, n))) for n in array.shape)]
    else:
        shape = tuple(draw(st.lists(_AXES, min_size=1, max_size=5)) if draw(st.integers(0, 3)) == 0
                      else [draw(_AXES) for _ in range(3)])  # fmt: skip
        array = {
            "noise": lambda: rng.normal(100.0, 30.0, shape),
            "constant": lambda: np.full(shape, rng.choice([0.0, 7.0, -5e-324])),
            "labels": lambda: (np.indices(shape).sum(axis=0) // 3).astype(np.float64),
            "one voxel": lambda: np.zeros(shape),
            "ramp": lambda: np.indices(shape).sum(axis=0) * 1e-3,
        }[pattern]()
        if pattern == "one voxel" and array.size:
            array.flat[int(rng.integers(array.size))] = 1.0
    if array.size and draw(st.integers(0, 2)) == 0:
        for value in draw(st.lists(st.sampled_from(_ODD_VALUES), min_size=1, max_size=4)):
            array.flat[int(rng.integers(array.size))] = value
    return _typed(array, draw(st.sampled_from((*TYPES, *["float32"] * 20))), draw(st.sampled_from("CFR")))


def _typed(array: NDArray[np.float64], kind: str, order: str) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        if kind == "datetime64[s]":
            typed: NDArray[Any] = np.zeros(array.shape, dtype=kind)
        else:
            typed = array.astype(kind)
    if order == "F":
        return np.asfortranarray(typed)
    # Reversed: negative strides.
    return typed[tuple(slice(None, None, -1) for _ in range(typed.ndim))] if order == "R" else typed


@st.composite
def affines(draw: st.DrawFn) -> Any:
    """A voxel-to-space matrix: mostly sound, else left-handed, sheared, singular, absurd, or no matrix."""
    affine: Any = np.array(seeds.scan().affine)
    kind = draw(st.sampled_from(["sound"] * 10 + ["spacing", "spacing", "left", "shear", "singular", "number",
                                                 "last row", "far", "shape", "swapped", "text"]))  # fmt: skip
    axis = draw(st.integers(0, 2))
    if kind == "spacing":
        affine[:3, axis] *= draw(st.sampled_from([0.0, 1e-30, 1e-3, 0.02, 0.2, 3.0, 30.0, 1e4, 1e300, -0.5]))
    elif kind == "left":
        affine[:3, axis] *= -1.0
    elif kind == "shear":
        affine[:3, axis] += draw(st.sampled_from([1e-6, 1e-4, 1e-2, 0.5])) * affine[:3, (axis + 1) % 3]
    elif kind == "singular":
        affine[:3, axis] = affine[:3, (axis + 1) % 3] * draw(st.sampled_from([0.0, 1.0, -2.0]))
    elif kind == "number":
        affine[draw(st.integers(0, 3)), draw(st.integers(0, 3))] = draw(st.sampled_from(_ODD_VALUES))
    elif kind == "last row":
        affine[3] = draw(st.sampled_from([(0, 0, 0, 0), (0, 0, 0, 2), (0, 1e-3, 0, 1)]))
    elif kind == "far":
        affine[:3, 3] += draw(st.sampled_from([1e3, 9e5, 1e7, -1e12]))
    elif kind == "shape":
        affine = draw(st.sampled_from([affine[:3], affine[:3, :3], affine.ravel(), np.eye(5), np.zeros(0), 3.0, None]))
    elif kind == "swapped":
        affine[:3, :3] = affine[:3, [2, 0, 1]]
    elif kind == "text":
        affine = [["a"] * 4] * 4
    return affine
