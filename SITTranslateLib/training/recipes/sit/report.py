"""Held-out pairs of SIT's table: label maps outside the training, two scanners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np

from SITTranslateLib.evaluation.table import IDENTITY, Prediction, Table
from SITTranslateLib.simulation import SimulatedPair, Subject, draw_scanner, simulate_pair
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.training.engine.grid import training_grid
from SITTranslateLib.training.recipes.sit import table

#: Label maps that no shipped model was trained on.
HELD_OUT = ("13", "14", "15", "16")
SCANNER_TITLES = {"training": "scanner as in training", "unseen": "unseen scanner (gamma, bias, noise, resolution)"}


def held_out_pairs(
    subjects: Iterable[Subject], per_subject: int, spacing_mm: float, seed: int = 2026
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
                        grid=training_grid(subject.centre, spacing_mm),
                        scanner=draw_scanner(scanner, draws),
                        skull_strip=bool(repeat % 2),
                    )
                )
    return pairs


def table_of(pairs: Mapping[str, list[SimulatedPair]], networks: Mapping[str, SITNetwork]) -> Table:
    """Every network beside the identity."""
    methods: dict[str, Callable[[SimulatedPair], Prediction]] = {IDENTITY: table.identity}
    methods |= {name: partial(table.by_network, network) for name, network in networks.items()}
    return table.table_of(pairs, methods)
