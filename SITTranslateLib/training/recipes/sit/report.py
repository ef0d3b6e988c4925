"""Running SIT's table: held-out label maps, two scanners, every method, files for documents and cards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from SITTranslateLib.simulation import SimulatedPair, Subject, draw_scanner, simulate_pair
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.training.recipes.sit import table as sit_table
from SITTranslateLib.volume import Grid

#: Label maps that no shipped model was trained on.
HELD_OUT = ("13", "14", "15", "16")
SCANNER_TITLES = {"training": "scanner as in training", "unseen": "unseen scanner (gamma, bias, noise, resolution)"}


def held_out_pairs(
    subjects: Iterable[Subject], per_subject: int, grid_shape: tuple[int, int, int], seed: int = 2026
) -> dict[str, list[SimulatedPair]]:
    """The same people and changes on both scanners; ages and loads spread over the model's range."""
    pairs: dict[str, list[SimulatedPair]] = {name: [] for name in SCANNER_TITLES}
    for number, subject in enumerate(subjects):
        for repeat in range(per_subject):
            draws = np.random.default_rng([seed, number, repeat])
            years = float(draws.choice([-1, 1]) * draws.uniform(8, 28))
            load, later = (float(x) for x in draws.uniform(0, 25, size=2))
            for scanner, group in pairs.items():
                group.append(
                    simulate_pair(
                        subject,
                        int(seed + 1000 * number + repeat),
                        age_change=years,
                        lesion_load=load,
                        lesion_change=later - load,
                        grid=Grid.centred(subject.centre, grid_shape, spacing_mm=2.0),
                        scanner=draw_scanner(scanner, draws),
                        skull_strip=bool(repeat % 2),
                    )
                )
    return pairs


def run(
    pairs: Mapping[str, list[SimulatedPair]], networks: Mapping[str, SITNetwork], folder: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """Table of every network beside doing nothing; writes ``sit.md``, ``sit.json`` and returns the means."""
    methods = {"do nothing": sit_table.do_nothing} | {
        name: partial(sit_table.by_network, network) for name, network in networks.items()
    }
    rows = sit_table.run_table(pairs, methods)
    summary = sit_table.summarise(rows)
    folder.mkdir(parents=True, exist_ok=True)
    titled = {SCANNER_TITLES[name]: methods for name, methods in sit_table.over_seeds(summary).items()}
    (folder / "sit.md").write_text(sit_table.as_markdown(titled), encoding="utf-8")
    records = [vars(row) for row in rows]
    (folder / "sit.json").write_text(json.dumps({"summary": summary, "rows": records}, indent=1), encoding="utf-8")
    return summary


def card_figures(summary: Mapping[str, Mapping[str, Mapping[str, float]]], method: str) -> list[dict[str, Any]]:
    """Figures of one method for a model card, each with doing nothing as its baseline."""
    units = {"rmse_change": "%", "rmse_brain": "%", "ventricle_error": "%", "right_place": "%"}
    return [
        {
            "name": f"{sit_table.COLUMNS[column]}, {SCANNER_TITLES[scanner]}",
            "value": round(figures[method][column], 3),
            "unit": units.get(column, "mm"),
            "baseline": round(figures["do nothing"][column], 3),
            "note": "held-out simulated scans",
        }
        for scanner, figures in summary.items()
        for column in sit_table.COLUMNS
    ]
