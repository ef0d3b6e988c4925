"""Table of SIT: its errors are zero for the truth, and those of the identity baseline are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SITTranslateLib.evaluation.table import Prediction, Unit
from SITTranslateLib.simulation import SimulatedPair, network_grid, prepare_subject, procedural_head, simulate_pair
from SITTranslateLib.systems.sit.network import SITNetwork
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


def the_truth(pair: SimulatedPair) -> Prediction:
    change = pair.intensity_change.array
    return Prediction(pair.target.array, Unit.NATIVE, sampling=pair.sampling, intensity_change=change)


def test_the_truth_has_no_error_and_all_its_change_in_the_right_place(pair: SimulatedPair) -> None:
    figures = sit_table.figures_of(pair, the_truth(pair))
    assert figures["displacement_error"] == figures["rmse_change"] == figures["ventricle_error"] == 0
    assert figures["right_place"] == pytest.approx(100, abs=0.5)


def test_doing_nothing_misses_the_whole_motion(pair: SimulatedPair) -> None:
    figures = sit_table.figures_of(pair, sit_table.identity(pair))
    assert figures["displacement_error"] == pytest.approx(pair.sampling.magnitude()[pair.brain_mask].mean(), rel=1e-4)
    assert figures["ventricle_error"] > 5 and figures["rmse_change"] > 1 and figures["right_place"] == 0


def test_intensity_change_everywhere_is_mostly_in_the_wrong_place(pair: SimulatedPair) -> None:
    spread = replace(the_truth(pair), intensity_change=np.ones(pair.source.shape, np.float32))
    assert sit_table.figures_of(pair, spread)["right_place"] < 20


def test_an_untrained_network_is_as_good_as_doing_nothing(pair: SimulatedPair) -> None:
    network = SITNetwork("dit", ["age", "lesions"], [10.0, 10.0], widths=[8, 12])
    figures = sit_table.figures_of(pair, sit_table.by_network(network, pair))
    nothing = sit_table.figures_of(pair, sit_table.identity(pair))
    assert figures["displacement_error"] == pytest.approx(nothing["displacement_error"], rel=0.01)


def test_the_table_has_a_group_a_scanner_and_figures_for_the_card(pair: SimulatedPair) -> None:
    methods = {"identity": sit_table.identity, "truth@0": the_truth, "truth@1": the_truth}
    table = sit_table.table_of({"training": [pair], "unseen": [pair, pair]}, methods)
    assert set(table.summary()) == {"training", "unseen"} and len(table.rows) == 9
    text = table.markdown({"unseen": "unseen scanner"})
    assert "### unseen scanner" in text and "| truth (2 seeds) | 0.00 ± 0.00 |" in text
    card = table.card_figures("truth@0", sit_table.CARD)
    assert {figure["unit"] for figure in card} == {"%", "mm"}
    assert all(figure["baseline"] > figure["value"] == 0 for figure in card[:5])


def test_published_growth_of_the_ventricles_compounds() -> None:
    assert published_change(20.0) == pytest.approx(80.6, abs=0.1) and published_change(-20.0) < 0
