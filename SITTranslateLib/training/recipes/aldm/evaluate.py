"""The tables of ALDM, for ``sittranslate evaluate aldm``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.baselines import baselines, identity, matched, own_curve
from SITTranslateLib.evaluation.real_pairs import by_person, case_of
from SITTranslateLib.evaluation.table import IDENTITY, Table, measure, write_json
from SITTranslateLib.packages import NetworkGrid
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.held_out import MAPS, whole_cases_of
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.aldm import table as tables
from SITTranslateLib.training.recipes.aldm.phantoms import SHAPE, SPACING_MM, ContrastPhantomSet, phantoms_of

#: Directions that the steps are tried on.
TRIED = (("T1w", "T2w"), ("T2w", "FLAIR"))


def evaluate(request: EvaluationRequest) -> None:
    """Held-out phantoms (``labels``), or real scans (``scans``); runs: ``ALDM=FOLDER``, ``regression=FOLDER``.

    Raises:
        InputError: other runs, or nothing to measure on.
    """
    runs = request.runs
    unknown = sorted(set(runs) - {"ALDM", "regression"})
    if unknown or "ALDM" not in runs:
        raise InputError("Give the runs as --run ALDM=FOLDER and, if there is one, --run regression=FOLDER.")
    if request.labels is None and request.scans is None:
        raise InputError("There is nothing to evaluate: give --labels, or --scans.")
    _, config, network = recipes.finished(runs["ALDM"])
    if not isinstance(network, ALDMNetwork):
        raise InputError(f"The run '{runs['ALDM'].name}' is not one of ALDM.")
    regression = recipes.finished(runs["regression"])[2] if "regression" in runs else None
    request.out.mkdir(parents=True, exist_ok=True)
    if request.labels is not None and request.scans is None:
        _simulated(config, network, regression, request.out, request.labels, request.kept, request.count)
    if request.scans is not None:
        _real(config, network, regression, request.out, request.labels, request.kept, request.scans)


def _simulated(config: Any, network: Any, regression: Any, out: Path, labels: Path, cache: Path, heads: int) -> None:
    held_out = partial(whole_cases_of, phantoms_of(ContrastPhantomSet(MAPS, heads=heads, seed=2026), labels, cache))
    training = partial(whole_cases_of, phantoms_of(config.heads, labels, cache)[:12])
    ways = tables.directions(network.contrasts)
    made = tables.direction_table(training, held_out, ways, tables.methods_of(network, regression))
    _write(out, "directions", tables.as_markdown(made), [vars(row) for row in made.rows])
    better = tables.better_than_the_curve(made)
    say(f"Better than the transfer curve in {sum(better.values())} of {len(better)} directions.")
    _write(out, "better-than-the-curve", json.dumps(better, indent=1), better)
    tried = [way for way in TRIED if way in ways] or ways[:2]
    cases = [case for way in tried for case in held_out(*way)]
    steps = tables.step_table(network, cases)
    _write(out, "steps", tables.steps_as_markdown(steps), steps)
    write_json(out / "figures.json", _card_figures(made))
    paid = tables.cost(network)
    _write(out, "cost", "\n".join(f"| {name} | {value:.2f} |" for name, value in paid.items()), paid)


def _real(config: Any, network: Any, regression: Any, out: Path, labels: Path | None, cache: Path, scans: Path) -> None:
    training = [] if labels is None else phantoms_of(config.heads, labels, cache)[:12]
    rows = []
    for name, files in by_person(scans).items():
        for source, target in tables.directions([c for c in network.contrasts if c in files]):
            case = case_of(name, files[source], files[target], target, NetworkGrid(SPACING_MM, SHAPE))
            known = baselines(_like(whole_cases_of(training, source, target), case)) if training else {}
            methods = {
                IDENTITY: identity,
                **known,
                "transfer curve of this very pair": own_curve,
                **tables.methods_of(network, regression),
            }
            fitted = {method: matched(do) for method, do in methods.items()}
            way = f"{name}, {source} to {target}"
            rows += measure([case], fitted, tables.figures_of, lambda case, way=way: (way, case.name))  # type: ignore[misc]
    if not rows:
        raise InputError(f"There is nobody with two of the contrasts below '{scans.name}'.")
    _write(out, f"real-{scans.name}", tables.as_markdown(Table(tables.COLUMNS, rows)), [vars(row) for row in rows])


def _like(cases: list[Any], case: Any) -> list[Any]:
    """Training cases with skull if the case has one, without if not."""
    return [c for c in cases if c.stripped == case.stripped]


def _write(out: Path, name: str, text: str, records: Any) -> None:
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    write_json(out / f"{name}.json", records)
    say(text)


def _card_figures(table: Table) -> list[dict[str, Any]]:
    """PSNR and SSIM of each target, mean over the MR contrasts that it is made from, beside the identity."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for way, methods in table.summary().items():
        source, _, target = way.partition(" to ")
        if "CT" in (source, target):
            continue
        for method, figures in methods.items():
            for name in ("psnr", "ssim"):
                values.setdefault((target, name, method), []).append(figures[name])
    return [
        {
            "name": f"{title} in the brain, {target} from the other MR contrasts",
            "value": round(sum(own) / len(own), 3),
            "unit": unit,
            "baseline": round(sum(values[target, name, IDENTITY]) / len(own), 3),
            "note": "held-out simulated scans",
        }
        for name, title, unit in (("psnr", "PSNR", "dB"), ("ssim", "SSIM", ""))
        for (target, of, method), own in values.items()
        if method == "ALDM" and of == name
    ]
