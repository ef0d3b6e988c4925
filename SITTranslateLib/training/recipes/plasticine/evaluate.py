"""Plasticine's tables, for ``sittranslate evaluate plasticine``."""

from __future__ import annotations

import json

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.patch_kid import patches
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.plasticine import held_out, phantoms, report
from SITTranslateLib.training.recipes.plasticine.held_out import case_of, cases_of, showing
from SITTranslateLib.training.recipes.plasticine.table import table_of

#: Steps and samples whose quality and cost are compared.
CHOICES = ((1, 1), (2, 1), (3, 1), (5, 1))


def evaluate(request: EvaluationRequest) -> None:
    """Held-out phantoms, as they are and aged: every run beside baselines fitted on training phantoms.

    Raises:
        InputError: no label maps, no run, or none of Plasticine itself.
    """
    labels, out, heads = request.labels, request.out, request.count
    networks = {name: recipes.finished(folder)[1:] for name, folder in request.runs.items()}
    own_networks = [network for _, network in networks.values() if network.guide == "structure"]
    if labels is None or not own_networks:
        raise InputError("There is nothing to evaluate: give --labels, and --run of a finished run of Plasticine.")
    source, target = own_networks[0].source, own_networks[0].target
    config = next(config for config, network in networks.values() if network is own_networks[0])
    known = phantoms.phantoms_of(config.heads, labels, request.kept)[:12]
    fitted = [case_of(head, n, "training", source, target, 0.0) for n, head in enumerate(known)]
    methods = {**report.baselines(fitted), "the truth itself": report.the_truth}
    for name, (_, network) in networks.items():
        if network.guide == "source":
            methods[name] = report.by_regression(network)
        else:
            methods[f"{name}, without its spatial branch"] = report.by_network(network, moves=False)
            methods[name] = report.by_network(network)
    cases = []
    for group, pool in held_out.POOLS.items():
        heads_of_group = phantoms.phantoms_of(showing(pool, source, target), labels, request.kept)[:heads]
        cases += cases_of(heads_of_group, f"{group}, aged", source, target, aged=True)
        cases += cases_of(heads_of_group, f"{group}, as they are", source, target, aged=False)
    made = table_of(cases, methods, report.segmenting(own_networks[0].structure), patches)
    made.write(out, "plasticine")
    say(made.markdown())
    for name, (_, network) in networks.items():
        if network.guide == "structure":
            write_json(out / f"figures-{name}.json", made.card_figures(name, report.card_columns(target)))
            steps = report.steps_table(network, cases[: 2 * heads], CHOICES)
            write_json(out / f"steps-{name}.json", steps)
            say(json.dumps(steps, indent=1))
