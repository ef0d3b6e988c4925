"""Plasticine's table on tiny heads: the truth is best in every column, identity shows motion, metrics are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_ageing_phantoms import tiny_ageing_phantom

from SITTranslateLib import systems
from SITTranslateLib.evaluation.baselines import identity
from SITTranslateLib.training.recipes.plasticine import report
from SITTranslateLib.training.recipes.plasticine.held_out import case_of, cases_of
from SITTranslateLib.training.recipes.plasticine.table import COLUMNS, AgeingCase, table_of
from SITTranslateLib.translate.normalisation import HOUNSFIELD, to_native

TINY = {
    "source": "T1w", "target": "T2w", "structure_widths": [4, 6], "steps": 1, "samples": 1,
    "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8], "smoothing_mm": 4.0,
}  # fmt: skip


def by_brightness(image: np.ndarray) -> np.ndarray:
    """Tissues of a clean tiny T2w: fluid 1.5, grey 0.8, white 0.5."""
    found = np.zeros(image.shape, np.uint8)
    for low, label in ((0.45, 4), (0.65, 2), (1.15, 1)):
        found[image > low] = label
    return found


@pytest.fixture(scope="module")
def cases() -> list[AgeingCase]:
    heads = [tiny_ageing_phantom(seed) for seed in range(2)]
    return cases_of(heads, "aged", "T1w", "T2w", aged=True) + cases_of(heads, "still", "T1w", "T2w", aged=False)


def test_cases_are_what_they_say(cases: list[AgeingCase]) -> None:
    aged, still = cases[0], cases[2]
    assert aged.years == 12.0 and cases[1].years == 30.0 and still.years == 0.0
    assert aged.sampling.array.any() and not still.sampling.array.any()
    assert not np.array_equal(aged.truth, still.truth) and cases[1].stripped and not aged.stripped
    assert not cases[1].source[~cases[1].brain].any()


def test_the_truth_wins_and_doing_nothing_shows_the_motion(cases: list[AgeingCase]) -> None:
    training = [case_of(tiny_ageing_phantom(seed), seed, "training", "T1w", "T2w", 0.0) for seed in (5, 6)]
    methods = {**report.baselines(training), "the truth itself": report.the_truth}
    table = table_of(cases, methods, by_brightness)
    summary = table.summary()
    truth, nothing = summary["aged"]["the truth itself"], summary["aged"]["identity"]
    assert truth["psnr"] > 60 and truth["miss"] == 0 and truth["dice_known"] > 0.9
    moved = np.mean([c.sampling.magnitude()[c.brain_after].mean() for c in cases[:2]])
    assert nothing["miss"] == pytest.approx(float(moved), rel=1e-4) and nothing["psnr"] < 20
    assert summary["still"]["identity"]["miss"] == 0
    assert summary["still"]["best global transfer curve"]["psnr"] > nothing["psnr"]
    text = table.markdown()
    assert "### aged" in text and COLUMNS["miss"].title in text and "| identity |" in text


def test_with_features_the_truth_looks_most_like_real_scans(cases: list[AgeingCase]) -> None:
    def features(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        smooth = image.reshape(-1)[mask.reshape(-1)][:400, None]
        return np.concatenate((smooth, smooth**2), axis=1)

    methods = {"identity": identity, "the truth itself": report.the_truth}
    table = table_of(cases, methods, by_brightness, features)
    summary = table.summary()
    for group in ("aged", "still"):
        assert summary[group]["the truth itself"]["kid"] < summary[group]["identity"]["kid"]
    assert COLUMNS["kid"].title in table.markdown()


def test_a_network_is_measured_with_its_own_field(cases: list[AgeingCase], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = systems.create("plasticine", TINY).eval()
    with torch.no_grad():
        network.deformation.head.weight.normal_(std=0.05)  # type: ignore[union-attr]
    methods = {
        "identity": identity,
        "still": report.by_network(network, moves=False),  # type: ignore[arg-type]
        "moving": report.by_network(network),  # type: ignore[arg-type]
    }
    table = table_of(cases[:1], methods, by_brightness)
    summary = table.write(tmp_path, "plasticine")
    moving, still = summary["aged"]["moving"], summary["aged"]["still"]
    assert moving["folded"] == 0 and moving["inverse"] < 0.05 and moving["motion_p99"] > 0.2
    assert moving["recomposition"] < 1e-4, "by another engine and another number of squarings"
    assert "inverse" not in still and moving["miss"] != still["miss"]
    assert json.loads((tmp_path / "plasticine.json").read_text(encoding="utf-8"))["rows"]
    figures = table.card_figures("moving", report.card_columns("T2w"))
    assert {figure["unit"] for figure in figures} == {"dB", "", "mm"} and figures[0]["baseline"] is not None
    steps = report.steps_table(network, cases[2:3], ((1, 1), (2, 1)))  # type: ignore[arg-type]
    assert [row["steps"] for row in steps] == [1, 2] and (network.steps, network.samples) == (1, 1)


def test_a_ct_is_judged_in_hu_and_with_its_skull() -> None:
    shown = ("T1w", "T2w", "CT")
    heads = [tiny_ageing_phantom(seed, shown=shown) for seed in range(2)]
    still = cases_of(heads, "still", "T1w", "CT", aged=False)
    training = [case_of(tiny_ageing_phantom(seed, shown=shown), seed, "training", "T1w", "CT", 0.0) for seed in (5, 6)]
    seen: list[float] = []

    def segment(image: np.ndarray) -> np.ndarray:
        seen.append(float(image.min()))
        return np.zeros(image.shape, np.uint8)

    methods = {**report.baselines(training), "the truth itself": report.the_truth}
    table = table_of(still, methods, segment)
    summary = table.summary()["still"]
    truth, nothing, mean = (summary[row] for row in ("the truth itself", "identity", "mean image"))
    assert truth["mae"] == 0 and truth["dice_bone"] == 1 and nothing["dice_bone"] < 0.5
    errors = [
        np.abs(to_native(case.source, HOUNSFIELD) - to_native(case.truth, HOUNSFIELD))[heads[n].shares[0] == 0].mean()
        for n, case in enumerate(still)
    ]
    assert nothing["mae"] == pytest.approx(float(np.mean(errors)), rel=1e-4)
    # What is best in HU is a mean of HU, not of network units.
    average = np.mean([to_native(case.truth, HOUNSFIELD) for case in training], axis=0)
    errors = [np.abs(average - to_native(case.truth, HOUNSFIELD))[case.judged].mean() for case in still]
    assert mean["mae"] == pytest.approx(float(np.mean(errors)), rel=1e-3)
    assert summary["best global transfer curve"]["mae"] < nothing["mae"]
    # The source is no CT; the curve is fitted inside the head and gives no air.
    assert [low < -900 for low in seen[: 1 + len(methods)]] == [False, True, False, True, True]
    text = table.markdown()
    assert "| method | PSNR (dB) | SSIM | MAE (HU) | MAE brain (HU) | Dice bone (> 300 HU) |" in text
    figures = table.card_figures("the truth itself", report.card_columns("CT"))
    assert figures[0]["name"].startswith("MAE") and figures[0]["unit"] == "HU" and figures[0]["baseline"] > 100
