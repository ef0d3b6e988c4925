"""A translation added to the scene: complete and in one go, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import display, hierarchy, transforms, volumes
from SITTranslateLib.scene.annotation import SYNTHETIC
from SITTranslateLib.scene.extras import add_extras, add_steps
from SITTranslateLib.scene.layout import MOTION, THREE_D, view_id
from SITTranslateLib.scene.surface import add_outline_node
from SITTranslateLib.scene.table import add_table_node
from SITTranslateLib.scene.transaction import all_or_nothing
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import VectorField, Volume

#: Node attributes of ours begin with this.
PREFIX = "SITTranslate."
#: Roles of the nodes of a result; references to them in the parameter node survive saving and loading.
RESULT_ROLES = (
    "source", "translated", "sampling", "motion", "velocity", "distance", "jacobian", "change", "table", "outline",
)  # fmt: skip
#: A Jacobian at or below 0 is folded; in the log2 map it is shown at this bottom.
SMALLEST_JACOBIAN = 1e-3
#: Smallest bounds of the maps: log2 J, and share of the grey levels.
SMALLEST_EXPANSION, SMALLEST_CHANGE = 0.1, 0.02


@dataclass(frozen=True)
class Ranges:
    """What the maps are scaled to, the same in every view.

    Attributes:
        grey: lowest and highest grey level of the scans, native units.
        motion_mm: 99th percentile of |w| inside the head.
        expansion: symmetric bound of log2 J; at least 0.1, or rounding would look like a finding.
        change: symmetric bound of the intensity change, native units; at least 2 % of the grey levels.
        faint: whether the intensity changed by less than 1 % of the grey levels.
    """

    grey: tuple[float, float]
    motion_mm: float
    expansion: float
    change: float
    faint: bool = False


@dataclass
class SceneResult:
    """The nodes of one run. Those that a translation has no data for are None; ``extras`` by the model's names."""

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
    """Add everything a translation says about itself to the scene, in one folder beside the input.

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
    import slicer

    scene = slicer.mrmlScene if scene is None else scene
    ranges, focus, box = measure(translation)
    name = input_node.GetName() if input_node is not None else translation.source.name
    origin = translation.field_origin.value
    with all_or_nothing(scene):
        title = f"{name} translated: {_headline(translation)}"
        if translated_node is not None:
            title = f"{name} to {translated_node.GetName()}: estimated motion"
        folder = hierarchy.run_folder(scene, input_node, title)
        made = _Builder(scene, folder, translation, name, origin)
        source = input_node if input_node is not None else made.scan(translation.source, name, ranges.grey, True)
        translated = translated_node
        if translated is None:
            translated = made.scan(translation.translated, f"{name} translated ({SYNTHETIC})", ranges.grey, False)
        sampling, motion, distance = made.fields(ranges, box, source, sampling_mm)
        velocity = made.velocity()
        jacobian = made.expansion(ranges)
        change = made.change(ranges)
        table = made.table(rows)
        outline = made.outline()
        extras = made.extras(ranges)
    return SceneResult(
        source, translated, sampling, motion, distance, jacobian, change, table, outline, folder, ranges, focus, box,
        origin, made.nodes, velocity, extras,
    )  # fmt: skip


class _Builder:
    """Makes the nodes of one run; each carries provenance and stands in the run's folder."""

    def __init__(self, scene: Any, folder: int, translation: Translation, name: str, origin: str) -> None:
        self.scene, self.folder, self.translation = scene, folder, translation
        self.name, self.origin = name, origin
        self.attributes = provenance_attributes(translation, origin)
        self.nodes: list[Any] = []
        # What a model does to air says nothing; shown, it would hide what it does to the head.
        self.hull = display.head_hull(translation.source.array)

    def inside(self, field: VectorField) -> VectorField:
        """A field that fades to nothing outside the head."""
        return VectorField(field.array * display.faded(self.hull)[..., None], field.affine)

    def keep(self, node: Any, role: str, meaning: str, extra: str = "") -> Any:
        for key, value in (self.attributes | {"Role": role} | ({"Extra": extra} if extra else {})).items():
            node.SetAttribute(PREFIX + key, value)
        node.SetDescription(f"{meaning} {SYNTHETIC.capitalize()}. {self.attributes['Provenance']}")
        hierarchy.put_into(self.scene, self.folder, node)
        self.nodes.append(node)
        return node

    def scan(self, volume: Volume, name: str, grey: tuple[float, float], is_source: bool) -> Any:
        node = volumes.add_volume_node(self.scene, volume, name)
        display.show_scan(node, *grey)
        if is_source:
            hierarchy.put_into(self.scene, self.folder, node)
            return node
        return self.keep(node, "translated", "Translated scan.")

    def fields(
        self, ranges: Ranges, box: NDArray[np.float64], region: Any, sampling_mm: float | None
    ) -> tuple[Any, Any, Any]:
        if self.translation.sampling is None or self.translation.motion is None:
            return None, None, None
        sampling = transforms.add_sampling_node(
            self.scene, self.translation.sampling, f"{self.name} sampling field ({self.origin})", sampling_mm
        )
        thinned = "" if sampling_mm is None else f" Thinned to about {sampling_mm:g} mm."
        self.keep(sampling, "sampling", f"Sampling field: where each translated voxel comes from (mm, RAS).{thinned}")
        moved = self.inside(self.translation.motion)
        motion = transforms.add_motion_node(self.scene, moved, f"{self.name} how the anatomy moved ({self.origin})")
        meaning = "Motion: where each point of the source goes (mm, RAS), inside the head, thinned for display."
        self.keep(motion, "motion", meaning)
        spacing = display.glyph_spacing(box[1] - box[0])
        views = [view_id(MOTION)]
        display.style_arrows(motion, region, ranges.motion_mm, spacing, [view_id(THREE_D)])
        display.style_glyphs(motion, region, ranges.motion_mm, spacing, views)
        display.style_grid(motion, region, ranges.motion_mm, 0.7 * spacing, views)
        display.style_contours(motion, region, ranges.motion_mm, views)
        thin = transforms.thinned(moved, 2.0)
        distance = volumes.add_volume_node(
            self.scene, Volume(thin.magnitude(), thin.affine), f"{self.name} distance moved (mm, {self.origin})"
        )
        high = max(ranges.motion_mm, display.SMALLEST_MOTION)
        display.show_map(self.scene, distance, "how far it moved", 0.0, high)
        display.add_legend(distance, f"moved (mm)\n{_origin_words(self.origin)}", "%5.2f")
        self.keep(distance, "distance", "How far each point of the source moved (mm).")
        return sampling, motion, distance

    def velocity(self) -> Any:
        """What every strength of the motion follows from; with it a saved scene can be worked with again."""
        if self.translation.velocity is None:
            return None
        node = transforms.add_velocity_node(
            self.scene, self.translation.velocity, f"{self.name} velocity of the motion ({self.origin})"
        )
        meaning = "Stationary velocity (mm, RAS): its exponential is the motion. Not a transform to put anything under."
        return self.keep(node, "velocity", meaning)

    def expansion(self, ranges: Ranges) -> Any:
        if self.translation.jacobian is None:
            return None
        logarithm = np.log2(np.maximum(self.translation.jacobian.array, SMALLEST_JACOBIAN))
        node = volumes.add_volume_node(
            self.scene,
            self.translation.jacobian.with_array(logarithm * self.hull),
            f"{self.name} shrank or expanded (log2 Jacobian, {self.origin})",
        )
        bound = max(ranges.expansion, 0.01)
        display.show_map(self.scene, node, "shrank or expanded", -bound, bound)
        display.add_legend(node, "log2 of volume\n+ expanded\n- shrank", "%5.2f")
        return self.keep(
            node, "jacobian", "log2 of the Jacobian of the motion inside the head: > 0 expanded, < 0 shrank."
        )

    def change(self, ranges: Ranges) -> Any:
        if self.translation.intensity_change is None:
            return None
        node = volumes.add_volume_node(
            self.scene,
            self.translation.intensity_change.with_array(self.translation.intensity_change.array * self.hull),
            f"{self.name} how the intensity changed",
        )
        bound = max(ranges.change, 1e-6)
        display.show_map(self.scene, node, "darker or brighter", -bound, bound)
        display.add_legend(node, "scan units\n+ brighter\n- darker", f"%5.{display.decimals(bound)}f")
        return self.keep(
            node, "change", "Intensity added to the source before the motion, inside the head, scan's units."
        )

    def extras(self, ranges: Ranges) -> dict[str, Any]:
        """Nodes of what the model said besides, by its names."""
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

    def outline(self) -> Any:
        node = add_outline_node(self.scene, self.translation.source, f"{self.name} outline", [view_id(THREE_D)])
        return self.keep(node, "outline", "Outline of the source, so that arrows in 3D have a place.")


