"""Plasticine's tables, for ``sittranslate evaluate plasticine``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.progress import say

#: Steps and samples whose quality and cost are compared.
CHOICES = ((1, 1), (2, 1), (3, 1), (5, 1))


def evaluate_plasticine(runs: Sequence[str], out: Path, labels: Path | None, cache: Path, heads: int) -> None:
    """Held-out simulated heads, as they are and aged: every run beside baselines fitted on training heads.

    Raises:
        InputError: no label maps, no run, or none of Plasticine itself.
    """
    from SITTranslateLib.evaluation.patch_kid import patches
    from SITTranslateLib.training.recipes.plasticine import report
    from SITTranslateLib.training.recipes.plasticine.held_out import POOLS, case_of, cases_of, showing
    from SITTranslateLib.training.recipes.plasticine.recipe import finished
    from SITTranslateLib.training.recipes.plasticine.runs import heads_of
    from SITTranslateLib.training.recipes.plasticine.table import as_markdown

    networks = {name: finished(Path(folder)) for name, _, folder in (entry.partition("=") for entry in runs)}
    judged = [network for _, network in networks.values() if network.guide == "structure"]
    if labels is None or not judged:
        raise InputError("There is nothing to evaluate: give --labels, and --run of a finished run of Plasticine.")
    source, target = judged[0].source, judged[0].target
    config = next(config for config, network in networks.values() if network is judged[0])
    known = heads_of(config.heads, labels, cache)[:12]
    fitted = [case_of(head, n, "training", source, target, 0.0) for n, head in enumerate(known)]
    methods = {**report.baselines(fitted), "the truth itself": report.the_truth}
    for name, (_, network) in networks.items():
        if network.guide == "source":
            methods[name] = report.by_regression(network)
        else:
            methods[f"{name}, without its spatial branch"] = report.by_network(network, moves=False)
            methods[name] = report.by_network(network)
    cases = []
    for group, pool in POOLS.items():
        found = heads_of(showing(pool, source, target), labels, cache)[:heads]
        cases += cases_of(found, f"{group}, aged", source, target, aged=True)
        cases += cases_of(found, f"{group}, as they are", source, target, aged=False)
    summary = report.run(cases, methods, report.segmenting(judged[0].structure), out, patches)
    say(as_markdown(summary))
    for name, (_, network) in networks.items():
        if network.guide == "structure":
            figures = json.dumps(report.card_figures(summary, name), indent=1)
            (out / f"figures-{name}.json").write_text(figures, encoding="utf-8")
            steps = report.steps_table(network, cases[: 2 * heads], CHOICES)
            (out / f"steps-{name}.json").write_text(json.dumps(steps, indent=1), encoding="utf-8")
            say(json.dumps(steps, indent=1))
