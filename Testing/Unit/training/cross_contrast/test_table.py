"""Tables between two contrasts: metrics are exact for the truth and robust to known artefacts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from slow_similarity import slow_ssim
from tiny_phantoms import tiny_phantom

from SITTranslateLib import systems
from SITTranslateLib.evaluation import behaviour, metrics
from SITTranslateLib.evaluation.baselines import baselines, fit_transfer_curve, matched, own_curve
from SITTranslateLib.evaluation.cases import Case
from SITTranslateLib.evaluation.real_pairs import case_of as real_case
from SITTranslateLib.evaluation.real_pairs import pairs_in
from SITTranslateLib.evaluation.table import Prediction, Unit
from SITTranslateLib.training.engine.held_out import case_of
from SITTranslateLib.training.recipes.cross_contrast.table import acquired, by_network, figures_of, segmenting, table_of

SLAB = slice(0, 16)


def a_case(target: str = "T2w", seed: int = 1) -> Case:
    return case_of(tiny_phantom(seed), 0, "simulated", "T1w", target, SLAB)


def test_the_truth_is_perfect_and_noise_is_not() -> None:
    case = a_case()
    exact = figures_of(case, Prediction(case.truth, Unit.NETWORK), None)
    assert exact["ssim"] == pytest.approx(1.0) and exact["mae"] == 0 and exact["flicker"] == 0
    assert figures_of(case, acquired(case), None)["ssim"] < 1.0


def test_ssim_is_that_of_its_formula() -> None:
    case = a_case()
    few = np.zeros_like(case.brain)
    few[tuple(np.argwhere(case.brain)[::97].T)] = True
    padded = [np.pad(v, 8, mode="symmetric") for v in (case.source, case.truth)]
    fast = metrics.ssim(*padded, np.pad(few, 8), 1.5)
    assert fast == pytest.approx(slow_ssim(case.source, case.truth, case.brain, 1.5), abs=1e-6)


def test_air_around_the_head_does_not_raise_the_figures() -> None:
    """The identity baseline reaches the poster's 0.75 in a large field of view, but not in a mask."""
    case = a_case()
    wide = [np.pad(v, ((4, 4), (20, 20), (20, 20))) for v in (case.source, case.truth, case.brain)]
    inside = metrics.ssim(case.source, case.truth, case.brain, 1.5)
    assert metrics.ssim(*wide, 1.5) == pytest.approx(inside, abs=0.02)
    everywhere = metrics.ssim(wide[0], wide[1], np.ones_like(wide[2]), 1.5)
    assert everywhere > inside + 0.3


def test_the_best_curve_is_exact_where_intensity_says_all() -> None:
    source = np.random.default_rng(0).uniform(0, 1, 200_000).astype(np.float32)
    curve = fit_transfer_curve([(source, (1.5 - source**2).astype(np.float32))])
    np.testing.assert_allclose(curve(np.array([0.2, 0.7], np.float32)), [1.46, 1.01], atol=0.01)


def test_flicker_sees_slices_that_jump_and_not_a_steady_error() -> None:
    case = a_case()
    jumping = case.truth + 0.1 * (np.arange(16) % 2).reshape(-1, 1, 1).astype(np.float32)
    assert metrics.flicker(case.truth + 0.1, case.truth, case.brain, 20) == pytest.approx(0, abs=1e-6)
    assert metrics.flicker(jumping, case.truth, case.brain, 20) == pytest.approx(0.1, rel=0.01)
    assert metrics.through_plane_error(jumping, case.truth, case.brain) == pytest.approx(0.1, rel=0.01)


def test_surfaces_two_voxels_apart_are_so_in_mm() -> None:
    one = np.zeros((20, 20, 20), bool)
    one[5:15, 5:15, 5:15] = True
    moved = np.roll(one, 2, axis=0)
    distance = metrics.surface_distance(one, moved, (2.0, 1.0, 1.0))
    assert 0.5 < distance < 4.0 and metrics.surface_distance(one, one, (2.0, 1.0, 1.0)) == 0
    assert np.isnan(metrics.surface_distance(one, np.zeros_like(one), (1.0, 1.0, 1.0)))


def test_a_linear_match_undoes_units_and_nothing_else() -> None:
    case = a_case()
    fitted = metrics.matched_linearly(3 * case.truth + 7, case.truth, case.brain)
    np.testing.assert_allclose(fitted[case.brain], case.truth[case.brain], atol=1e-4)


def test_the_whole_report_for_ct_and_t2(tmp_path: Path) -> None:
    sasan = systems.create("sasan", {
        "directions": ["T1w>CT"], "attention_widths": [4, 6, 8], "widths": [4, 6, 8], "hidden": 4,
    }).eval()  # fmt: skip
    judge = systems.create("regression", {"source": "T2w", "target": "classes", "widths": [4, 6], "outputs": 6}).eval()
    unit = systems.create("sa_unit", {
        "encoders": ["T1w", "T2w"], "generators": ["T2w", "T1w"], "base": 4, "width": 8, "blocks": 1,
    }).eval()  # fmt: skip
    for target, network, segmenter in (("CT", sasan, None), ("T2w", unit, segmenting(judge))):
        training = [case_of(tiny_phantom(n), n, "training", "T1w", target, SLAB) for n in range(4)]
        methods = baselines(training) | {"net": by_network(network)}
        cases = [a_case(target, 7)]
        table = table_of(cases, methods, segmenter)
        summary = table.write(tmp_path, target)["simulated"]
        assert summary["best global transfer curve"]["mae"] < summary["identity"]["mae"]
        wanted = {"own_dice", "own_assd", "dice_bone"} if target == "CT" else {"dice_grey"}
        assert wanted <= set(summary["net"])
        assert json.loads((tmp_path / f"{target}.json").read_text(encoding="utf-8"))["rows"]
        assert "| identity |" in (tmp_path / f"{target}.md").read_text(encoding="utf-8")
        card = table.card_figures("net", {"mae": ("MAE", "")})
        assert card[0]["baseline"] == round(summary["identity"]["mae"], 3)
    assert behaviour.repeats_exactly(unit, cases[0].source)
    assert behaviour.shift_error(unit, cases[0].source, cases[0].brain) < 1.0


def test_real_pairs_are_found_and_put_on_the_networks_grid(real_data: Path) -> None:
    pairs = pairs_in(real_data / "ms_cross", "T1w", "T2w")
    assert [name for name, _, _ in pairs] == ["patient07", "patient26"]
    name, source, target = pairs[1]
    case = real_case(name, source, target, "T2w")
    assert case.source.shape == (176, 208, 176) and case.stripped
    assert 0.2 < float(np.median(case.truth[case.brain])) < 0.8
    assert metrics.correlation(case.source, case.truth, case.brain) < 0, "T2 is bright where T1 is dark"
    assert np.count_nonzero(case.brain) > 1_000_000


def test_a_method_may_be_matched_and_own_curve_cannot_be_beaten_by_another_curve() -> None:
    case = a_case()
    own = figures_of(case, own_curve(case), None)["rmse"]
    other = fit_transfer_curve([(case.source[case.brain], 0.5 * case.truth[case.brain])])
    assert own < figures_of(case, Prediction(other(case.source), Unit.NETWORK), None)["rmse"]
    shifted = replace(case, truth=2 * case.truth + 1)
    method = matched(lambda c: Prediction((c.truth - 1) / 2, Unit.NETWORK))
    assert figures_of(shifted, method(shifted), None)["rmse"] == pytest.approx(0, abs=1e-5)
