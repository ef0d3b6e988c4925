"""Notebook display of a volume or a translation: pictures of slices and a table, as HTML without a script.

Plain functions on arrays. The pictures need pillow; without it there is the table alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: Grey for scans, black to amber for lengths, blue over white to red for changes.
Kind = Literal["scan", "length", "change"]
#: Pixels of the longer side of a picture.
SIZE = 180
_AMBER, _RED, _BLUE = np.array([255.0, 190.0, 60.0]), np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])


def middle_slice(array: NDArray[np.floating], affine: NDArray[np.float64]) -> tuple[NDArray[np.floating], float]:
    """The slice through the middle that is closest to axial, seen from the feet, and its height by its width in mm.

    Args:
        array: ``(K, J, I)``.
        affine: to RAS mm.

    Returns:
        Rows from anterior to posterior, columns from right to left of the person, as radiologists look at it.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # Which index axis runs along which axis of the world; each is taken once, the surest first.
    order, strength = [0, 0, 0], np.abs(axes)
    for _ in range(3):
        world, index = np.unravel_index(int(strength.argmax()), (3, 3))
        order[world] = int(index)
        strength[world, :] = strength[:, index] = -1.0
    volume = np.transpose(array, [2 - order[2], 2 - order[1], 2 - order[0]])
    picture = volume[volume.shape[0] // 2]
    if axes[1, order[1]] > 0:
        picture = picture[::-1]
    if axes[0, order[0]] > 0:
        picture = picture[:, ::-1]
    height, width = picture.shape[0] * spacing[order[1]], picture.shape[1] * spacing[order[0]]
    return picture, float(height / width)


def picture_html(
    array: NDArray[np.floating],
    affine: NDArray[np.float64],
    caption: str,
    kind: Kind = "scan",
    window: tuple[float, float] | None = None,
) -> str:
    """A figure with the middle slice and its caption; empty without pillow.

    Args:
        array: ``(K, J, I)``.
        affine: to RAS mm.
        caption: below the picture, and what screen readers say.
        kind: how values become colours.
        window: values of black and white; by default the middle 99 % of the slice.
    """
    if find_spec("PIL") is None:
        return ""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(_picture(array, affine, kind, window)).save(stream, "png", optimize=True)
    text = base64.b64encode(stream.getvalue()).decode()
    return (
        '<figure style="display:inline-block;margin:0 8px 8px 0;text-align:center">'
        f'<img alt="{escape(caption, quote=True)}" src="data:image/png;base64,{text}">'
        f'<figcaption style="font-size:small">{escape(caption)}</figcaption></figure>'
    )


def strip_png(arrays: Sequence[NDArray[np.floating]], affine: NDArray[np.float64], kinds: Sequence[Kind]) -> bytes:
    """The middle slices of several maps of one scan side by side as a PNG; scans share the window of the first.

    Empty without pillow.
    """
    if find_spec("PIL") is None:
        return b""
    from PIL import Image

    window = window_of(arrays[0])
    pictures = [
        _picture(array, affine, kind, window if kind == "scan" else None)
        for array, kind in zip(arrays, kinds, strict=True)
    ]
    stream = io.BytesIO()
    Image.fromarray(np.concatenate(pictures, axis=1)).save(stream, "png", optimize=True)
    return stream.getvalue()


def _picture(
    array: NDArray[np.floating], affine: NDArray[np.float64], kind: Kind, window: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """The middle slice in colours, ``(rows, columns, 3)``, with square pixels."""
    from PIL import Image

    values, aspect = middle_slice(array, affine)
    colours = _coloured(np.nan_to_num(np.asarray(values, dtype=np.float64)), kind, window)
    width = SIZE if aspect <= 1 else round(SIZE / aspect)
    size = (max(width, 1), max(round(width * aspect), 1))
    return np.asarray(Image.fromarray(colours).resize(size, Image.Resampling.BILINEAR))


def window_of(array: NDArray[np.floating]) -> tuple[float, float]:
    """The middle 99 % of the values, for pictures that are to be compared."""
    low, high = np.percentile(array[::2, ::2, ::2], (0.5, 99.5))
    return float(low), float(high)


def table_html(rows: Sequence[tuple[str, str]]) -> str:
    """Names and figures."""
    lines = "".join(f"<tr><th style='text-align:left'>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{lines}</table>"


def _coloured(values: NDArray[np.float64], kind: Kind, window: tuple[float, float] | None) -> NDArray[np.uint8]:
    if kind == "change":
        largest = max(float(np.abs(values).max()), 1e-12) if window is None else max(map(abs, window))
        share = np.clip(values / largest, -1.0, 1.0)[..., np.newaxis]
        far = np.where(share > 0, _RED, _BLUE)
        return np.asarray(255.0 + np.abs(share) * (far - 255.0)).astype(np.uint8)
    if window is None:
        window = (0.0, float(values.max())) if kind == "length" else window_of(values[np.newaxis])
    low, high = window
    share = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)[..., np.newaxis]
    return np.asarray(share * (_AMBER if kind == "length" else 255.0) * np.ones(3)).astype(np.uint8)
