"""Adding a translation to the scene: completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.attributes import AttributeRole
from SITTranslateLib.errors import InputError
from SITTranslateLib.scene import colours, display, hierarchy, transforms, volumes
from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.scene.extras import add_extras, add_steps
from SITTranslateLib.scene.layout import MOTION, THREE_D, view_id
from SITTranslateLib.scene.ranges import (
    SMALLEST_EXPANSION,
    Ranges,
    mark_percent,
    measuring,
    show_volume_map,
    volume_percent,
)
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.surface import add_outline_node, colour_outline
from SITTranslateLib.scene.table import add_table_node
from SITTranslateLib.scene.transaction import Transaction, all_or_nothing
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Provenance, Translation
from SITTranslateLib.volume import Grid, Volume

#: Attributes named in a title.
MOST_ASKED = 4
#: Roles of the nodes of a result; references to them in the parameter node survive saving and loading.
RESULT_ROLES = (
    "source", "translated", "sampling", "motion", "velocity", "distance", "jacobian", "change", "table", "outline",
)  # fmt: skip


@dataclass
class SceneResult:
    """The nodes of one run. Those that a translation has no data for are None; ``extras`` by the model's names.

    ``hull`` is the head on the source's grid: maps and motion are shown within it.
    """

    source: Any
    translated: Any
    sampling: Any
    motion: Any
    distance: Any
    jacobian: Any
    change: Any
    table: Any
    outline: Any
    folder: int
    ranges: Ranges
    focus: NDArray[np.float64]
    box: NDArray[np.float64]
    field_origin: str
    nodes: list[Any] = field(default_factory=list)
    velocity: Any = None
    extras: dict[str, Any] = field(default_factory=dict)
    hull: NDArray[np.bool_] | None = None

    def head(self) -> NDArray[np.bool_]:
        """The head on the source's grid; a result of a loaded scene finds it at the first call."""
        if self.hull is None:
            self.hull = display.head_hull(volumes.volume_from_node(self.source).array)
        return self.hull

    @property
    def overlay(self) -> Any:
        """The map shown first over the source: the change of intensity; where there is none, that of volume."""
        return self.change if self.change is not None else self.jacobian

    @property
    def made_here(self) -> bool:
        """Whether the translated scan is ours; the second scan of a pair from elsewhere is not."""
        return self.translated in self.nodes


def add_translation(
    translation: Translation,
    input_node: Any = None,
    *,
    scene: Any = None,
    translated_node: Any = None,
    rows: Sequence[Mapping[str, Any]] = (),
    sampling_mm: float | None = None,
) -> SceneResult:
    """Add a translation with its provenance to the scene, in one folder beside the input.

    Args:
        translation: the result to show.
        input_node: the volume node that was translated; without it, one is made from ``translation.source``.
        scene: the scene, or ``slicer.mrmlScene``.
        translated_node: the second scan of a pair that was made elsewhere; it stays where it is and what it is.
        rows: the segment table, one mapping a segment.
        sampling_mm: thin the sampling field to about this spacing; None keeps every vector. Slicer saves fields
            uncompressed in double precision, 220 MB for a 1 mm head.

    Returns:
        The nodes, and the ranges that they are shown in.

    Raises:
        Exception: whatever went wrong; the scene is then exactly as it was.
    """
    steps = adding(
        translation, input_node, scene=scene, translated_node=translated_node, rows=rows, sampling_mm=sampling_mm
    )
    return finish(steps)