def measure(translation: Translation) -> tuple[Ranges, NDArray[np.float64], NDArray[np.float64]]:
    """Ranges of the maps, the RAS point where most changed, and the head's box ``(2, 3)`` in RAS mm."""
    source = translation.source.array
    mask = display.head_mask(source)
    score = np.zeros(source.shape, dtype=np.float32)
    motion_mm = expansion = change = 0.0
    if translation.motion is not None:
        length = translation.motion.magnitude()
        motion_mm = display.robust_peak(length, mask)
        score += (length / max(motion_mm, 1e-6)) ** 2
    if translation.jacobian is not None:
        logarithm = np.log2(np.maximum(translation.jacobian.array, SMALLEST_JACOBIAN))
        expansion = display.robust_peak(logarithm, mask)
    if translation.intensity_change is not None:
        change = display.robust_peak(translation.intensity_change.array, mask, 99.5)
        visible = max(change, SMALLEST_CHANGE * float(np.ptp(display.grey_range(source))))
        score += (np.abs(translation.intensity_change.array) / visible) ** 2
    grey = display.grey_range(source)
    span = grey[1] - grey[0]
    ranges = Ranges(
        grey,
        motion_mm,
        max(expansion, SMALLEST_EXPANSION),
        max(change, display.round_up(SMALLEST_CHANGE * span)),
        change < 0.5 * SMALLEST_CHANGE * span,
    )
    return ranges, _focus(np.minimum(score, 4.0) * mask, translation.source), head_box(translation.source, mask)


