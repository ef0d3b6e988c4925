"""The web page: controls on the left, the views on the right; every control calls one method of :class:`Shown`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import numpy as np

from SITTranslateLib.host.client import HostClient
from SITTranslateLib.scene import layout, presentation
from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.view.panes import Panes
from SITTranslateLib.view.shown import MOTIONS, PARTS, STRONGEST, Shown

POLL_SECONDS, REST_SECONDS = 0.03, 0.3
_MOTION_WORDS = dict(zip(MOTIONS, ("Arrows", "Grid", "Lines", "None"), strict=True))
_MAP_WORDS = {"change": "Intensity", "jacobian": "Jacobian", "": "None"}
_PART_WORDS = {"both": "Both", "anatomy": "Anatomy", "intensity": "Intensity"}
_GROUPS = {
    "parts": "Which part of the change", "motion": "How the motion is drawn", "map": "Map on the scan",
    "orientation": "Orientation of the slices",
}  # fmt: skip
#: Beside the views on a desk; below them where the page is narrow, which then scrolls.
_STYLE = """
html { overflow: hidden }
.page { display: flex; height: 100vh } .views { flex: 1; display: flex; min-width: 0 }
.controls { width: 300px; flex: none; overflow-y: auto }
.head { font-size: .75rem; letter-spacing: .04em; text-transform: uppercase; opacity: .8; margin: 14px 0 4px }
.v-btn-group { height: 32px !important; width: 100% }
.v-btn-group .v-btn { flex: 1; font-size: .75rem; letter-spacing: 0; min-width: 0; padding: 0 6px }
td, th { font-size: .75rem; padding: 3px 4px; text-align: left; white-space: nowrap }
:focus-visible { outline: 2px solid #ffc240; outline-offset: 1px }
@media (max-width: 900px) {
  html { overflow-y: auto } .page { flex-direction: column-reverse; justify-content: flex-end; height: auto }
  .controls { width: 100% } .views { flex: none; display: block }
  .views .layout-grid-container { height: auto !important }
  .views > div > .layout-grid-container { flex-direction: column !important }
  .views .layout-grid-item { height: 44vw; flex: none !important; width: 100% }
}
@media (max-width: 600px) {
  .views .layout-grid-container { flex-direction: column !important }
  .views .layout-grid-item { height: 84vw }
}
"""
#: "" cannot be distinguished from "nothing chosen" in a group of buttons.
_NONE = "none"


class Page:
    """One result in one page."""

    def __init__(self, server: Any, app: Application, translation: Translation, host: HostClient) -> None:
        self.server, self.state = server, server.state
        # Before the nodes: a colour legend is not drawn in a view that comes into being after it.
        moves = translation.motion is not None and translation.field_origin is not FieldOrigin.IDENTITY
        self.panes = Panes(app, server, three_d=moves)
        self.shown = Shown(app.scene, translation, host)
        self.panes.on_click = self._on_click
        self.panes.on_moved = self._on_moved
        self._rest: asyncio.TimerHandle | None = None
        self._set_state()
        self._build()
        self.shown.changed.connect(self._refresh)
        self.shown.message.connect(self._tell)
        server.controller.on_server_ready.add(self._on_ready)
        self.state.change("motion")(lambda motion, **_: self.shown.show_motion(_plain(motion)))
        self.state.change("map")(lambda map, **_: self.shown.show_map(_plain(map)))
        self.state.change("orientation")(lambda **_: self._frame())
        self.state.change("offset")(lambda **_: self._on_offset())
        self.state.change("strength")(lambda **_: self._on_strength())
        self.state.change("parts")(lambda **_: self._ask(final=True))

    def _set_state(self) -> None:
        shown, state = self.shown, self.state
        state.trame__title = f"{shown.nodes.source.GetName()} - SITTranslate"
        # Its own default is fetched from elsewhere; the page must fetch nothing.
        state.trame__favicon = "data:,"
        state.name = shown.nodes.source.GetName()
        state.mark = SYNTHETIC.capitalize()
        state.summary = shown.summary()
        state.strength, state.parts = 100, shown.parts
        state.motion, state.map = shown.motion or _NONE, shown.map or _NONE
        state.orientation = presentation.ORIENTATIONS[0]
        state.views, state.volumes = "", shown.volumes()
        state.offset, state.offset_low, state.offset_high, state.position = 0.0, -100.0, 100.0, ""
        state.tracing, state.points, state.sentence, state.busy = False, [], "", False

    def _build(self) -> None:
        from trame.ui.vuetify3 import VAppLayout
        from trame.widgets import client, html
        from trame.widgets import vuetify3 as v3

        with VAppLayout(self.server, theme="dark") as self.layout:
            client.Style(_STYLE)
            with v3.VMain(), html.Div(classes="page"):
                self._controls()
                with html.Div(
                    classes="views", __properties=["role", ("aria_label", "aria-label")], role="group",
                    aria_label=("views",),
                ):  # fmt: skip
                    self.panes.place(self.layout)

    def _controls(self) -> None:
        from trame.widgets import html
        from trame.widgets import vuetify3 as v3

        shown = self.shown
        with html.Div(classes="controls px-4 py-3", __properties=["role", ("aria_label", "aria-label")], role="region",
                      aria_label="What is shown"):  # fmt: skip
            html.Div("{{ name }}", classes="text-subtitle-1 font-weight-bold", id="name")
            html.Div("{{ mark }}", style="color: #ffc240; font-size: .8rem")
            html.Div("{{ line }}", v_for="line in summary", key="line", style="font-size: .8rem; opacity: .8")
            html.Div("Strength: {{ strength }} %", classes="head", id="strength-words")
            v3.VSlider(
                v_model_number=("strength",), min=0, max=round(100 * STRONGEST), step=1, id="strength",
                name="Strength in per cent", density="compact", hide_details=True, color="amber",
                disabled=not shown.can_be_recomposed,
            )  # fmt: skip
            self._buttons("parts", PARTS if shown.can_be_recomposed else PARTS[:1], _PART_WORDS)
            html.Div("How the anatomy moved", classes="head")
            self._buttons("motion", shown.motions, _MOTION_WORDS)
            html.Div("On the scan", classes="head")
            self._buttons("map", shown.maps, _MAP_WORDS)
            html.Div("Slices: {{ position }}", classes="head", id="position")
            self._buttons("orientation", presentation.ORIENTATIONS, {n: n for n in presentation.ORIENTATIONS})
            v3.VSlider(
                v_model_number=("offset",), name="Position of the slices in mm", min=("offset_low",),
                max=("offset_high",), step=1, id="offset", density="compact", hide_details=True,
            )  # fmt: skip
            v3.VBtn("Centre again", click=self._centre, size="small", variant="text", block=True, id="centre")
            html.Div("Where did this point go?", classes="head")
            v3.VSwitch(
                v_model=("tracing",), label="Trace where I click", density="compact", hide_details=True,
                color="amber", id="tracing", disabled=shown.nodes.motion is None,
            )  # fmt: skip
            with html.Table(v_if=("points.length",), style="width: 100%", id="points"):
                with html.Tr():
                    for head in ("", "source", "moved to, at 100 %", "mm"):
                        html.Th(head)
                with html.Tr(
                    v_for="(p, i) in points", key="i", click=(self._on_row, "[i]"), style="cursor: pointer",
                    title=("p.about",), tabindex=0, keydown_enter=(self._on_row, "[i]"),
                    __events=[("keydown_enter", "keydown.enter")], __properties=["tabindex"],
                ):  # fmt: skip
                    html.Td("{{ p.label }}")
                    html.Td("{{ p.source }}")
                    html.Td("{{ p.translated }}")
                    html.Td("{{ p.motion }}")
            html.Div("Volumes (mL), at 100 %", classes="head", v_if=("volumes.length",))
            with html.Table(v_if=("volumes.length",), style="width: 100%", id="volumes"):
                with html.Tr():
                    for head in ("", "before", "after", "%"):
                        html.Th(head)
                with html.Tr(v_for="(v, i) in volumes", key="i"):
                    for cell in ("name", "before", "after", "change"):
                        html.Td("{{ v." + cell + " }}")
            v3.VBtn(
                "Clear points", v_if=("points.length",), click=self.shown.clear_points, size="small",
                variant="text", block=True, id="clear",
            )  # fmt: skip
            html.Div("{{ sentence }}", v_if=("sentence",), id="sentence", style="color: #ff8a80; font-size: .8rem")
            v3.VProgressLinear(v_if=("busy",), indeterminate=True, color="amber", id="busy")

    def _buttons(self, name: str, choices: Any, words: dict[str, str]) -> None:
        from trame.widgets import vuetify3 as v3

        with v3.VBtnToggle(
            v_model=(name,), mandatory=True, density="compact", divided=True, color="amber", id=name, classes="mb-1",
            __properties=["role", ("aria_label", "aria-label")], role="group", aria_label=_GROUPS[name],
        ):  # fmt: skip
            for choice in choices:
                v3.VBtn(words[choice], value=choice or _NONE, id=f"{name}-{choice or _NONE}", variant="outlined")

    def _on_ready(self, **_: Any) -> None:
        self._frame()
        self._refresh()
        self._polling = asyncio.ensure_future(self._poll())

    async def _poll(self) -> None:
        """The host's answers are taken in between two frames, where the scene may be touched."""
        while True:
            self.shown.poll()
            if self.state.busy != self.shown.busy:
                self.state.busy = self.shown.busy
                self.state.flush()
            await asyncio.sleep(POLL_SECONDS)

    def _refresh(self) -> None:
        titles = self.shown.titles()
        self.panes.write(titles)
        self.state.views = "Views: " + "; ".join(titles[name] for name in self.panes.views)
        self.state.points = [_row(point) for point in self.shown.points]
        self.state.sentence = ""
        self.state.flush()

    def _tell(self, sentence: str) -> None:
        self.state.sentence = sentence
        self.state.flush()

    def _on_moved(self) -> None:
        orientation = self.state.orientation
        if orientation not in presentation.ORIENTATIONS:
            return
        axis = presentation.normal_axis(orientation)
        place = float(self.panes.place_of(layout.SOURCE)[axis])
        position = presentation.position_text(orientation, place)
        if position != self.state.position:
            low, high = self.shown.nodes.box[:, axis]
            self.state.offset_low, self.state.offset_high = float(np.floor(low)), float(np.ceil(high))
            self.state.position, self.state.offset = position, round(place)
            self.state.flush()

    def _on_offset(self) -> None:
        """The slider was moved; its steps are coarser than what the wheel does."""
        if self.state.orientation not in presentation.ORIENTATIONS or not self.state.position:
            return
        axis = presentation.normal_axis(self.state.orientation)
        with contextlib.suppress(TypeError, ValueError):
            place = float(self.state.offset)
            if abs(place - self.panes.place_of(layout.SOURCE)[axis]) > 0.5 + 1e-6:
                self.panes.slide(axis, place)

    def _on_strength(self) -> None:
        """Motion and volume change are redone when the slider rests, the scan itself while it moves."""
        if self._rest is not None:
            self._rest.cancel()
        self._ask(final=False)
        self._rest = asyncio.get_running_loop().call_later(REST_SECONDS, lambda: self._ask(final=True))

    def _ask(self, *, final: bool) -> None:
        with contextlib.suppress(TypeError, ValueError):
            strength = float(self.state.strength) / 100.0
            if final or (strength, self.state.parts) != (self.shown.strength, self.shown.parts):
                self.shown.set_strength(strength, self.state.parts, final=final)

    def _frame(self) -> None:
        if self.state.orientation in presentation.ORIENTATIONS:
            self.panes.frame(self.state.orientation, self.shown.nodes.focus, self.shown.nodes.box)
            self.panes.write(self.shown.titles())

    def _centre(self) -> None:
        self._frame()
        self.panes.look()

    def _on_click(self, point: Any, view: str) -> None:
        if self.state.tracing:
            self.shown.trace(point, from_translated=view == layout.TRANSLATED)

    def _on_row(self, index: int) -> None:
        self.shown.jump(int(index))


def _plain(choice: Any) -> str:
    return "" if choice in (None, _NONE) else str(choice)


def _row(point: dict[str, Any]) -> dict[str, str]:
    residual = f"misses by {point['residual_mm']:.2g} mm" if point["traceable"] else point["reason"]
    return {
        "label": point["label"],
        "source": _place(point["source"]),
        "translated": _place(point["translated"]),
        "motion": f"{point['motion_mm']:.2f}",
        "about": f"{point['label']}: {_place(point['source'], 2)} -> {_place(point['translated'], 2)}; {residual}",
    }


def _place(point: Any, decimals: int = 0) -> str:
    # Without the minus of a rounded -0.
    return " ".join(f"{value:.{decimals}f}" for value in np.round(np.asarray(point, np.float64), decimals) + 0.0)
