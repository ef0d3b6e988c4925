"""The pictures of a translation, drawn by Slicer's own displayable managers off-screen.

A :class:`Studio` holds a scene with one translation and views to photograph it in; it can also save that scene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.scene import annotation, layout, presentation
from SITTranslateLib.scene.display import arrow_words
from SITTranslateLib.scene.extras import STEPS
from SITTranslateLib.scene.headless.application import application
from SITTranslateLib.scene.headless.bundle import save_bundle
from SITTranslateLib.scene.headless.images import Pixels, mosaic, png, write_png
from SITTranslateLib.scene.headless.views import SliceView, ThreeDView
from SITTranslateLib.scene.result import SceneResult, add_translation, request_text
from SITTranslateLib.scene.segmentation import CARRIED_COLOUR, SOURCE_COLOUR, add_segmentation_node
from SITTranslateLib.scene.sequences import browser_of
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

VIEW_SIZE = (800, 680)
#: Millimetres shown around the enlarged segment.
CLOSE_MARGIN = 14.0
#: Number of additional maps of a model that are drawn.
MOST_BESIDES, LABEL_MAP = 4, "vtkMRMLLabelMapVolumeNode"
#: Steps of a sampling: so many are drawn, the first and the last among them.
MOST_STEPS = 6


#: Spacing of the sampling field in a saved scene: Slicer writes fields uncompressed, 220 MB for a 1 mm head.
SAVED_FIELD_MM = 2.0


#: Name, title, caption, and rows of pictures of one size.
Panels = tuple[str, str, str, list[list[Pixels]]]


@dataclass(frozen=True)
class Picture:
    """One picture: its file, what it shows, and how to read it.

    Attributes:
        path: the PNG with all panels side by side.
        panels: each panel alone, as PNG, so that a narrow page can stack them.
    """

    name: str
    path: Path
    title: str
    caption: str
    panels: tuple[bytes, ...]


@dataclass(frozen=True)
class Outlines:
    """Segments of the source to draw, and the one to enlarge.

    Attributes:
        labels: label map on the source's grid.
        names: name of each label.
        closely: the label that the close-up is about.
    """

    labels: Volume
    names: Mapping[int, str]
    closely: int


class Studio:
    """A scene with one translation, ready to be photographed and saved.

    Raises:
        InputError: off-screen OpenGL is missing here; the sentence says what to install.
    """

    def __init__(
        self,
        translation: Translation,
        outlines: Outlines | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
        size: tuple[int, int] = VIEW_SIZE,
    ) -> None:
        self.app = application()
        self.app.clear()
        self.app.show_layout()
        self.views = {name: SliceView(self.app, name, size) for name in layout.SLICES}
        self.space = ThreeDView(self.app, layout.THREE_D, size)
        self.translation, self.outlines = translation, outlines
        self.result: SceneResult = self._add(rows)
        self._segments: list[Any] = []
        if outlines is not None:
            self._draw_outlines(outlines)
        presentation.show_result(self.app.scene, self.result)

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        for view in (*self.views.values(), self.space):
            view.close()

    def draw(self, folder: Path, progress: Callable[[str, float], None] | None = None) -> list[Picture]:
        """Draw every picture that this translation has data for into a folder."""
        drawn, makers = [], self._makers()
        for index, make in enumerate(makers):
            name, title, caption, rows = make()
            if progress is not None:
                progress(f"drawing {title.lower()}", (index + 1) / len(makers))
            path = folder / f"{name}.png"
            write_png(mosaic(rows), path)
            drawn.append(Picture(name, path, title, caption, tuple(png(shot) for row in rows for shot in row)))
        # A saved scene opens as these views were left: all on one slice, not each where its last picture was taken.
        for view in self.views.values():
            presentation.frame(view.node, "Axial", self.result.focus, self.result.box, view.size)
        presentation.show_result(self.app.scene, self.result)
        return drawn

    def save_scene(self, path: Path) -> None:
        """Save the scene with everything in it as a bundle that Slicer opens (``.mrb``).

        Raises:
            InputError: it cannot be written there.
        """
        save_bundle(self.app.scene, self.result.nodes, path)

    def _add(self, rows: Sequence[Mapping[str, Any]]) -> SceneResult:
        return add_translation(self.translation, scene=self.app.scene, rows=rows, sampling_mm=SAVED_FIELD_MM)

    def _makers(self) -> list[Callable[[], Panels]]:
        makers = [self._overview]
        if self.result.motion is not None:
            makers += [self._close_up, self._motion_planes, self._grid, self._space]
        if self.result.jacobian is not None:
            makers.append(self._jacobian)
        if self.result.change is not None:
            makers.append(self._change_planes)
        if set(self.result.extras) - {STEPS}:
            makers.append(self._besides)
        if STEPS in self.result.extras:
            makers.append(self._steps)
        return makers

    # The pictures: each returns name, title, caption and rows of panels.

    def _overview(self) -> Panels:
        shots = [
            self._slice(layout.SOURCE, "Axial", self.result.source),
            self._slice(layout.TRANSLATED, "Axial", self.result.translated),
            self._slice(layout.MOTION, "Axial", self.result.source, self.result.distance, 0.0),
            self._slice(layout.CHANGE, "Axial", self.result.source, self.result.overlay),
        ]
        if self.result.change is None and self.result.jacobian is not None:
            colours = f"{VOLUME_COLOURS} The scan's values were kept, only moved."
        else:
            colours = f"{CHANGE_COLOURS} Where there is no colour, the scan's values were kept."
        caption = (
            "The same slice four times. Arrows point from where the anatomy was to where it went and are drawn longer "
            f"than the motion; their colour gives the distance in mm. {colours} The "
            "patient's right is on the left, and only the head is shown, not the air."
        )
        return "overview", "Overview", caption, [shots[:2], shots[2:]]

    def _motion_planes(self) -> Panels:
        presentation.show_motion(self.app.scene, self.result, "glyphs")
        shots = [
            self._slice(layout.MOTION, plane, self.result.source, self.result.distance, 0.0)
            for plane in ("Coronal", "Sagittal")
        ]
        caption = "Arrows of the motion from the front and from the side, coloured by the distance in mm."
        return "motion", "How the anatomy moved", caption, [shots]

    def _grid(self) -> Panels:
        presentation.show_motion(self.app.scene, self.result, "grid")
        shots = [
            self._slice(layout.MOTION, plane, self.result.source, self.result.distance, 0.0, "Grid carried along")
            for plane in ("Axial", "Coronal")
        ]
        presentation.show_motion(self.app.scene, self.result, "glyphs")
        caption = (
            "A square grid carried along by the motion, true to scale. Where meshes get wider the anatomy expanded, "
            "where they get narrower it shrank; lines that cross would be a fold."
        )
        return "grid", "Deformation grid", caption, [shots]

    def _jacobian(self) -> Panels:
        title = layout.EXPANSION_TITLE
        shots = [
            self._slice(layout.CHANGE, plane, self.result.source, self.result.jacobian, None, title)
            for plane in ("Axial", "Coronal")
        ]
        caption = (
            "Local change of volume of the source's anatomy in %, by the Jacobian of the motion. "
            f"{VOLUME_COLOURS} Grey: volume kept."
        )
        return "jacobian", title, caption, [shots]

    def _change_planes(self) -> Panels:
        shots = [
            self._slice(layout.CHANGE, plane, self.result.source, self.result.change)
            for plane in ("Coronal", "Sagittal")
        ]
        caption = f"What was added to the source's values before the motion, in the scan's own units. {CHANGE_COLOURS}"
        return "change", "How the intensity changed", caption, [shots]

    def _besides(self) -> Panels:
        # Labels first: they are one map, where attention is often many.
        maps = {name: node for name, node in self.result.extras.items() if name != STEPS}
        chosen = sorted(maps.items(), key=lambda item: not item[1].IsA(LABEL_MAP))[:MOST_BESIDES]
        shots = [
            self._slice(layout.CHANGE, "Axial", self.result.source, node, title=f"Given by the model: {name}")
            for name, node in chosen
        ]
        left = len(maps) - len(chosen)
        more = f" {left} more are in the scene." if left else ""
        caption = f"Additional maps of the model, over the source.{more}"
        return "besides", "Additional maps of the model", caption, [shots[n : n + 2] for n in range(0, len(shots), 2)]

    def _steps(self) -> Panels:
        node, count = self.result.extras[STEPS], len(self.translation.steps)
        browser, shots = browser_of(node), []
        for number in np.unique(np.linspace(0, count - 1, min(count, MOST_STEPS)).round().astype(int)):
            browser.SetSelectedItemNumber(int(number))
            shots.append(self._slice(layout.CHANGE, "Axial", node, title=f"After step {number + 1} of {count}"))
        browser.SetSelectedItemNumber(0)
        left = count - len(shots)
        more = f" {left} more are in the scene." if left else ""
        caption = (
            "What the model took the translated scan to be after each step of its sampling, from the noise to the end, "
            f"with the network's own voxels; of several samples, the first. The scene plays them as a sequence.{more}"
        )
        return "steps", "Step by step", caption, [shots[n : n + 2] for n in range(0, len(shots), 2)]

    def _space(self) -> Panels:
        coloured = self.result.jacobian is not None
        presentation.show_arrows_in_3d(self.result, not coloured)
        title = layout.EXPANSION_TITLE if coloured else motion_title(self.result)
        shots = []
        for azimuth, side in ((35.0, "from the front left"), (-90.0, "from the right")):
            self.space.look(azimuth, 12.0, 1.45)
            self._write_on(self.space, f"{title}, {side}", synthetic=True)
            shots.append(self.space.grab())
        presentation.show_motion(self.app.scene, self.result, "glyphs")
        caption = "The larger half of the motion in 3D, inside the outline of the head; the cube names the sides."
        if coloured:
            caption = f"The outline of the scan, coloured by the change of volume under it. {VOLUME_COLOURS}"
        return "space", f"{title}, in 3D", caption, [shots]

    def _close_up(self) -> Panels:
        point, box, words = self._closely()
        for node in self._segments:
            node.GetDisplayNode().SetVisibility(1)
        rows = []
        for plane in ("Axial", "Coronal"):
            before = self._slice(layout.SOURCE, plane, self.result.source, point=point, box=box, title="Before")
            after = self._slice(layout.TRANSLATED, plane, self.result.translated, point=point, box=box, title="After")
            rows.append([before, after])
        for node in self._segments:
            node.GetDisplayNode().SetVisibility(0)
        return "close_up", "Before and after, closely", words, rows

    # How a picture is made.

    def _slice(
        self,
        name: str,
        plane: str,
        background: Any,
        foreground: Any = None,
        opacity: float | None = presentation.OVERLAY_OPACITY,
        title: str | None = None,
        *,
        point: NDArray[np.floating] | None = None,
        box: NDArray[np.floating] | None = None,
    ) -> Pixels:
        import slicer

        view = self.views[name]
        shown = presentation.OVERLAY_OPACITY if opacity is None else opacity
        # Alone, or the linked views would turn with it.
        layout.link_views(self.app.scene, False)
        layout.show_volumes(self.app.scene, name, background, foreground, shown)
        presentation.frame(
            view.node,
            plane,
            self.result.focus if point is None else point,
            self.result.box if box is None else box,
            view.size,
            fill=0.86,
        )
        view.node.SetRulerType(slicer.vtkMRMLAbstractViewNode.RulerTypeThin)
        if title is None:
            title = {layout.MOTION: motion_title(self.result), layout.CHANGE: change_title(self.result)}.get(
                name, layout.TITLES[name]
            )
        if name == layout.TRANSLATED and (asked := request_text(self.translation.provenance)):
            title = f"{title} ({asked})"
        self._write_on(view, title, synthetic=name != layout.SOURCE)
        annotation.add_sides(view.annotations, view.node)
        return view.grab()

    def _write_on(self, view: SliceView | ThreeDView, title: str, *, synthetic: bool) -> None:
        view.annotations.RemoveAllViewProps()
        annotation.annotate(view.annotations, title, synthetic=synthetic)

    def _draw_outlines(self, outlines: Outlines) -> None:
        scene, closely = self.app.scene, outlines.names[outlines.closely]
        places = {
            "source": (SOURCE_COLOUR, [layout.view_id(layout.SOURCE), layout.view_id(layout.TRANSLATED)]),
            "carried over": (CARRIED_COLOUR, [layout.view_id(layout.TRANSLATED)]),
        }
        for role, (colour, views) in places.items():
            if role == "carried over" and self.result.motion is None:
                continue
            node = add_segmentation_node(
                scene, outlines.labels, {outlines.closely: closely}, f"{closely}, {role}", colour=colour, view_ids=views
            )
            node.GetDisplayNode().SetVisibility(0)
            if role == "carried over":
                node.SetAndObserveTransformNodeID(self.result.motion.GetID())
            self._segments.append(node)
            presentation.put_with(scene, self.result, node)
        if len(outlines.names) > 1:
            # For the user's own use, not drawn.
            node = add_segmentation_node(scene, outlines.labels, outlines.names, "Segments", surfaces=False)
            node.GetDisplayNode().SetVisibility(0)
            presentation.put_with(scene, self.result, node)

    def _closely(self) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
        """Centre of the view, the RAS box to show, and the caption."""
        if self.outlines is None:
            half = np.array([40.0, 40.0, 34.0])
            box = np.stack([self.result.focus - half, self.result.focus + half])
            return self.result.focus, box, "The part of the scan where most changed, before and after."
        labels = self.outlines.labels
        mask = labels.array == self.outlines.closely
        if not mask.any():
            raise InputError(
                f"The label {self.outlines.closely} to look at closely does not occur in the segmentation."
            )
        weight = mask.astype(np.float32)
        if self.translation.motion is not None:
            weight *= 0.1 + self.translation.motion.magnitude()
        k, j, i = (int(np.argmax(weight.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3))
        voxels = np.argwhere(mask)[:, ::-1]
        world = labels.grid.to_world(np.stack([voxels.min(axis=0), voxels.max(axis=0)]).astype(np.float64))
        box = np.stack([world.min(axis=0) - CLOSE_MARGIN, world.max(axis=0) + CLOSE_MARGIN])
        name = self.outlines.names[self.outlines.closely].lower()
        words = (
            f"Blue: the {name} as drawn on the source. Orange: the same outline carried over by the motion; it should "
            "lie on the edge that the translated scan shows."
        )
        return labels.grid.to_world(np.array([i, j, k], dtype=np.float64)), box, words


VOLUME_COLOURS = "Orange: expanded (+100 % is twice the volume); blue: shrank."
CHANGE_COLOURS = "Yellow: brighter; violet: darker."


def motion_title(result: SceneResult) -> str:
    """Title of the motion view, with the origin of the field."""
    if result.field_origin == "none":
        return "Motion not known (no field)"
    if result.motion is None or result.ranges.motion_mm == 0:
        return "The anatomy did not move"
    estimated = " (estimated)" if result.field_origin == "estimated" else ""
    return f"{layout.TITLES[layout.MOTION]}{estimated}{arrow_words(result.motion)}"


def change_title(result: SceneResult) -> str:
    """Title of the change view with the map that is shown first."""
    if result.change is None and result.jacobian is not None:
        return layout.EXPANSION_TITLE
    if result.change is None:
        known = result.field_origin in ("model", "identity")
        return "The intensity did not change" if known else "Intensity change not known"
    if result.ranges.faint:
        return "Intensity changed by less than 1 %"
    return layout.TITLES[layout.CHANGE]