def _focus(score: NDArray[np.floating], volume: Volume) -> NDArray[np.float64]:
    """The point whose three slices hold most of the change; the middle where nothing changed."""
    if not score.any():
        return volume.grid.centre
    k, j, i = (int(np.argmax(score.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3))
    return volume.grid.to_world(np.array([i, j, k], dtype=np.float64))


def head_box(volume: Volume, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Lowest and highest RAS (mm) of the head, ``(2, 3)``."""
    limits = []
    for axis in range(3):
        profile = np.flatnonzero(mask.sum(axis=tuple(a for a in range(3) if a != axis)) > 5)
        limits.append((profile[0], profile[-1]) if profile.size else (0, volume.shape[axis] - 1))
    (k0, k1), (j0, j1), (i0, i1) = limits
    corners = np.array([[i, j, k] for i in (i0, i1) for j in (j0, j1) for k in (k0, k1)], dtype=np.float64)
    world = volume.grid.to_world(corners)
    return np.stack([world.min(axis=0), world.max(axis=0)])


def provenance_attributes(translation: Translation, origin: str) -> dict[str, str]:
    """Node attributes that say how a result was made; all text."""
    record = translation.provenance.to_dict()
    return {
        "Synthetic": "1",
        "Use": SYNTHETIC,
        "FieldOrigin": origin,
        "RecompositionError": f"{translation.recomposition_error:.6g}",
        "Package": translation.provenance.package,
        "Provenance": json.dumps(record, sort_keys=True),
    }


def request_text(translation: Translation) -> str:
    """What was asked for, as a person would say it: ``age +20``, ``target FLAIR``."""
    made = translation.provenance
    # Steps change nothing, and what the scan is is not what it shall be.
    asked = {key: value for key, value in made.attributes.items() if not key.startswith(("intermediate", "source"))}
    words = {key: f"{value:+g}" for key, value in asked.items()}
    if "target" in words and made.target:
        words["target"] = made.target
    return ", ".join(f"{key.replace('_', ' ')} {word}" for key, word in words.items())


def _headline(translation: Translation) -> str:
    return f"{translation.provenance.package} {request_text(translation)}".strip()


def _origin_words(origin: str) -> str:
    return {"model": "by the model", "estimated": "ESTIMATED", "identity": "none promised"}.get(origin, origin)
