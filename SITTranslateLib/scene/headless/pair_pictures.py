"""Pictures of a traced pair of scans: its estimated motion, and content that the source does not explain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from SITTranslateLib.scene import annotation, colours, display, layout, presentation, volumes
from SITTranslateLib.scene.headless.pictures import SAVED_FIELD_MM, Outlines, Panels, Studio
from SITTranslateLib.scene.headless.views import SliceView, ThreeDView
from SITTranslateLib.scene.result import SceneResult, add_translation
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

MARK = "estimated, research use only"
NOT_EXPLAINED = "Not explained by the source"
#: The map is shown to this many usual residuals; below the second it is usual and left out.
SHOWN_TO, SHOWN_FROM = 8.0, 3.0
CLOSE_TITLES = ("Before", "After")


class PairStudio(Studio):
    """A scene with a pair of scans and the estimated motion between them.

    Args:
        translation: the pair with its estimated field.
        unexplained: size of the residual in units of the usual one, on the grid of the pair.
        residual: the residual, for its sign.
        outlines: segments to draw on both.
    """

    def __init__(
        self, translation: Translation, unexplained: Volume, residual: Volume, outlines: Outlines | None = None
    ) -> None:
        signed = np.where(unexplained.array >= SHOWN_FROM, unexplained.array * np.sign(residual.array), 0.0)
        self._signed = unexplained.with_array(signed.astype(np.float32), NOT_EXPLAINED)
        super().__init__(translation, outlines)

    def _add(self, rows: Sequence[Mapping[str, Any]]) -> SceneResult:
        scene, pair = self.app.scene, self.translation
        source, translated = (
            volumes.add_volume_node(scene, scan, scan.name) for scan in (pair.source, pair.translated)
        )
        for node, scan in ((source, pair.source), (translated, pair.translated)):
            display.show_scan(node, *display.grey_range(scan.array))
        result = add_translation(
            pair, source, scene=scene, translated_node=translated, rows=rows, sampling_mm=SAVED_FIELD_MM
        )
        shown = self._signed.with_array(display.within(self._signed.array, result.head()))
        self._map = volumes.add_volume_node(scene, shown, NOT_EXPLAINED)
        display.show_map(scene, self._map, "darker or brighter", -SHOWN_TO, SHOWN_TO)
        display.add_legend(self._map, "not explained\n+ brighter\n- darker", "%4.1f")
        return result

    def _makers(self) -> list[Callable[[], Panels]]:
        makers = [self._overview, self._not_explained, self._grid, self._jacobian]
        if self.outlines is not None:
            makers.insert(1, self._close_up)
        return makers

    def _overview(self) -> Panels:
        presentation.show_motion(self.app.scene, self.result, "glyphs")
        shots = [
            self._slice(layout.SOURCE, "Axial", self.result.source),
            self._slice(layout.TRANSLATED, "Axial", self.result.translated, title=self.translation.translated.name),
            self._slice(layout.MOTION, "Axial", self.result.source, self.result.distance, 0.0),
            self._slice(layout.CHANGE, "Axial", self.result.translated, self._map, title=NOT_EXPLAINED),
        ]
        caption = (
            "The same slice four times. Arrows point from where the anatomy was to where it is estimated to have gone, "
            "drawn longer than the motion; their colour gives the distance in mm. Last: what neither motion nor "
            f"contrast explains, in units of what is usual there. {COLOURS}"
        )
        return "overview", "Overview", caption, [shots[:2], shots[2:]]

    def _not_explained(self) -> Panels:
        shots = [
            self._slice(layout.CHANGE, plane, self.result.translated, self._map, title=NOT_EXPLAINED)
            for plane in ("Coronal", "Sagittal")
        ]
        return "not_explained", NOT_EXPLAINED, COLOURS, [shots]

    def _write_on(self, view: SliceView | ThreeDView, title: str, *, synthetic: bool) -> None:
        """Both scans may be real: what is marked is the estimate."""
        view.annotations.RemoveAllViewProps()
        annotation.annotate(view.annotations, title, synthetic=False)
        scans = (layout.TITLES[layout.SOURCE], self.translation.translated.name, *CLOSE_TITLES)
        if title not in scans:
            annotation.add_text(view.annotations, MARK, "bottom left", 16, colours.MARK, backing=True)


COLOURS = (
    f"Yellow: brighter than explained; violet: darker; shown from {SHOWN_FROM:g} times the usual. "
    "Above 4 the place counts as content that the source does not explain."
)
