"""Display of results: window and level, symmetric ranges, legends, glyphs, grid and contours scaled to the motion.

Figures are robust (99th percentile inside the head), because one outlier voxel would flatten a whole map.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene.colours import HOW_FAR, colour_table, transfer_function
from SITTranslateLib.steps import finish

LEGEND_TEXT = (0.92, 0.92, 0.92)
#: Below this a motion is not worth an arrow (mm).
SMALLEST_MOTION = 0.05
#: A little below air in CT, to which scanners pad; no MR image reaches it.
AIR_HU = -1024.0
#: Percentiles are taken of no more voxels than this.
ENOUGH_VOXELS = 1_500_000
#: Voxels of one step of work on a whole scan, a few milliseconds.
STEP_VOXELS = 1_000_000


def sampled(array: NDArray[Any]) -> NDArray[Any]:
    """Every n-th voxel along the first three axes, so that percentiles take a few milliseconds of a large scan."""
    step = sampling_step(array.shape)
    return array[::step, ::step, ::step]


def sampling_step(shape: Sequence[int]) -> int:
    """The n of :func:`sampled`; 1 for a scan that is small enough."""
    return max(1, math.ceil((math.prod(shape[:3]) / ENOUGH_VOXELS) ** (1.0 / 3.0)))


def background_level(array: NDArray[np.floating]) -> float:
    """Grey level of air: not the darkest voxel, for resampling undershoots and CT is padded below air."""
    return max(float(np.percentile(sampled(array), 1)), AIR_HU)


def head_level(array: NDArray[np.floating]) -> float:
    """Grey level between air and head: a tenth of the way from air to the 98th percentile."""
    low, high = background_level(array), float(np.percentile(sampled(array), 98))
    return low + 0.1 * (high - low)


def head_mask(array: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Voxels that are not background."""
    return np.asarray(array > head_level(array))


def head_hull(array: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The head with its dark insides: voxels that lie between head voxels along all three axes."""
    return finish(head_hull_steps(array))


def head_hull_steps(array: NDArray[np.floating]) -> Generator[None, None, NDArray[np.bool_]]:
    """:func:`head_hull` in steps of some slices."""
    level = head_level(array)
    count = max(1, STEP_VOXELS // max(array[:1].size, 1))
    parts = [slice(first, first + count) for first in range(0, len(array), count)]
    mask, hull = np.empty(array.shape, dtype=bool), np.ones(array.shape, dtype=bool)
    yield
    for part in parts:
        np.greater(array[part], level, out=mask[part])
        for axis in (1, 2):
            hull[part] &= _between(mask[part], axis)
        yield
    # Across the slices, from both ends.
    for ordered in (range(len(array)), range(len(array))[::-1]):
        passed = np.zeros(array.shape[1:], dtype=bool)
        for done, k in enumerate(ordered, 1):
            passed |= mask[k]
            hull[k] &= passed
            if done % (4 * count) == 0:
                yield
    return hull


def _between(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Voxels from the first to the last of a mask along an axis."""
    first = np.expand_dims(mask.argmax(axis=axis), axis)
    last = np.expand_dims(mask.shape[axis] - 1 - np.flip(mask, axis).argmax(axis=axis), axis)
    # A line without any has no last one.
    last[~np.expand_dims(mask.any(axis=axis), axis)] = -1
    at = np.arange(mask.shape[axis]).reshape([-1 if a == axis else 1 for a in range(mask.ndim)])
    return np.asarray((at >= first) & (at <= last))


def fading(mask: NDArray[np.bool_], width: int = 2) -> Generator[None, None, NDArray[np.float32]]:
    """1 in the mask and ``width`` voxels around it, falling to 0 over twice as many more; in steps."""
    near = mask
    for _ in range(width):
        near = yield from _neighbours(near, np.maximum)
    weight = near.astype(np.float32)
    yield
    for _ in range(width):
        weight = yield from _neighbours(weight, np.add)
        weight /= np.float32(3.0)
    return weight


def _neighbours(values: NDArray[Any], join: Any) -> Generator[None, None, NDArray[Any]]:
    """Each voxel joined with its two neighbours, along one axis after the other; sums are divided by 3 each time."""
    for axis in range(3):
        # Views that begin with the axis; the first and last plane have themselves as their outer neighbour.
        before = np.moveaxis(values, axis, 0)
        values = values.copy()
        after = np.moveaxis(values, axis, 0)
        join(after[1:], before[:-1], out=after[1:])
        join(after[:1], before[:1], out=after[:1])
        join(after[:-1], before[1:], out=after[:-1])
        join(after[-1:], before[-1:], out=after[-1:])
        if join is np.add and axis < 2:
            values /= np.float32(3.0)
        yield
    return values


def robust_peak(array: NDArray[np.floating], mask: NDArray[np.bool_], percentile: float = 99.0) -> float:
    """Percentile of ``|array|`` inside the mask, rounded up to two significant digits; 0 where nothing changed."""
    values = np.abs(array[mask]) if mask.any() else np.abs(array).ravel()
    peak = float(np.percentile(values, percentile))
    if peak <= 0:
        peak = float(values.max())
    return round_up(peak)


def round_up(value: float) -> float:
    """The next number with two significant digits: legends end on a number that can be read."""
    if value <= 0 or not math.isfinite(value):
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / step - 1e-9) * step, 12)


