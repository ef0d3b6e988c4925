"""The table of SIT: its rulers are zero for the truth, and say what doing nothing costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SITTranslateLib.simulation import SimulatedPair, network_grid, prepare_subject, procedural_head, simulate_pair
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.training.recipes.sit import report as sit_report
from SITTranslateLib.training.recipes.sit import table as sit_table
from SITTranslateLib.training.recipes.sit.real_scans import published_change


@pytest.fixture(scope="module")
def pair() -> SimulatedPair:
    subject = prepare_subject(procedural_head(1, spacing=3.0))
    return simulate_pair(
        subject,
        5,
        age_change=20.0,
        lesion_load=5.0,
        lesion_change=10.0,
        scanner=None,
        grid=network_grid(subject.centre),
    )


def the_truth(pair: SimulatedPair) -> sit_table.Result:
    return sit_table.Result(pair.target.array, pair.sampling.array, pair.intensity_change.array)


def test_the_truth_has_no_error_and_all_its_change_in_the_right_place(pair: SimulatedPair) -> None:
    figures = sit_table.figures_of(pair, the_truth(pair))
    assert figures["displacement_error"] == figures["rmse_change"] == figures["ventricle_error"] == 0
    assert figures["right_place"] == pytest.approx(100, abs=0.5)


def test_doing_nothing_misses_the_whole_motion(pair: SimulatedPair) -> None:
    figures = sit_table.figures_of(pair, sit_table.do_nothing(pair))
    assert figures["displacement_error"] == pytest.approx(pair.sampling.magnitude()[pair.brain_mask].mean(), rel=1e-4)
    assert figures["ventricle_error"] > 5 and figures["rmse_change"] > 1 and figures["right_place"] == 0


def test_intensity_change_everywhere_is_mostly_in_the_wrong_place(pair: SimulatedPair) -> None:
    spread = replace(the_truth(pair), intensity_change=np.ones(pair.source.shape, np.float32))
    assert sit_table.figures_of(pair, spread)["right_place"] < 20


def test_an_untrained_network_is_as_good_as_doing_nothing(pair: SimulatedPair) -> None:
    network = SITNetwork("dit", ["age", "lesions"], [10.0, 10.0], widths=[8, 12])
    figures = sit_table.figures_of(pair, sit_table.by_network(network, pair))
    nothing = sit_table.figures_of(pair, sit_table.do_nothing(pair))
    assert figures["displacement_error"] == pytest.approx(nothing["displacement_error"], rel=0.01)


def test_runs_of_one_method_are_averaged_and_cards_keep_the_baseline() -> None:
    def row(value: float) -> dict[str, float]:
        return dict.fromkeys(sit_table.COLUMNS, value)

    summary = {"unseen": {"do nothing": row(9.0), "sit@0": row(1.0), "sit@1": row(3.0)}}
    table = sit_table.over_seeds(summary)
    assert table["unseen"]["sit (2 seeds)"]["rmse_brain"] == "2.00 ± 1.41"
    assert "| do nothing | 9.00" in sit_table.as_markdown(table)
    card = sit_report.card_figures(summary, "sit@0")
    assert all(figure["value"] == 1.0 and figure["baseline"] == 9.0 for figure in card)


def test_published_growth_of_the_ventricles_compounds() -> None:
    assert published_change(20.0) == pytest.approx(80.6, abs=0.1) and published_change(-20.0) < 0
