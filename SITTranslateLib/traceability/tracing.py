"""Tracing of one pair of scans: estimated field, explanation, segment table, points, verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.arguments import check_progress, instance_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.options import check_device
from SITTranslateLib.traceability.clusters import ACROSS, WITHIN, Cluster, clusters_of, inside_the_brain
from SITTranslateLib.traceability.estimate import (
    Progress,
    check_scan,
    estimated_translation,
    floor_of,
    relation,
    translation_by_transform,
    translation_of_pair,
)
from SITTranslateLib.traceability.explanation import Explanation, explain
from SITTranslateLib.traceability.geometry import Geometry
from SITTranslateLib.traceability.landmarks import write_markups, write_pairs_csv
from SITTranslateLib.traceability.points import TracedPoint, trace_points
from SITTranslateLib.traceability.segments import check_labels, segment_table, whole_measures
from SITTranslateLib.traceability.table import SegmentTable, rounded
from SITTranslateLib.traceability.verdict import judge_table, with_clusters
from SITTranslateLib.translation import NoiseFloor, Translation
from SITTranslateLib.volume import VectorField, Volume

GIVEN = "The motion was made by another program: how much it shows where nothing moves was not measured here."
IDENTICAL = "both images hold the same values, voxel by voxel: nothing was changed"


@dataclass(frozen=True, eq=False)
class PairTrace:
    """Results of tracing a pair of scans.

    Attributes:
        translation: the pair with its estimated field; ``extras`` hold what the source explains and what it does not.
        floor: of the estimate; None for a motion that another program made.
        kind: one contrast, across contrasts, or with a CT.
        identity: contrast map, residual and shares of variance.
        table: measures and verdict of the whole, and of each segment if a segmentation was given.
        points: traced landmarks.
        clusters: of content in the brain that the source does not explain, the largest first.
    """

    translation: Translation
    floor: NoiseFloor | None
    kind: str
    identity: Explanation
    table: SegmentTable
    points: tuple[TracedPoint, ...] = ()
    clusters: tuple[Cluster, ...] = ()

    def floor_sentence(self) -> str:
        """Sentence on the noise floor of the motion, for every label and page that shows it."""
        return GIVEN if self.floor is None else self.floor.sentence()

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        floor = {key: rounded(getattr(self.floor, key, None)) for key in ("mean_mm", "p95_mm", "error_mm")}
        return {
            "kind": self.kind,
            "floor": {"measured_on": getattr(self.floor, "pair", ""), **floor, "meaning": self.floor_sentence()},
            "shares_of_variance": {key: rounded(value) for key, value in self.identity.shares.items()},
            "contrast_map": "identity" if self.identity.contrast_map.is_identity else "fitted",
            **self.table.to_dict(),
            "clusters": [cluster.to_dict() for cluster in self.clusters],
            "points": [
                {
                    "label": point.label,
                    "source_ras_mm": [rounded(value) for value in point.source],
                    "translated_ras_mm": [rounded(value) for value in point.translated],
                    "residual_mm": rounded(point.residual_mm),
                    "traceable": point.traceable,
                    "reason": point.reason,
                }
                for point in self.points
            ],
        }

    def write_tables(self, folder: Path) -> None:
        """Write ``trace.json``, ``segments.csv`` and, if there are points, their pairs as CSV and markups."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        (folder / "trace.json").write_text(text, encoding="utf-8")
        if self.table.rows:
            self.table.to_csv(folder / "segments.csv")
        if self.points:
            write_pairs_csv(folder / "points.csv", list(self.points))
            found = [point for point in self.points if point.traceable]
            places = np.array([point.translated for point in found]).reshape(-1, 3)
            write_markups(folder / "points_translated.mrk.json", [point.label for point in found], places)