def adding(
    translation: Translation,
    input_node: Any = None,
    *,
    scene: Any = None,
    translated_node: Any = None,
    rows: Sequence[Mapping[str, Any]] = (),
    sampling_mm: float | None = None,
) -> Generator[None, None, SceneResult]:
    """:func:`add_translation` in steps, so that the window stays alive between them.

    The caller takes the steps one by one. Closing the generator early, or an error, leaves the scene as it was but
    for what others added meanwhile.
    """
    import slicer

    scene = slicer.mrmlScene if scene is None else scene
    ranges, focus, box = yield from measuring(translation)
    yield
    # Changes in air are meaningless; shown, they would hide those of the head.
    hull = yield from display.head_hull_steps(translation.source.array)
    yield
    name = input_node.GetName() if input_node is not None else translation.source.name
    origin = translation.field_origin.value
    with all_or_nothing(scene) as transaction:
        estimated = ", motion estimated" if origin == "estimated" else ""
        title = f"{name} translated: {_headline(translation)}{estimated}"
        if translated_node is not None:
            title = f"{name} to {translated_node.GetName()}: estimated motion"
        folder = hierarchy.run_folder(scene, input_node, title)
        made = _Builder(scene, folder, translation, name, origin, hull, transaction)
        yield from transaction.pause()
        source = input_node
        if source is None:
            source = yield from made.scan(translation.source, name, ranges.grey, True)
        made.refer(source, translated_node)
        translated = translated_node
        if translated is None:
            asked = request_text(translation.provenance)
            called = f"{name} translated{', ' if asked else ''}{asked} ({SYNTHETIC})"
            translated = yield from made.scan(translation.translated, called, ranges.grey, False)
        yield from transaction.pause()
        sampling = yield from made.sampling(sampling_mm)
        yield from transaction.pause()
        motion = yield from made.motion(ranges, box, source)
        yield from transaction.pause()
        distance = yield from made.distance(ranges)
        yield from transaction.pause()
        velocity = made.velocity()
        yield from transaction.pause()
        jacobian = yield from made.expansion(ranges)
        yield from transaction.pause()
        change = yield from made.change(ranges)
        yield from transaction.pause()
        table = made.table(rows)
        yield from transaction.pause()
        outline = yield from made.outline(ranges, transaction)
        yield from transaction.pause()
        extras = made.extras(ranges)
    return SceneResult(
        source, translated, sampling, motion, distance, jacobian, change, table, outline, folder, ranges, focus, box,
        origin, made.nodes, velocity, extras, hull,
    )  # fmt: skip


