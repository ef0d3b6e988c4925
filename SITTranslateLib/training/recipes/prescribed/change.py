"""``sittranslate evaluate change``: healthy ageing by a package, by structure, on labels that the package does not see.

Scans with manual labels (``--scans``) and simulated heads of label maps that no package was trained on (``--labels``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.files import read_volume
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import parts_named
from SITTranslateLib.training.engine.grid import SPACING_MM
from SITTranslateLib.training.engine.held_out import MAPS
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.random_heads import FINE, affine_of, deformed, head_of, t1w_image
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.prescribed import table
from SITTranslateLib.training.recipes.prescribed.table import AGE, PRESET, YEARS, PrescribedScan
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.volume import Volume

SEED = 2028


@dataclass(frozen=True)
class ChangedScan:
    """One scan, and what is left (mm, in the brain: median, 95th percentile) when the result is translated back,
    the model seeing the result alone."""

    row: PrescribedScan
    again_mm: tuple[float, float]


def request_of(model: LoadedModel, age: float, years: float) -> dict[str, float]:
    """Healthy ageing: years from an age on, or, where a package knows no years, ``age`` as the change."""
    return {"age": years} if model.card.attribute("years") is None else {"age": age, "years": years}


def changed_scan(subject: str, scan: Volume, labels: Volume, model: LoadedModel) -> ChangedScan:
    """A scan aged by a package and back again.

    Args:
        labels: FreeSurfer's numbers, for measuring alone.
    """
    changes = preset_changes(PRESET, AGE, YEARS).items()
    asked = {part: percent for region, percent in changes for part in parts_named(region)}
    started = time.process_time()
    result = translate(scan, model, attributes=request_of(model, AGE, YEARS))
    row = table.measured(subject, result, asked, labels, time.process_time() - started)
    back = translate(result.translated, model, attributes=request_of(model, AGE + YEARS, -YEARS))
    assert result.motion is not None and back.motion is not None
    brain = fields.resample_volume(labels, scan.grid, "nearest").array > 0
    left = fields.compose(back.motion, result.motion).magnitude()[brain]
    return ChangedScan(row, (float(np.median(left)), float(np.percentile(left, 95))))


def held_out_heads(folder: Path, count: int) -> Iterator[tuple[str, Volume, Volume]]:
    """Name, T1w scan (2 mm, every second one without skull) and labels of random heads of the held-out maps."""
    for name in MAPS:
        head = head_of(label_map(folder, name))
        for index in range(count):
            rng = np.random.default_rng([SEED, int(name), index])
            labels = deformed(head, rng, FINE, (5.0, 6.0, 5.0))
            scan = Volume(t1w_image(labels, rng, strip=bool(index % 2)), affine_of(SPACING_MM), f"{name}-{index}")
            yield scan.name, scan, Volume(labels.astype(np.float32), affine_of(1.0), "labels")


def as_markdown(scans: Sequence[ChangedScan], model: str) -> str:
    """By structure: asked, reached (mean and range), mean absolute miss, scans with the right sign."""
    rows = [scan.row for scan in scans]
    lines = [
        f"{model}: {len(rows)} scans, {PRESET} from {AGE:g} years on, {YEARS:+g} years",
        "",
        "| structure | asked % | reached %, mean (range) | mean absolute miss, points | right sign |",
        "|---|---|---|---|---|",
    ]
    for part, asked, reached, span in table.by_part(rows):
        sign = f"{int((reached * asked > 0).sum())} of {reached.size}" if asked else ""
        lines.append(f"| {part} | {asked:+.1f} | {span} | {np.abs(reached - asked).mean():.1f} | {sign} |")
    again = np.array([scan.again_mm for scan in scans])
    lines += [
        "",
        f"Folded voxels: {sum(row.folded for row in rows)}. There and back by the inverse field, 95th percentile in "
        f"the brain: at most {max(row.back_p95_mm for row in rows):.3f} mm; translated back from the result alone: "
        f"median {np.median(again[:, 0]):.2f}, 95th percentile {np.median(again[:, 1]):.2f} mm. Longest motion "
        f"{max(row.longest_mm for row in rows):.1f} mm. CPU seconds a scan: median "
        f"{np.median([row.cpu_seconds for row in rows]):.1f}.",
    ]
    return "\n".join(lines) + "\n"


def evaluate(request: EvaluationRequest) -> None:
    """Make the tables of a package.

    Raises:
        InputError: neither scans with labels nor label maps.
    """
    if request.scans is None and request.labels is None:
        raise InputError("There is nothing to evaluate: give --scans, a folder of *_T1w with *_labels, or --labels.")
    model = load_model(request.model)
    request.out.mkdir(parents=True, exist_ok=True)
    groups: dict[str, Iterator[tuple[str, Volume, Volume]]] = {}
    if request.labels is not None:
        groups["simulated"] = held_out_heads(request.labels, request.count)
    if request.scans is not None:
        pairs = table.scans_in(request.scans)
        groups["real"] = ((s.name.split("_")[0], read_volume(s), table.manual_labels(t)) for s, t in pairs)
    for group, cases in groups.items():
        scans = [changed_scan(name, scan, labels, model) for name, scan, labels in cases]
        text = as_markdown(scans, model.card.name)
        (request.out / f"change-{group}.md").write_text(text, encoding="utf-8")
        write_json(request.out / f"change-{group}.json", [asdict(s) for s in scans])
        say(text)
