"""The result shown in the web page, and its actions: strength, parts, maps, traced points.

As the module's session: the scene is changed here, the arithmetic is done by the model host, which is polled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient
from SITTranslateLib.host.presenter import HostPresenter
from SITTranslateLib.host.requests import RecomposeRequest, RestoreRequest, TraceRequest, TranslateRequest
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.scene import display, layout, presentation
from SITTranslateLib.scene.headless.pictures import change_title, motion_title
from SITTranslateLib.scene.points import PointPairs
from SITTranslateLib.scene.result import SceneResult, add_translation, request_text
from SITTranslateLib.scene.strength import showing_strength
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Translation

#: How the motion can be drawn, and which map can lie on the scan; "" is none.
MOTIONS = ("glyphs", "grid", "contours", "")
MAPS = ("change", "jacobian", "")
#: The 3D view shows the outline in the colours of the volume, where that is known.
EXPANSION_3D = f"{layout.EXPANSION_TITLE} (3D)"
PARTS = ("both", "anatomy", "intensity")
#: The slider's range, as in the module.
STRONGEST = 1.5
_WAIT_SECONDS = 600.0


def opened(place: Path, host: HostClient) -> Translation:
    """A result taken up from its folder, or by the sidecar that a batch wrote, and held by the host.

    Raises:
        InputError: it is no result, or its parts do not belong together.
    """
    from SITTranslateLib.translate.saving import PROVENANCE_FILE, exact_source, read_translation

    saved = read_translation(place)
    source = exact_source(saved, place if place.is_file() else place / PROVENANCE_FILE)
    parts: dict[str, Any] = {"source": source, "translated": saved.translated}
    if saved.intensity_change is not None:
        parts["change"] = saved.intensity_change
    if saved.velocity is not None:
        parts["velocity"] = saved.velocity
    elif saved.sampling is not None:
        parts["sampling"] = saved.sampling
    request = RestoreRequest(
        provenance=saved.provenance.to_dict(),
        field_origin=saved.field_origin.value,
        recomposition_error=saved.recomposition_error,
        **parts,
    )
    held: Translation = host.run(request, timeout=_WAIT_SECONDS)
    if saved.known_structures is not None:
        # The host knows this very object, so that no copy with them can stand for it.
        held.keep_structures(saved.known_structures)
    return held


class Shown(HostPresenter):
    """One result in the scene's views.

    Attributes:
        changed: emitted when the views or the points are other than before.
        message: emitted with a sentence when something could not be done.
        points: the traced points, as the host tells them.
        motion, map, parts, strength: what is shown at present.
    """

    def __init__(self, scene: Any, translation: Translation, host: HostClient) -> None:
        super().__init__(host)
        self.changed, self.message = Signal(), Signal()
        self.failed.connect(lambda error: self.message.emit(str(error)))
        self.scene, self.translation = scene, translation
        self.nodes: SceneResult = add_translation(translation, scene=scene)
        presentation.show_result(scene, self.nodes)
        self.points: list[dict[str, Any]] = []
        self.strength, self.parts = 1.0, PARTS[0]
        self.motion = "glyphs" if self.nodes.motion is not None else ""
        self.map = "change" if self.nodes.change is not None else ""
        if not self.map and self.nodes.jacobian is not None:
            self.show_map("jacobian")
        self._pairs: PointPairs | None = None
        self._traced = 0

    @property
    def can_be_recomposed(self) -> bool:
        """An estimated motion has no intensity change beside it: nothing can be put together from its parts."""
        return self.nodes.field_origin != "estimated"

    def possible(self, names: tuple[str, ...], kinds: Mapping[str, Any]) -> list[str]:
        """Those of the names whose node is there; the empty one always."""
        return [name for name in names if not name or kinds.get(name) is not None]

    @property
    def motions(self) -> list[str]:
        return self.possible(MOTIONS, dict.fromkeys(MOTIONS, self.nodes.motion))

    @property
    def maps(self) -> list[str]:
        return self.possible(MAPS, {"change": self.nodes.change, "jacobian": self.nodes.jacobian})

    def titles(self) -> dict[str, str]:
        """What each view shows, by its name."""
        asked = request_text(self.translation.provenance)
        at = "" if self.strength == 1.0 else f", {100 * self.strength:.0f} % of the change"
        part = {"anatomy": ", anatomy only", "intensity": ", intensity only"}.get(self.parts, "")
        shown = {"jacobian": layout.EXPANSION_TITLE, "": layout.TITLES[layout.SOURCE]}
        return {
            layout.SOURCE: layout.TITLES[layout.SOURCE],
            layout.TRANSLATED: layout.TITLES[layout.TRANSLATED] + (f" ({asked})" if asked else "") + at + part,
            layout.MOTION: motion_title(self.nodes),
            layout.CHANGE: shown.get(self.map, change_title(self.nodes)),
            layout.THREE_D: layout.TITLES[layout.THREE_D] if self.nodes.jacobian is None else EXPANSION_3D,
        }

    def summary(self) -> list[str]:
        """The result in a few plain sentences."""
        record, ranges = self.translation.provenance, self.nodes.ranges
        model = f"{record.package} {record.version}".strip()
        sentences = [f"Model: {model}."] if model else []
        sentences.append(
            {
                "model": "The motion is the model's own.",
                "identity": "This model promises not to move anything.",
                "estimated": "The motion was ESTIMATED afterwards by registration; it is not the model's own.",
                "none": "This model gives no motion.",
            }.get(self.nodes.field_origin, "")
        )
        if self.nodes.motion is not None:
            most = f"{ranges.motion_mm:.2g} mm, the rest at most {display.round_up(ranges.motion_most_mm):.2g} mm"
            sentences.append(f"99 % of the head moved less than {most}." if ranges.motion_most_mm else "Nothing moved.")
        if self.nodes.change is not None:
            # The range of the map has a least bound; a fainter change must not be reported as that.
            most = "1 %" if ranges.faint else f"{ranges.change:.3g} (scan units)"
            sentences.append(f"In 99 % of the head intensity changed by less than {most}.")
        return [*sentences, *(f"Warning: {words}" for words in record.warnings)]

    def volumes(self) -> list[dict[str, str]]:
        """Structures with their volumes in mL and the change in per cent, as far as they were measured."""
        known = self.translation.known_structures
        return [
            {
                "name": row.title,
                "before": f"{row.before_ml:.1f}",
                "after": f"{row.after_ml:.1f}",
                "change": f"{row.change_percent:+.1f}",
            }
            for row in (known.whole if known else ())
        ]

    def show_motion(self, kind: str) -> None:
        """Draw the motion as ``glyphs``, ``grid`` or ``contours``, or not at all."""
        if kind not in self.motions:
            return
        self.motion = kind
        self._draw_motion()
        self.changed.emit()

    def show_map(self, kind: str) -> None:
        """Lay the intensity ``change`` or the ``jacobian`` over the source in its view, or nothing."""
        if kind not in self.maps:
            return
        self.map = kind
        node = {"change": self.nodes.change, "jacobian": self.nodes.jacobian}.get(kind)
        opacity = presentation.OVERLAY_OPACITY if node is not None else 0.0
        layout.show_volumes(self.scene, layout.CHANGE, self.nodes.source, node, opacity)
        self.changed.emit()

    def set_strength(self, strength: float, parts: str, *, final: bool) -> None:
        """Show that share of the change, of both parts or one; only the last wish counts.

        Args:
            strength: 0 the scan, 1 the translation, at most ``STRONGEST``.
            parts: ``both``, ``anatomy`` or ``intensity``.
            final: also redo motion and Jacobian, which takes longer than the scan itself.
        """
        if not self.can_be_recomposed or parts not in PARTS:
            return
        self.strength, self.parts = min(max(float(strength), 0.0), STRONGEST), parts
        spatial, intensity = parts != "intensity", parts != "anatomy"

        def answered(answer: dict[str, Any]) -> None:
            finish(showing_strength(self.nodes, answer, spatial=spatial, intensity=intensity))
            self._draw_motion()
            self.changed.emit()

        self.recompose(RecomposeRequest(self.translation, self.strength, spatial, intensity, final), answered)

    def trace(self, point: Any, *, from_translated: bool) -> None:
        """Trace a RAS point (mm); its partner appears in the other view, and the pair in ``points``."""
        if self.nodes.motion is None:
            return
        self._traced += 1
        direction = "to source" if from_translated else "to translated"
        start = [[float(value) for value in point]]
        try:
            self.ask(TraceRequest(self.translation, start, direction, [f"P-{self._traced}"]), self._on_traced)
        except InputError as error:
            self.message.emit(str(error))

    def clear_points(self) -> None:
        if self._pairs is not None:
            self._pairs.remove()
        self.points, self._pairs, self._traced = [], None, 0
        self.changed.emit()

    def jump(self, index: int) -> None:
        """Show a traced point: where it starts in the source's views, its partner in that of the translation."""
        if 0 <= index < len(self.points):
            layout.jump_to(self.scene, self.points[index]["source"])
            view = layout.slice_node(self.scene, layout.TRANSLATED)
            if view is not None:
                view.JumpSliceByOffsetting(*self.points[index]["translated"])

    def _draw_motion(self) -> None:
        moves = self.parts != "intensity"
        kind = self.motion if moves and self.motion else None
        presentation.show_motion(self.scene, self.nodes, kind, in_3d=kind == "glyphs" and self.nodes.jacobian is None)

    def _on_traced(self, answer: dict[str, Any]) -> None:
        if self._pairs is None:
            self._pairs = finish(PointPairs.adding(self.scene, self.nodes))
            for node in (self._pairs.source, self._pairs.translated):
                # A click near a point is another question, not a wish to have the views jump to it.
                node.SetSelectable(False)
        for traced in answer["points"]:
            self.points.append(traced)
            self._pairs.add(traced["label"], traced["source"], traced["translated"])
        self.changed.emit()


def translated_now(
    scan: str, model: str, attributes: Mapping[str, float], host: HostClient, options: TranslationOptions
) -> Translation:
    """A scan translated by the host; wait for it.

    Raises:
        InputError: the scan cannot be read, or does not suit the model.
    """
    from SITTranslateLib.files import read_volume

    if not scan:
        raise InputError("No scan is given.")
    held: Translation = host.run(TranslateRequest(read_volume(scan), model, dict(attributes), options))
    return held
