"""Prescribed change: from a scan, labels of its structures and volume changes to a :class:`Translation`."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.arguments import check_progress, instance_of, named_values, number_of
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import check_volume, read_labels, read_volume
from SITTranslateLib.structure_table import LABELS
from SITTranslateLib.systems.prescribed.changes import ratios
from SITTranslateLib.systems.prescribed.motion import PrescribedMotion, prescribed_motion, warnings_of
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import shares_of_labels
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.pipeline import hash_of, software_versions
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translate.structures import structure_table
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

#: What a result calls its maker.
PACKAGE, SYSTEM = "prescribed-change", "prescribed"


def prescribe(
    volume: Volume | str | os.PathLike[str],
    labels: Volume | str | os.PathLike[str],
    *,
    changes: Mapping[str, object] | None = None,
    preset: str | None = None,
    age: float | None = None,
    years: float | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Translation:
    """Change the volumes of structures as prescribed, by a diffeomorphism.

    Args:
        volume: a scan, or the path of one.
        labels: its structures in FreeSurfer's numbers, on any grid.
        changes: region (``"hippocampus"``, ``"left thalamus"``, ``"lateral ventricle"``) to its change: a number is
            per cent; texts are ``"-8 %"``, ``"+6 mL"`` or, with ``years``, ``"-1.4 %/y"``. Tissue that is not named
            keeps its volume, fluid gives way, the brain stem and the skull do not move.
        preset: instead of ``changes``: ``healthy-ageing``, ``alzheimer``, ``ms`` or ``ventricles``.
        age: at the scan, for the presets that depend on it.
        years: of a preset and of rates; negative for earlier.
        progress: called with a stage and the fraction done.

    Returns:
        The translation; ``provenance.attributes`` holds the prescribed per cent by part, and ``provenance.warnings``
        say what was missed by more than half a percentage point.

    Raises:
        InputError: the scan or the labels cannot be used, or a change that is not known or not possible.
    """
    started = time.perf_counter()
    check_progress(progress)
    report = progress or (lambda stage, fraction: None)
    report("reading", 0.0)
    if (changes is None) == (preset is None):
        raise InputError("Give either a table of changes or a preset.")
    table: Mapping[str, object] = named_values(changes, "The changes")
    if preset is not None:
        instance_of(preset, str, "The preset")
    if age is not None:
        age = number_of(age, "The age", 0.0, 120.0)
    if years is not None:
        years = number_of(years, "The number of years", -80.0, 80.0)
    scan = volume if isinstance(volume, Volume) else read_volume(volume)
    check_volume(scan)
    label_map = labels if isinstance(labels, Volume) else _label_map(labels)
    report("finding the structures", 0.1)
    shares = shares_of_labels(label_map)
    if preset is not None:
        if years is None:
            raise InputError(f"The preset '{preset[:40]}' needs years: how much later, or (negative) earlier.")
        table = _shown(preset_changes(preset, age, years), shares.volumes_ml)
    asked = ratios(table, shares.volumes_ml, years)
    report("finding the motion", 0.2)
    motion = prescribed_motion(shares, asked, stripped=not locate_head(scan).skull)
    report("restoring the scan's own grid", 0.7)
    known = None if preset is None or years is None else (years, age)
    translation = replace(
        _translation(scan, motion, asked, started),
        given_structures=structure_table(
            {row.part: row.before_ml for row in motion.rows},
            {row.part: row.before_ml * row.reached for row in motion.rows},
            known,
            LABELS,
        ),
    )
    report("done", 1.0)
    return translation


def _label_map(path: str | os.PathLike[str]) -> Volume:
    array, affine = read_labels(path)
    return Volume(array.astype(np.float32), affine, Path(path).name)


def _shown(table: Mapping[str, float], volumes_ml: Mapping[str, float]) -> dict[str, float]:
    """The regions of a preset that the labels show."""
    shown = {part.removeprefix("left ").removeprefix("right ") for part in volumes_ml}
    return {region: change for region, change in table.items() if region in shown}


def _translation(scan: Volume, motion: PrescribedMotion, asked: Mapping[str, float], started: float) -> Translation:
    velocity, grid = motion.solution.velocity, scan.grid
    coarse = fields.exponential(velocity)
    sampling = fields.resample_field(fields.exponential(velocity, -1.0), grid)
    translated = fields.warp(scan, sampling)
    percent = {part: round(100.0 * (ratio - 1.0), 6) for part, ratio in sorted(asked.items())}
    provenance = Provenance(
        package=PACKAGE,
        version="1.0.0",
        sha256=hashlib.sha256(json.dumps(percent).encode()).hexdigest(),
        system=SYSTEM,
        attributes=percent,
        seed=0,
        device="cpu",
        source_sha256=hash_of(scan),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - started, 3),
        software=software_versions(),
        warnings=warnings_of(motion),
    )
    return Translation(
        source=scan,
        translated=translated.with_array(translated.array, f"{scan.name} translated"),
        velocity=velocity,
        motion=fields.resample_field(coarse, grid),
        sampling=sampling,
        jacobian=on_grid(fields.jacobian(coarse), grid, outside=1.0),
        intensity_change=None,
        field_origin=FieldOrigin.MODEL,
        recomposition_error=_recomposition_error(scan, velocity, translated),
        provenance=provenance,
    )


def _recomposition_error(scan: Volume, velocity: VectorField, translated: Volume) -> float:
    """Largest difference from the scan warped through the coarse field: another path to the same image."""
    through = fields.warp(scan, fields.exponential(velocity, -1.0), grid=scan.grid)
    return float(np.abs(through.array - translated.array).max())