class _Builder:
    """Makes the nodes of one run; each carries provenance and stands in the run's folder."""

    def __init__(
        self, scene: Any, folder: int, translation: Translation, name: str, origin: str, hull: NDArray[np.bool_],
        transaction: Transaction,
    ) -> None:  # fmt: skip
        self.scene, self.folder, self.translation = scene, folder, translation
        self.name, self.origin = name, origin
        self.attributes = provenance_attributes(translation, origin)
        self.nodes: list[Any] = []
        self._references: dict[str, Any] = {}
        self._paused = transaction.paused
        self.hull = hull
        # Without both, a motion cannot be told from its inverse.
        self.moved = translation.motion if translation.sampling is not None else None

    def _map(
        self, grid: Grid, values: Callable[[slice], NDArray[np.floating]], name: str, levels: tuple[float, float]
    ) -> Generator[None, None, tuple[Any, tuple[float, float]]]:
        """A volume node of a map inside the head, and the lowest and highest value there."""
        reached = (0.0, 0.0)

        def inside(part: slice) -> NDArray[np.float32]:
            nonlocal reached
            block = display.within(values(part), self.hull[part])
            reached = display.extremes(block, reached)
            return block

        node = yield from self._paused(volumes.adding_volume_node(self.scene, grid, inside, name, levels=levels))
        return node, reached

    def refer(self, source: Any, translated: Any) -> None:
        """The scans of the run that are not its own, for :mod:`SITTranslateLib.scene.runs` to find."""
        self._references = {"source": source} | ({"translated": translated} if translated is not None else {})

    def keep(self, node: Any, role: str, meaning: str, extra: str = "") -> Any:
        for key, value in (self.attributes | {"Role": role} | ({"Extra": extra} if extra else {})).items():
            node.SetAttribute(PREFIX + key, value)
        for key, other in self._references.items():
            node.SetNodeReferenceID(PREFIX + key, other.GetID())
        node.SetDescription(f"{meaning} {SYNTHETIC.capitalize()}. {self.attributes['Provenance']}")
        hierarchy.put_into(self.scene, self.folder, node)
        self.nodes.append(node)
        return node

    def scan(self, volume: Volume, name: str, grey: tuple[float, float], is_source: bool) -> Generator[None, None, Any]:
        def values(part: slice) -> NDArray[np.float32]:
            return volume.array[part]

        node = yield from self._paused(volumes.adding_volume_node(self.scene, volume.grid, values, name, levels=grey))
        if is_source:
            hierarchy.put_into(self.scene, self.folder, node)
            return node
        return self.keep(node, "translated", "Translated scan.")

    def sampling(self, finest_mm: float | None) -> Generator[None, None, Any]:
        if self.translation.sampling is None or self.translation.motion is None:
            return None
        name = f"{self.name} sampling field ({self.origin})"
        field = self.translation.sampling
        if finest_mm is not None:
            field = yield from self._paused(transforms.thinning(field, finest_mm))
        node = transforms.add_sampling_node(self.scene, field, name)
        thinned = "" if finest_mm is None else f" Thinned to about {finest_mm:g} mm."
        meaning = f"Sampling field: where each translated voxel comes from (mm, RAS).{thinned}"
        return self.keep(node, "sampling", meaning)

    def motion(self, ranges: Ranges, box: NDArray[np.float64], region: Any) -> Generator[None, None, Any]:
        if self.moved is None:
            return None
        name = f"{self.name} how the anatomy moved ({self.origin})"
        drawn = yield from self._paused(transforms.thinning(self.moved, transforms.DRAWN_MM, self.hull))
        node = transforms.add_motion_node(self.scene, drawn, name)
        meaning = "Motion: where each point of the source goes (mm, RAS), inside the head, thinned for display."
        self.keep(node, "motion", meaning)
        spacing = display.glyph_spacing(box[1] - box[0])
        views = [view_id(MOTION)]
        display.style_arrows(node, region, ranges.motion_mm, spacing, [view_id(THREE_D)])
        display.style_glyphs(node, region, ranges.motion_mm, spacing, views)
        display.style_grid(node, region, ranges.motion_mm, 0.7 * spacing, views)
        display.style_contours(node, region, ranges.motion_mm, views)
        return node

    def distance(self, ranges: Ranges) -> Generator[None, None, Any]:
        if self.moved is None:
            return None
        thin = yield from self._paused(transforms.thinning(self.moved, transforms.MAPPED_MM, self.hull))
        high = max(ranges.motion_mm, display.SMALLEST_MOTION)
        name = f"{self.name} distance moved (mm, {self.origin})"
        distance = Volume(thin.magnitude(), thin.affine)
        node = volumes.add_volume_node(self.scene, distance, name, levels=(0.0, high))
        display.show_map(self.scene, node, colours.HOW_FAR, 0.0, high)
        most = f"\nat most {display.round_up(ranges.motion_most_mm):.2g}" if ranges.motion_most_mm > high else ""
        display.add_legend(node, f"moved (mm)\n{_origin_words(self.origin)}{most}", "%5.2f")
        return self.keep(node, "distance", "How far each point of the source moved (mm).")

    def velocity(self) -> Any:
        """Velocity from which each strength of the motion is computed, also in a saved scene."""
        if self.translation.velocity is None:
            return None
        node = transforms.add_velocity_node(
            self.scene, self.translation.velocity, f"{self.name} velocity of the motion ({self.origin})"
        )
        meaning = "Stationary velocity (mm, RAS): its exponential is the motion. Not a transform to put anything under."
        return self.keep(node, "velocity", meaning)

    def expansion(self, ranges: Ranges) -> Generator[None, None, Any]:
        jacobian = self.translation.jacobian
        if jacobian is None:
            return None
        array, bounds = jacobian.array, (-ranges.expansion, ranges.expansion)
        name = f"{self.name} shrank or expanded (change of volume in %, {self.origin})"
        node, reached = yield from self._map(jacobian.grid, lambda part: volume_percent(array[part]), name, bounds)
        mark_percent(node)
        show_volume_map(self.scene, node, ranges.expansion, reached)
        return self.keep(
            node, "jacobian", "Change of volume in % inside the head, by the Jacobian of the motion: > 0 expanded."
        )

    def change(self, ranges: Ranges) -> Generator[None, None, Any]:
        added = self.translation.intensity_change
        if added is None:
            return None
        array, bound = added.array, max(ranges.change, 1e-6)
        name = f"{self.name} how the intensity changed"
        node, reached = yield from self._map(added.grid, lambda part: array[part], name, (-bound, bound))
        display.show_map(self.scene, node, colours.INTENSITY, -bound, bound)
        reach = display.reach(reached, bound, display.decimals(bound))
        display.add_legend(node, f"scan units\n+ brighter\n- darker{reach}", f"%5.{display.decimals(bound)}f")
        return self.keep(
            node, "change", "Intensity added to the source before the motion, inside the head, scan's units."
        )

    def extras(self, ranges: Ranges) -> dict[str, Any]:
        """Nodes of the model's additional maps, by name."""
        said, names = self.translation.extras, self.translation.steps
        nodes = add_extras(self.scene, said, names, self.name, self.hull, self.keep)
        title = f"{self.name} {self.attributes['Package']}"
        return nodes | add_steps(self.scene, {step: said[step] for step in names}, title, ranges.grey, self.keep)

    def table(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        if not rows:
            return None
        return self.keep(
            add_table_node(self.scene, rows, f"{self.name} segments"), "segments", "What changed, by segment."
        )

    def outline(self, ranges: Ranges, transaction: Transaction) -> Generator[None, None, Any]:
        node = add_outline_node(self.scene, self.translation.source, f"{self.name} outline", [view_id(THREE_D)])
        yield from transaction.pause()
        if self.translation.jacobian is not None:
            colour_outline(node, self.translation.jacobian, self.hull, max(ranges.expansion, SMALLEST_EXPANSION))
        return self.keep(node, "outline", "Outline of the source; its colour says how the volume under it changed (%).")


def provenance_attributes(translation: Translation, origin: str) -> dict[str, str]:
    """Node attributes with the provenance of a result; all text."""
    record = translation.provenance.to_dict()
    return {
        "Synthetic": "1",
        "Use": SYNTHETIC,
        "FieldOrigin": origin,
        "RecompositionError": f"{translation.recomposition_error:.6g}",
        "Package": translation.provenance.package,
        "Provenance": json.dumps(record, sort_keys=True),
    }


def request_of_node(node: Any) -> str:
    """:func:`request_text` of a node of a result; empty where it has no record."""
    record = node.GetAttribute(f"{PREFIX}Provenance")
    try:
        return request_text(Provenance.from_dict(json.loads(record))) if record else ""
    except (ValueError, InputError):
        return ""


def request_text(made: Provenance) -> str:
    """The request in words: ``age +20``, ``target FLAIR``, ``years +20 from age 60`` (the age is that at the scan)."""
    words = made.in_words(AttributeRole.ASKED)
    for key, value in made.with_roles(AttributeRole.TARGET).items():
        words[key] = made.target or f"{value:+g}"
    requests = [f"{key.replace('_', ' ')} {word}" for key, word in words.items()]
    # A prescribed change has some twenty parts.
    more = f" and {len(requests) - MOST_ASKED} more" if len(requests) > MOST_ASKED else ""
    known = ", ".join(f"{key} {word}" for key, word in made.in_words(AttributeRole.KNOWN).items())
    return ", ".join(requests[:MOST_ASKED]) + more + (f" from {known}" if known else "")


def _headline(translation: Translation) -> str:
    return f"{translation.provenance.package} {request_text(translation.provenance)}".strip()


def _origin_words(origin: str) -> str:
    return {"model": "by the model", "estimated": "ESTIMATED", "identity": "none promised"}.get(origin, origin)
