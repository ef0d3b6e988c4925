"""Prescribed change: from a scan, labels of its structures and volume changes to a :class:`Translation`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.arguments import check_progress, instance_of, named_values, number_of, shown
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields.rounding import intensity_step, rounded_volume
from SITTranslateLib.files import check_volume, read_labels, read_volume
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.structure_table import LABELS, PARCELLATION
from SITTranslateLib.systems.prescribed.changes import parsed, ratios
from SITTranslateLib.systems.prescribed.lesions import LARGEST_ML, LesionChange, lesion_change
from SITTranslateLib.systems.prescribed.motion import PrescribedMotion, prescribed_motion, warnings_of
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import Shares, shares_of_labels
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.provenance import hash_of, software_versions
from SITTranslateLib.translate.restoration import on_grid
from SITTranslateLib.translate.structures import find_structures, structure_table
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

#: What a result calls its maker.
PACKAGE, SYSTEM = "prescribed-change", "prescribed"


def prescribe(
    volume: Volume | str | os.PathLike[str],
    labels: Volume | str | os.PathLike[str] | None = None,
    *,
    changes: Mapping[str, object] | None = None,
    preset: str | None = None,
    age: float | None = None,
    years: float | None = None,
    lesions: float | str | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Translation:
    """Change the volumes of structures as prescribed, by a diffeomorphism, and add or remove lesions.

    Args:
        volume: a scan, or the path of one.
        labels: its structures in FreeSurfer's numbers, on any grid; without them the library's parcellation finds them,
            which is less accurate (changes in mL are then refused).
        changes: region (``"hippocampus"``, ``"left thalamus"``, ``"lateral ventricle"``) to its change: a number is
            per cent; texts are ``"-8 %"``, ``"+6 mL"`` or, with ``years``, ``"-1.4 %/y"``. Tissue that is not named
            keeps its volume, fluid gives way, the brain stem and the skull do not move.
        preset: instead of ``changes``: ``healthy-ageing``, ``alzheimer``, ``ms`` or ``ventricles``.
        age: at the scan, for the presets that depend on it.
        years: of a preset and of rates; negative for earlier.
        lesions: mL of white-matter lesions more (or, negative, fewer), as a number or ``"+10 mL"``; on T1w, T2w, FLAIR.
        seed: of the lesions' sites, sizes and shapes.
        progress: called with a stage and the fraction done.

    Returns:
        The translation; ``provenance.attributes`` holds the prescribed per cent by part and the lesions in mL, and
        ``provenance.warnings`` say what was missed by more than half a percentage point.

    Raises:
        InputError: the scan or the labels cannot be used, or a change that is not known or not possible.
    """
    started = time.perf_counter()
    check_progress(progress)
    report = progress or (lambda stage, fraction: None)
    report("reading", 0.0)
    if changes is not None and preset is not None:
        raise InputError("Give either a table of changes or a preset.")
    if changes is None and preset is None and lesions is None:
        raise InputError("Give what to change: either a table of changes or a preset, or lesions.")
    millilitres = 0.0 if lesions is None else _millilitres(lesions)
    seed = TranslationOptions(seed=seed).seed
    table: Mapping[str, object] = named_values(changes, "The changes")
    if preset is not None:
        instance_of(preset, str, "The preset")
    if age is not None:
        age = number_of(age, "The age", 0.0, 120.0)
    if years is not None:
        years = number_of(years, "The number of years", -80.0, 80.0)
    scan = volume if isinstance(volume, Volume) else read_volume(volume)
    check_volume(scan)
    report("finding the structures", 0.1)
    sha256 = ""
    if labels is None:
        if any(parsed(name, value).millilitres for name, value in table.items()):
            raise InputError("Changes in mL need labels: the library's own parcellation is not accurate enough.")
        shares = find_structures(scan)
    else:
        label_map = labels if isinstance(labels, Volume) else _label_map(labels)
        shares, sha256 = shares_of_labels(label_map), hash_of(label_map)
    if preset is not None:
        if years is None:
            raise InputError(f"The preset '{preset[:40]}' needs years: how much later, or (negative) earlier.")
        table = _shown(preset_changes(preset, age, years), shares.volumes_ml)
    asked = ratios(table, shares.volumes_ml, years)
    # Norms are those of a preset's years.
    span = (years, age) if preset is not None else (None, None)
    prescription = Prescription(asked, None if lesions is None else millilitres, *span, sha256)
    translation = _realised(scan, shares, prescription, seed, started, report)
    report("done", 1.0)
    return translation


@dataclass(frozen=True)
class Prescription:
    """What a prescribed change is made with, besides the scan and the seed.

    Attributes:
        ratios: volume after over volume before, by part.
        lesions: mL, negative to remove some; None for no lesions.
        years, age: that the change stands for, for the norms beside it.
        labels_sha256: of the label map of the structures; empty where the library found them.
    """

    ratios: Mapping[str, float]
    lesions: float | None = None
    years: float | None = None
    age: float | None = None
    labels_sha256: str = ""


def prescribe_again(
    scan: Volume, made: Provenance, labels: Volume | str | os.PathLike[str] | None = None
) -> Translation:
    """The prescribed change that a record describes.

    Args:
        labels: the label map that it was made with, if it was made with one.

    Raises:
        InputError: the record holds no prescription, or the label map is missing or another.
    """
    started = time.perf_counter()
    try:
        prescription = Prescription(**(made.prescription or {}))
        asked = {str(part): float(ratio) for part, ratio in prescription.ratios.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError("The record does not hold what the change was prescribed with; prescribe it again.") from error
    if not prescription.labels_sha256:
        shares = find_structures(scan)
    else:
        if labels is None:
            raise InputError("It was made with a label map of its structures, which its folder does not hold; give it.")
        label_map = labels if isinstance(labels, Volume) else _label_map(labels)
        if hash_of(label_map) != prescription.labels_sha256:
            raise InputError("The label map is not the one that it was made with (its sha256 is another).")
        shares = shares_of_labels(label_map)
    absent = sorted(set(asked) - set(shares.volumes_ml))
    if absent:
        raise InputError(f"The scan does not show the {absent[0][:60]}, whose change is in the record.")
    again = _realised(scan, shares, replace(prescription, ratios=asked), made.seed, started)
    if "years" not in made.attributes:
        return again
    # Of a forecast.
    attributes = again.provenance.attributes | {"years": prescription.years or 0.0}
    return replace(again, provenance=replace(again.provenance, attributes=attributes))


def _realised(
    scan: Volume,
    shares: Shares,
    prescription: Prescription,
    seed: int,
    started: float,
    report: Callable[[str, float], None] = lambda stage, fraction: None,
) -> Translation:
    """The translation of a prescription."""
    added = motion = None
    if prescription.lesions is not None:
        report("placing the lesions", 0.15)
        added = lesion_change(scan, shares, prescription.lesions, seed)
    if prescription.ratios:
        report("finding the motion", 0.2)
        motion = prescribed_motion(shares, prescription.ratios, stripped=not locate_head(scan).skull)
    report("restoring the scan's own grid", 0.7)
    return translation_of(scan, motion, added, prescription, seed, started)


def _millilitres(lesions: object) -> float:
    """Lesions in mL from a number or a text.

    Raises:
        InputError: neither.
    """
    found = re.fullmatch(r"\s*([+\-\u2212]?\s*\d+(?:[.]\d+)?)\s*(?:ml)?\s*", str(lesions), re.IGNORECASE)
    if isinstance(lesions, bool) or found is None:
        raise InputError(f"Lesions are given in mL, as 10 or \"-2.5 mL\", not as '{shown(lesions)}'.")
    return number_of(float(found[1].replace("\u2212", "-").replace(" ", "")), "The lesions", -LARGEST_ML, LARGEST_ML)


def _label_map(path: str | os.PathLike[str]) -> Volume:
    array, affine = read_labels(path)
    return Volume(array.astype(np.float32), affine, Path(path).name)


def _shown(table: Mapping[str, float], volumes_ml: Mapping[str, float]) -> dict[str, float]:
    """The regions of a preset that the labels show."""
    shown = {part.removeprefix("left ").removeprefix("right ") for part in volumes_ml}
    return {region: change for region, change in table.items() if region in shown}


def translation_of(
    scan: Volume,
    motion: PrescribedMotion | None,
    lesions: LesionChange | None,
    prescription: Prescription,
    seed: int,
    started: float,
) -> Translation:
    """The parts on the scan's grid; without a motion the anatomy stays where it is."""
    changed, warnings = scan, warnings_of(motion) if motion is not None else ()
    attributes = {part: round(100.0 * (ratio - 1.0), 6) for part, ratio in sorted(prescription.ratios.items())}
    change = None
    if lesions is not None:
        # In steps that the files keep exactly.
        step = intensity_step(scan, scan.with_array(scan.array + lesions.change))
        change = rounded_volume(scan.with_array(lesions.change), step)
        changed = scan.with_array(scan.array + change.array)
        attributes["lesions"] = round(lesions.delivered_ml, 3)
        warnings += lesions.warnings
    moved: dict[str, Any] = dict.fromkeys(("velocity", "motion", "sampling", "jacobian"))
    translated, error = changed, 0.0
    if motion is not None:
        velocity, grid = motion.solution.velocity, scan.grid
        coarse = fields.exponential(velocity)
        sampling = fields.resample_field(fields.exponential(velocity, -1.0), grid)
        translated = fields.warp(changed, sampling)
        error = _recomposition_error(changed, velocity, translated)
        moved = {
            "velocity": velocity,
            "motion": fields.resample_field(coarse, grid),
            "sampling": sampling,
            "jacobian": on_grid(fields.jacobian(coarse), grid, outside=1.0),
        }
    provenance = Provenance(
        package=PACKAGE,
        version="1.0.0",
        sha256=hashlib.sha256(json.dumps(attributes).encode()).hexdigest(),
        system=SYSTEM,
        attributes=attributes,
        seed=seed,
        device="cpu",
        source_sha256=hash_of(scan),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - started, 3),
        software=software_versions(),
        warnings=warnings,
        parts=(*(("velocity",) if motion is not None else ()), *(("intensity_change",) if change is not None else ())),
        prescription=asdict(prescription),
    )
    structures = None
    if motion is not None:
        span = None if prescription.years is None else (prescription.years, prescription.age)
        structures = structure_table(
            {row.part: row.before_ml for row in motion.rows},
            {row.part: row.before_ml * row.reached for row in motion.rows},
            span,
            LABELS if prescription.labels_sha256 else PARCELLATION,
        )
    return Translation(
        source=scan,
        translated=translated.with_array(translated.array, f"{scan.name} translated"),
        intensity_change=change,
        field_origin=FieldOrigin.IDENTITY if motion is None else FieldOrigin.MODEL,
        recomposition_error=error,
        provenance=provenance,
        given_structures=structures,
        **moved,
    )


def _recomposition_error(scan: Volume, velocity: VectorField, translated: Volume) -> float:
    """Largest difference from the scan warped through the coarse field: another path to the same image."""
    through = fields.warp(scan, fields.exponential(velocity, -1.0), grid=scan.grid)
    return float(np.abs(through.array - translated.array).max())
