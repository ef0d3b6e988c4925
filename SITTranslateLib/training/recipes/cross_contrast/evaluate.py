"""The tables between two contrasts, for ``sittranslate evaluate sa-unit`` and ``sasan``."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation import behaviour
from SITTranslateLib.evaluation.baselines import baselines, matched, own_curve
from SITTranslateLib.evaluation.cases import SPANS, Case
from SITTranslateLib.evaluation.real_pairs import case_of as real_case
from SITTranslateLib.evaluation.real_pairs import pairs_in
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.held_out import GROUPS, SLAB, case_of, cases_of
from SITTranslateLib.training.engine.phantoms import SHAPE, PhantomSet, phantoms_of
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.cross_contrast import table as tables

#: Columns that model cards show.
_CARD_COLUMNS = {
    "MR": {
        "ssim": ("SSIM in the brain", ""),
        "psnr": ("PSNR in the brain", "dB"),
        "dice": ("tissue Dice by a fixed segmenter", ""),
    },
    "CT": {
        "mae": ("MAE", "HU"),
        "psnr": ("PSNR", "dB"),
        "ssim": ("SSIM", ""),
        "dice_bone": ("Dice of bone", ""),
        "own_dice": ("tissue Dice of its own segmentation", ""),
    },
}


def evaluate(request: EvaluationRequest) -> None:
    """Held-out phantoms, or with ``scans`` real pairs; every run beside baselines fitted on training phantoms.

    Raises:
        InputError: no direction, nothing to measure on, or a run that does not translate that way.
    """
    out, labels, scans = request.out, request.labels, request.scans
    between = request.between or ("T1w>CT" if request.system == "sasan" else "T1w>T2w")
    source, sign, target = between.partition(">")
    if not sign or not source or not target:
        raise InputError(f"'{between[:40]}' is no direction; write it as SOURCE>TARGET, for example T1w>T2w.")
    networks = {name: _one_way(folder, source, target) for name, folder in request.runs.items()}
    if labels is None and scans is None:
        raise InputError("There is nothing to evaluate: give --labels, or --scans.")
    methods = {name: tables.by_network(network, request.fluid) for name, network in networks.items()}
    kind = f"{source.lower()}-{target.lower()}"
    if labels is not None and scans is None:
        base = _baselines(labels, request.kept, source, target)
        judge = tables.segmenting(recipes.finished(request.segmenter)[2]) if request.segmenter is not None else None
        cases = held_out_cases(labels, request.kept, source, target)
        rows = {**base, "the target's own scan": tables.acquired, **methods}
        table = tables.table_of(cases, rows, judge)
        table.write(out, f"simulated-{kind}")
        say(table.markdown())
        for name in networks:
            columns = _CARD_COLUMNS["CT" if target == "CT" else "MR"]
            write_json(out / f"figures-{name}-{kind}.json", table.card_figures(name, columns))
        properties = {n: _behaviour(network, cases[0], source, target) for n, network in networks.items()}
        write_json(out / f"behaviour-{kind}.json", properties)
        say(json.dumps(properties, indent=1))
    if scans is not None:
        real = [real_case(name, a, b, target) for name, a, b in pairs_in(scans, source, target)]
        base = _baselines(labels, request.kept, source, target, whole=True) if labels is not None else {}
        rows = {**base, "transfer curve of this very pair": own_curve, **methods}
        fitted = {name: matched(method) for name, method in rows.items()}
        table = tables.table_of(real, fitted)
        table.write(out, f"real-{kind}")
        say(table.markdown())


def _one_way(folder: Path, source: str, target: str) -> Any:
    recipe, _, network = recipes.finished(folder)
    return recipe.towards(network, source, target)[0]


def held_out_cases(labels: Path, cache: Path, source: str, target: str) -> list[Case]:
    """The held-out phantoms as cases."""
    return [
        case
        for group, pool in GROUPS.items()
        for case in cases_of(phantoms_of(pool, labels, cache), group, source, target)
    ]


def _baselines(labels: Path, cache: Path, source: str, target: str, whole: bool = False) -> Mapping[str, Any]:
    pool = PhantomSet(tuple(f"{n:02d}" for n in range(1, 13)))
    slab = slice(0, SHAPE[0]) if whole else SLAB
    heads = phantoms_of(pool, labels, cache)[:12]
    return baselines([case_of(head, n, "training", source, target, slab) for n, head in enumerate(heads)])


def _behaviour(network: Any, case: Any, source: str, target: str) -> dict[str, Any]:
    measured: dict[str, Any] = {
        "shift_8_voxels": behaviour.shift_error(network, case.source, case.brain),
        "repeats_exactly": behaviour.repeats_exactly(network, case.source),
    }
    if hasattr(network, "encoders") and source in network.generators and target in network.encoders:
        back = copy.copy(network)
        back.contrasts = (target,), (source,)
        measured["cycle_ssim"] = behaviour.cycle_similarity(network, back, case.source, case.brain, SPANS[source])
    return measured