def decimals(bound: float) -> int:
    """Decimals that tell the quarters of a range apart."""
    return max(0, 1 - math.floor(math.log10(bound))) if 0 < bound < 20 else 0


def show_scan(node: Any, low: float, high: float) -> None:
    """Grey levels from ``low`` to ``high``, fixed, so that source and translation can be compared."""
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(0)
    display.SetWindowLevelMinMax(low, high)
    display.SetInterpolate(1)


def grey_range(array: NDArray[np.floating]) -> tuple[float, float]:
    """Grey levels that show a scan well: from the background to the 99.7th percentile of the head."""
    some = sampled(array)
    mask = head_mask(some)
    values = some[mask] if mask.any() else some.ravel()
    low, high = background_level(array), 1.06 * float(np.percentile(values, 99.7))
    return (low, high) if high > low else (low, low + 1.0)


def extremes(values: NDArray[np.floating], known: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
    """The lowest and highest value, of those that are known already too; NaN counts for none."""
    low = float(np.fmin.reduce(values, axis=None, initial=known[0]))
    return low, float(np.fmax.reduce(values, axis=None, initial=known[1]))


def reach(extremes: tuple[float, float], bound: float, places: int) -> str:
    """Lines for a legend that clips: from where to where the values go; nothing where the colours show all of them."""
    low, high = extremes
    lines = [f"\ndown to {low:.{places}f}"] if low < -1.02 * bound else []
    lines += [f"\nup to {high:+.{places}f}"] if high > 1.02 * bound else []
    return "".join(lines)


def within(values: NDArray[np.floating], head: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map that has no values outside the head (NaN): what :func:`show_map` shows is transparent there."""
    return np.where(head, values, np.float32(np.nan)).astype(np.float32, copy=False)


def show_map(scene: Any, node: Any, colours: str, low: float, high: float) -> None:
    """A map in our colours between ``low`` and ``high``; transparent where it has no value."""
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colour_table(scene, colours).GetID())
    display.SetAutoWindowLevel(0)
    display.SetWindowLevelMinMax(low, high)
    display.SetInterpolate(1)
    # Every number lies between these bounds, and NaN between none: the threshold leaves it out.
    display.SetThreshold(-1e30, 1e30)
    display.SetApplyThreshold(1)


def add_legend(node: Any, title: str, label_format: str, *, labels: int = 5) -> Any:
    """A colour legend at the right edge, shown in every view that shows the volume."""
    import slicer

    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    style_legend(legend, title, label_format, labels=labels)
    return legend


def style_legend(legend: Any, title: str, label_format: str, *, labels: int = 5) -> None:
    """Our legends look alike, whatever they belong to."""
    legend.SetTitleText(title)
    legend.SetLabelFormat(label_format)
    legend.SetNumberOfLabels(labels)
    legend.SetMaxNumberOfColors(256)
    # Inside the edge also in a narrow view, above the letter of the side, and with room for five lines of title.
    legend.SetPosition(0.96, 0.88)
    # Slicer fits the text to the width of the legend: this one gives a size that can be read in any view.
    legend.SetSize(0.065, 0.40)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetFontSize(18)
        text.SetColor(*LEGEND_TEXT)
        text.BoldOff()
        text.ItalicOff()
        text.ShadowOn()


def glyph_spacing(extent_mm: NDArray[np.floating]) -> float:
    """About 26 arrows across the longest side of the head, in mm."""
    return float(np.clip(np.max(extent_mm) / 26.0, 2.0, 12.0))


def style_glyphs(node: Any, region: Any, peak_mm: float, spacing_mm: float, view_ids: Sequence[str]) -> Any:
    """Arrows along the motion; an arrow of ``peak_mm`` is drawn 1.6 spacings long, coloured by its length in mm."""
    return _style_arrows(node, "glyphs", region, peak_mm, spacing_mm, view_ids)


def _style_arrows(node: Any, kind: str, region: Any, peak_mm: float, spacing_mm: float, view_ids: Sequence[str]) -> Any:
    display = _display_node(node, kind, region, peak_mm, view_ids)
    display.SetVisualizationMode(display.VIS_MODE_GLYPH)
    display.SetGlyphType(display.GLYPH_TYPE_ARROW)
    display.SetGlyphSpacingMm(spacing_mm)
    display.SetGlyphScalePercent(100.0 * 1.6 * spacing_mm / max(peak_mm, SMALLEST_MOTION))
    display.SetGlyphDisplayRangeMinMm(max(0.12 * peak_mm, SMALLEST_MOTION))
    display.SetGlyphDisplayRangeMaxMm(max(50.0 * peak_mm, 1.0))
    display.SetGlyphDiameterMm(0.45 * spacing_mm)
    display.SetGlyphTipLengthPercent(35)
    display.SetGlyphShaftDiameterPercent(32)
    display.SetGlyphResolution(10)
    display.SetSliceIntersectionThickness(2)
    return display


def style_arrows(node: Any, region: Any, peak_mm: float, spacing_mm: float, view_ids: Sequence[str]) -> Any:
    """The larger half of the motion as solid arrows for 3D views, twice as far apart as in slices."""
    display = _style_arrows(node, "arrows", region, peak_mm, 2.0 * spacing_mm, view_ids)
    display.SetGlyphDisplayRangeMinMm(max(0.45 * peak_mm, SMALLEST_MOTION))
    display.SetVisibility2D(0)
    return display


def style_grid(node: Any, region: Any, peak_mm: float, spacing_mm: float, view_ids: Sequence[str]) -> Any:
    """A grid carried along by the motion, lines coloured by its length in mm, true to scale."""
    display = _display_node(node, "grid", region, peak_mm, view_ids)
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetGridScalePercent(100.0)
    display.SetGridSpacingMm(spacing_mm)
    display.SetGridResolutionMm(max(spacing_mm / 5.0, 1.0))
    display.SetGridLineDiameterMm(0.3)
    display.SetGridShowNonWarped(False)
    display.SetSliceIntersectionThickness(1)
    return display


def style_contours(node: Any, region: Any, peak_mm: float, view_ids: Sequence[str]) -> Any:
    """Lines of equal motion at a quarter, half and three quarters of the peak."""
    display = _display_node(node, "contours", region, peak_mm, view_ids)
    display.SetVisualizationMode(display.VIS_MODE_CONTOUR)
    display.SetContourLevelsMmFromString(" ".join(f"{peak_mm * part:.3g}" for part in (0.25, 0.5, 0.75)))
    display.SetContourResolutionMm(3.0)
    display.SetContourOpacity(0.35)
    display.SetSliceIntersectionThickness(2)
    return display


def _display_node(node: Any, kind: str, region: Any, peak_mm: float, view_ids: Sequence[str]) -> Any:
    """One display node for each way of showing, so that they can be switched apart; hidden until asked for."""
    display = transform_display(node, kind)
    if display is None:
        display = node.GetScene().CreateNodeByClass("vtkMRMLTransformDisplayNode")
        display.UnRegister(None)
        display.SetName(f"{node.GetName()} {kind}")
        display.SetAttribute("SITTranslate.Kind", kind)
        node.GetScene().AddNode(display)
        display.SetDefaultColors()
        # Before the transform node takes it: a view reads this list once, when the display node is added.
        for view in view_ids:
            display.AddViewNodeID(view)
        node.AddAndObserveDisplayNodeID(display.GetID())
    high = max(peak_mm, SMALLEST_MOTION)
    display.SetColorMap(transfer_function(HOW_FAR, high))
    display.SetScalarRange(0.0, high)
    display.SetAndObserveRegionNode(region)
    display.SetVisibility(0)
    display.SetVisibility2D(1)
    display.SetVisibility3D(0)
    return display


def arrow_words(node: Any) -> str:
    """Scale of the arrows relative to the motion, for the title of a view; empty where none are shown."""
    display = transform_display(node, "glyphs") if node is not None else None
    if display is None or not display.GetVisibility():
        return ""
    return f", arrows \u00d7{display.GetGlyphScalePercent() / 100.0:.2g}"


def transform_display(node: Any, kind: str) -> Any:
    """The display node of a motion node for ``glyphs``, ``grid`` or ``contours``; None if it has none."""
    for index in range(node.GetNumberOfDisplayNodes()):
        display = node.GetNthDisplayNode(index)
        if display is not None and display.GetAttribute("SITTranslate.Kind") == kind:
            return display
    return None
