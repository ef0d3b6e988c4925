"""The tables of SA-UNIT and SASAN, for ``sittranslate evaluate``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.progress import say

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


def evaluate_contrasts(
    runs: Sequence[str],
    out: Path,
    labels: Path | None,
    cache: Path,
    segmenter: Path | None,
    scans: Path | None,
    between: str,
    fluid: float = 0.0,
) -> None:
    """Held-out simulated heads, or with ``scans`` real pairs; every run beside baselines fitted on training heads."""
    from SITTranslateLib.evaluation import cross_contrast_report as report
    from SITTranslateLib.evaluation.cross_contrast_table import as_markdown
    from SITTranslateLib.training.recipes.cross_contrast.recipe import finished

    source, sign, target = between.partition(">")
    if not sign or not source or not target:
        raise InputError(f"'{between[:40]}' is no direction; write it as SOURCE>TARGET, for example T1w>T2w.")
    networks = {}
    for entry in runs:
        name, _, folder = entry.partition("=")
        network = finished(Path(folder))[1]
        networks[name] = towards(network, source, target)
    if labels is None and scans is None:
        raise InputError("There is nothing to evaluate: give --labels, or --scans.")
    methods = {name: report.by_network(network, fluid) for name, network in networks.items()}
    kind = f"{source.lower()}-{target.lower()}"
    if labels is not None and scans is None:
        base = _baselines(labels, cache, source, target)
        judge = report.segmenting(finished(segmenter)[1]) if segmenter is not None else None
        cases = held_out_cases(labels, cache, source, target)
        rows = {**base, "the target's own scan": report.acquired, **methods}
        summary = report.run(cases, rows, out, f"simulated-{kind}", judge)
        say(as_markdown(summary))
        for name in networks:
            columns = _CARD_COLUMNS["CT" if target == "CT" else "MR"]
            figures = json.dumps(report.card_figures(summary, name, columns), indent=1)
            (out / f"figures-{name}-{kind}.json").write_text(figures, encoding="utf-8")
        behaviour = {n: _behaviour(network, networks, cases[0], source, target) for n, network in networks.items()}
        (out / f"behaviour-{kind}.json").write_text(json.dumps(behaviour, indent=1), encoding="utf-8")
        say(json.dumps(behaviour, indent=1))
    if scans is not None:
        from SITTranslateLib.evaluation.real_pairs import case_of, pairs_in

        real = [case_of(name, a, b, target) for name, a, b in pairs_in(scans, source, target)]
        base = _baselines(labels, cache, source, target, whole=True) if labels is not None else {}
        rows = {**base, "transfer curve of this very pair": report.own_curve, **methods}
        fitted = {name: report.matched(method) for name, method in rows.items()}
        say(as_markdown(report.run(real, fitted, out, f"real-{kind}")))


def towards(network: Any, source: str, target: str) -> Any:
    """The network set to translate from one contrast to another.

    Raises:
        InputError: it does not know that direction.
    """
    if hasattr(network, "contrasts"):
        encoders, generators = network.contrasts
        if source not in encoders or target not in generators:
            raise InputError(f"A network of these runs does not translate {source} to {target}.")
        network.contrasts = (source,), (target,)
    elif hasattr(network, "directions"):
        if (source, target) not in network.directions:
            raise InputError(f"A network of these runs does not translate {source} to {target}.")
        network.directions = [(source, target)]
    elif (network.source, network.target) != (source, target):
        raise InputError(f"A network of these runs does not translate {source} to {target}.")
    return network


def held_out_cases(labels: Path, cache: Path, source: str, target: str) -> list[Any]:
    """The held-out heads as cases."""
    from SITTranslateLib.training.engine.held_out import GROUPS, cases_of
    from SITTranslateLib.training.recipes.cross_contrast.runs import heads_of

    return [
        case
        for group, pool in GROUPS.items()
        for case in cases_of(heads_of(pool, labels, cache), group, source, target)
    ]


def _baselines(labels: Path, cache: Path, source: str, target: str, whole: bool = False) -> Mapping[str, Any]:
    from SITTranslateLib.evaluation.cross_contrast_report import baselines
    from SITTranslateLib.training.engine.held_out import SLAB, case_of
    from SITTranslateLib.training.engine.phantoms import SHAPE, PhantomSet
    from SITTranslateLib.training.recipes.cross_contrast.runs import heads_of

    pool = PhantomSet(tuple(f"{n:02d}" for n in range(1, 13)))
    slab = slice(0, SHAPE[0]) if whole else SLAB
    heads = heads_of(pool, labels, cache)[:12]
    return baselines([case_of(head, n, "training", source, target, slab) for n, head in enumerate(heads)])


def _behaviour(network: Any, networks: Mapping[str, Any], case: Any, source: str, target: str) -> dict[str, Any]:
    import copy

    from SITTranslateLib.evaluation import behaviour
    from SITTranslateLib.evaluation.cross_contrast_table import SPANS

    found: dict[str, Any] = {
        "shift_8_voxels": behaviour.shift_error(network, case.source, case.brain),
        "repeats_exactly": behaviour.repeats_exactly(network, case.source),
    }
    if hasattr(network, "encoders") and source in network.generators and target in network.encoders:
        back = towards_again(copy.copy(network), target, source)
        found["cycle_ssim"] = behaviour.cycle_similarity(network, back, case.source, case.brain, SPANS[source])
    return found


def towards_again(network: Any, source: str, target: str) -> Any:
    """The same weights set to another direction."""
    network.contrasts = (source,), (target,)
    return network