def trace_pair(
    source: Any,
    translated: Any,
    labels: Volume | None = None,
    names: dict[int, str] | None = None,
    *,
    translated_labels: Volume | None = None,
    landmarks: tuple[list[str], NDArray[np.float64]] | None = None,
    contrasts: tuple[str, str] | None = None,
    sampling: VectorField | None = None,
    finer: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> PairTrace:
    """Trace any two scans that share space.

    Args:
        source, translated: on any grids; the second is brought to the source's. Volumes, paths, or whatever
            :meth:`Volume.of` takes.
        labels, names: segmentation of the source, on any grid.
        translated_labels: segmentation of the translated scan, for Dice and HD95.
        landmarks: names and RAS points ``(N, 3)`` in the source.
        sampling: where each point of the translated scan comes from, by another program; nothing is then estimated.
        contrasts, finer, device, progress: as in ``estimate``.

    Raises:
        InputError: the scans do not overlap, are constant or label maps, or the segmentation lies elsewhere.
    """
    _check_arguments(labels, names, translated_labels, landmarks, contrasts, sampling, device)
    check_progress(progress)
    source, translated = Volume.of(source), Volume.of(translated)

    def part(stage: str, fraction: float) -> None:
        if progress is not None:
            progress(stage, 0.7 * fraction)

    both = translation_of_pair(source, translated)
    kind, floor = relation(both.source, both.translated, contrasts), None
    if sampling is None:
        pair = estimated_translation(both, contrasts=contrasts, finer=finer, device=device, progress=part)
        floor = floor_of(contrasts, kind)
    else:
        for scan in (both.source, both.translated):
            check_scan(scan)
        pair = translation_by_transform(both, sampling)
    floor_mm = None if floor is None else floor.mean_mm
    part("asking what the source explains", 1.05)
    identity = explain(pair)
    extras = {"explained": identity.explained, "unexplained": identity.unexplained}
    pair = replace(pair, extras=pair.extras | extras)
    part("measuring the segments", 1.25)
    if labels is not None:
        table = segment_table(
            pair, labels, names, translated_labels, unexplained=identity.unexplained, floor_mm=floor_mm
        )
    else:
        whole = whole_measures(pair, Geometry.of(pair), identity.unexplained)
        table = judge_table(SegmentTable(source.name, translated.name, pair.field_origin.value, floor_mm, (), whole))
    explained = {"rest_percent": 100.0 * identity.shares["rest"]}
    limits = WITHIN if identity.contrast_map.is_identity else ACROSS
    found, numbered = clusters_of(identity.unexplained, limits)
    clusters = inside_the_brain(
        found, identity.unexplained.with_array(numbered.astype(np.float32)), pair.source, pair.sampling
    )
    table = with_clusters(judge_table(replace(table, whole=table.whole | explained)), clusters)
    if np.array_equal(pair.source.array, pair.translated.array):
        table = replace(table, reasons=(IDENTICAL,))
    points = () if landmarks is None else tuple(trace_points(pair, landmarks[1], labels=landmarks[0]))
    return PairTrace(pair, floor, kind, identity, table, points, clusters)


def _check_arguments(
    labels: object,
    names: object,
    translated_labels: object,
    landmarks: object,
    contrasts: object,
    sampling: object,
    device: object,
) -> None:
    """Refuse arguments of the wrong type before minutes are spent."""
    if labels is not None:
        check_labels(labels, names, translated_labels)
    if sampling is not None:
        instance_of(sampling, VectorField, "The sampling field")
    if contrasts is not None and not _is_pair_of(contrasts, str):
        raise InputError("The contrasts are the names of both, such as ('T1w', 'T2w').")
    if landmarks is not None:
        if not _is_pair_of(landmarks, object) or not isinstance(landmarks[0], (list, tuple)):  # type: ignore[index]
            raise InputError("Landmarks are a list of names and an array (N, 3) of points in RAS mm.")
        if not hasattr(landmarks[1], "__len__") or len(landmarks[0]) != len(landmarks[1]):  # type: ignore[index]
            raise InputError("There must be as many names as landmarks.")
    check_device(device)


def _is_pair_of(value: object, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(part, kind) for part in value)
