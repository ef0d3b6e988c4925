"""Table of systems that trained on the same fold of real visits: T1w from T2w and back, on those left out.

A run of any recipe says in its config which fold it trained on; a package is taken to have seen none of the visits.
Rows are the curves of :mod:`.table` and each run, on the visits that every run left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.contrast_metrics import Array, shell_of
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.systems.regression.multi_contrast import MultiContrastNetwork
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.recipe import Recipe
from SITTranslateLib.training.engine.visits import VISITS, held_out_visits, training_visits
from SITTranslateLib.training.recipes.real_contrasts import table
from SITTranslateLib.training.recipes.real_contrasts.summary import mean_rows
from SITTranslateLib.training.recipes.real_contrasts.table import Cases, Row, Standardised
from SITTranslateLib.translate.model import load_model

DIRECTIONS = (("T1w", "T2w"), ("T2w", "T1w"))
MARGIN = 8
"""Voxels about the part of a scan that counts which a network of 1 mm sees."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A row of the table: a network with its recipe, and the fold that it trained on (empty for a package)."""

    recipe: Recipe
    network: Any
    fold: str


def entries_of(runs: Mapping[str, Path]) -> dict[str, Entry]:
    """Runs and packages by the names of their rows.

    Raises:
        InputError: a run that did not train on real visits.
    """
    found = {}
    for name, folder in runs.items():
        if (folder / "model.json").is_file():
            model = load_model(folder, "cpu")
            found[name] = Entry(recipes.for_system(model.package.card.system.name), model.network, "")
            continue
        recipe, config, network = recipes.finished(folder)
        fold = getattr(config, "fold", "") or getattr(getattr(config, "heads", None), "fold", "")
        if not fold:
            raise InputError(f"The run '{name[:40]}' did not train on real visits, so that nobody is left out.")
        found[name] = Entry(recipe, network, fold)
    return found


def fold_of(entries: Mapping[str, Entry]) -> str:
    """The fold that all runs trained on.

    Raises:
        InputError: runs of several folds, or none.
    """
    folds = {entry.fold for entry in entries.values()} - {""}
    if len(folds) != 1:
        raise InputError("The runs of one table train on one fold of real visits.")
    return folds.pop()


def rows_of(entries: Mapping[str, Entry], cases: Cases) -> Iterator[Row]:
    """Baselines and every run, on the visits with both contrasts that the runs' fold leaves out.

    Raises:
        InputError: runs of several folds, or none.
    """
    fold = fold_of(entries)
    others = [cases.of(visit) for visit in training_visits(fold)]
    for visit in held_out_visits(fold):
        case = cases.of(visit)
        alike = [cases.of(v) for v in VISITS if v.scanner == visit.scanner and v.subject != visit.subject]
        shell = shell_of(case.lesions & case.brain, case.brain) if case.lesions.any() else None
        for source, target in DIRECTIONS:
            images = table.baselines_of(case, others, alike, source, target)
            for name, entry in entries.items():
                try:
                    network, asked = entry.recipe.towards(entry.network, source, target)
                except InputError:
                    continue
                requests = {name: asked}
                if entry.recipe.without_diffusion:
                    method, at, seed = name.partition("@")
                    requests[f"{method}, no diffusion step{at}{seed}"] = {**asked, "steps": 0.0}
                for row, request in requests.items():
                    images[row] = made_by(network, request, entry.recipe.spacing_mm, case, source, target)
            yield from table.rows_of_images(visit, case, shell, source, target, images)


@torch.inference_mode()
def made_by(
    network: Any, asked: Mapping[str, float], spacing_mm: float, case: Standardised, source: str, target: str
) -> Array:
    """A network's translation at 1 mm, linear between its voxels if these are larger; any units."""
    image = case.images[source]
    if isinstance(network, MultiContrastNetwork):
        return table.answer_of(network, image, source).means[target]
    torch.manual_seed(0)
    affine, factor = np.diag([spacing_mm] * 3 + [1.0]), round(spacing_mm)
    if factor > 1:
        coarse = network.translate(nn.functional.avg_pool3d(image, factor), asked, affine).translated
        return nn.functional.interpolate(coarse, scale_factor=factor, mode="trilinear")[0, 0].numpy()
    profiles = [np.flatnonzero(case.brain.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    k, j, i = (slice(max(0, int(where[0]) - MARGIN), int(where[-1]) + MARGIN + 1) for where in profiles)
    whole = np.zeros(image.shape[2:], np.float32)
    seen = image[:, :, k, j, i].contiguous()
    whole[k, j, i] = network.translate(seen, asked, affine).translated[0, 0].numpy()
    return whole


def as_markdown(rows: Sequence[Row]) -> str:
    """One table a direction: means over subjects, with the lowest and highest SSIM.

    Runs named ``METHOD@SEED`` stand in one row, the mean of their seeds, with the SSIM of each.
    """
    means = mean_rows([replace(row, method=row.method.partition("@")[0]) for row in rows])
    by_seed = mean_rows(rows)
    parts = []
    for source, target in dict.fromkeys((row.source, row.target) for row in rows):
        mine = {key[3]: values for key, values in means.items() if key[1:3] == (source, target)}
        first = next(iter(mine.values()))
        parts.append(
            f"**{source} to {target}** ({first['subjects']:.0f} people; lesion AUC of the acquired {target} "
            f"{first['truth_auc']:.2f}, jitter {first['truth_jitter']:.3f})\n\n"
            "| method | SSIM (lowest to highest person) | by seed | PSNR (dB) | sharpness | lesion AUC | jitter |\n"
            "|---|---|---|---|---|---|---|"
        )
        for method, v in mine.items():
            seeds = [
                values["ssim"]
                for (_, *way, name), values in by_seed.items()
                if way == [source, target] and name.startswith(f"{method}@")
            ]
            parts[-1] += (
                f"\n| {method} | {v['ssim']:.3f} ({v['ssim_low']:.3f} to {v['ssim_high']:.3f}) "
                f"| {', '.join(f'{value:.3f}' for value in seeds)} | {v['psnr']:.1f} "
                f"| {v['sharpness']:.2f} | {v['auc']:.2f} | {v['jitter']:.3f} |"
            )
    return "\n\n".join(parts) + "\n"


def write(rows: Sequence[Row], out: Path) -> None:
    """``systems.md`` and ``systems.json`` below a folder."""
    (out / "systems.md").write_text(as_markdown(rows), encoding="utf-8")
    write_json(out / "systems.json", [asdict(row) for row in rows])
