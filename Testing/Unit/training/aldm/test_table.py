"""ALDM's tables on tiny heads: every direction and row is present, and the metrics are right."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_phantoms import tiny_phantom

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.metrics import normalised_error
from SITTranslateLib.evaluation.real_pairs import by_person, pairs_in
from SITTranslateLib.evaluation.table import Prediction, Row, Table, Unit
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.systems.regression.many_to_many import AnyRegressionNetwork
from SITTranslateLib.training.engine.held_out import whole_cases_of
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.aldm import table as tables
from SITTranslateLib.training.recipes.aldm.evaluate import _card_figures, evaluate

CONTRASTS = ("T1w", "T2w", "CT")


@pytest.fixture(scope="module", params=[False, True], ids=["as in the paper", "mapped first"])
def network(request: pytest.FixtureRequest) -> ALDMNetwork:
    torch.manual_seed(0)
    widths = {"codec": (4, 6), "spade": (6,), "hidden": 4, "widths": (6, 8), "detail": (4, 6)}
    made = ALDMNetwork(CONTRASTS, latent=3, codes=8, paint=request.param, **widths)  # type: ignore[arg-type]
    torch.nn.init.normal_(made.denoiser.unet.head.weight, std=0.3)
    torch.nn.init.normal_(made.detail.unet.head.weight, std=0.3)  # type: ignore[union-attr]
    return made.eval()


def test_the_table_has_every_direction_and_every_row(network: ALDMNetwork) -> None:
    heads = [tiny_phantom(seed) for seed in range(3)]
    regression = AnyRegressionNetwork(CONTRASTS, (4, 6)).eval()
    ways = tables.directions(CONTRASTS)
    assert len(ways) == 6
    table = tables.direction_table(
        partial(whole_cases_of, heads), partial(whole_cases_of, heads[:1]), ways, tables.methods_of(network, regression)
    )
    rows = table.rows
    begun = {"transfer curve of each tissue"} if network.painter else set()
    assert {r.method for r in rows} == begun | {
        "identity", "best global transfer curve", "mean image", "codec alone (target given)", "preview",
        "ALDM without detail", "ALDM", "regression U-Net",
    }  # fmt: skip
    assert len(rows) == 6 * (8 + len(begun)) and all(np.isfinite(list(r.figures.values())).all() for r in rows)
    summary = table.summary()
    curve = {way: methods["best global transfer curve"]["psnr"] for way, methods in summary.items()}
    nothing = {way: methods["identity"]["psnr"] for way, methods in summary.items()}
    assert all(curve[way] > nothing[way] for way in curve)
    text = tables.as_markdown(table)
    assert text.count("| T1w to T2w |") == 3 and text.count("| *mean* |") == 3
    assert set(tables.better_than_the_curve(table)) == set(curve)
    # The parts are parts: each row is another image, and the network is as it was.
    ours = [summary["T1w to T2w"][method]["psnr"] for method in ("preview", "ALDM")]
    assert ours[0] != ours[1] and network.detail is not None


def test_a_card_has_the_mean_of_each_target_beside_doing_nothing() -> None:
    rows = [
        Row(method, way, "a", {"psnr": psnr, "ssim": psnr / 100.0})
        for way, method, psnr in (
            ("T1w to T2w", "ALDM", 20.0), ("FLAIR to T2w", "ALDM", 30.0), ("CT to T2w", "ALDM", 90.0),
            ("T1w to T2w", "identity", 10.0), ("FLAIR to T2w", "identity", 14.0), ("T1w to CT", "ALDM", 50.0),
        )
    ]  # fmt: skip
    psnr, ssim = _card_figures(Table(tables.COLUMNS, rows))
    assert psnr["name"].startswith("PSNR in the brain, T2w") and (psnr["value"], psnr["baseline"]) == (25.0, 12.0)
    assert (ssim["value"], ssim["baseline"]) == (0.25, 0.12)


def test_the_truth_has_no_error_and_the_curve_is_beaten_by_it() -> None:
    (case,) = whole_cases_of([tiny_phantom(1)], "T1w", "CT")
    exact = tables.figures_of(case, Prediction(case.truth, Unit.HU))
    assert exact["nmse"] == 0.0 and exact["ssim"] == pytest.approx(1.0)


def test_nmse_is_that_of_its_formula() -> None:
    truth, mask = np.array([[[2.0, 4.0]]], np.float32), np.array([[[True, True]]])
    assert normalised_error(np.array([[[1.0, 2.0]]], np.float32), truth, mask) == pytest.approx(5 / 20)


def test_steps_and_cost_are_measured_and_the_network_is_as_it_was(network: ALDMNetwork) -> None:
    cases = whole_cases_of([tiny_phantom(1)], "T1w", "T2w")
    table = tables.step_table(network, cases, (0, 1, 3))
    assert {(r["sampler"], r["steps"]) for r in table} >= {("ddim", 0), ("ddim", 3), ("dpm", 3)}
    assert (network.sampler, network.start) == ("ddim", 1.0)
    assert all(r["cpu_s"] >= 0 for r in table) and "preview" in tables.steps_as_markdown(table)
    paid = tables.cost(network, (16, 24, 16))
    assert paid["peak_gb"] > 0 and "one step" in paid


@pytest.mark.parametrize(("names", "expected"), [
    (["sub-01_T1w", "sub-01_ce-gadolinium_T1w", "sub-01_FLAIR"], {"sub-01": {"T1w", "T1wGd", "FLAIR"}}),
    (["BraTS2021_00000_t1", "BraTS2021_00000_t1ce", "BraTS2021_00000_t2", "BraTS2021_00000_seg"],
     {"BraTS2021_00000": {"T1w", "T1wGd", "T2w"}}),
    (["BraTS-GLI-00000-000-t1n", "BraTS-GLI-00000-000-t1c", "BraTS-GLI-00000-000-t2f"],
     {"BraTS-GLI-00000-000": {"T1w", "T1wGd", "FLAIR"}}),
    (["IXI-T1/IXI002-Guys-0828-T1", "IXI-PD/IXI002-Guys-0828-PD"], {"IXI002-Guys-0828": {"T1w", "PD"}}),
])  # fmt: skip
def test_folders_of_known_data_sets_are_read(names: list[str], expected: dict[str, set[str]], tmp_path: Path) -> None:
    for name in names:
        file = tmp_path / f"{name}.nii.gz"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert {name: set(files) for name, files in by_person(tmp_path).items()} == expected
    person, files = next(iter(by_person(tmp_path).items()))
    source, target = sorted(files)[:2]
    assert pairs_in(tmp_path, source, target) == [(person, files[source], files[target])]


def test_what_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--run ALDM=FOLDER"):
        evaluate(EvaluationRequest("aldm", tmp_path, tmp_path, {"other": tmp_path}))
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(EvaluationRequest("aldm", tmp_path, None, {"ALDM": tmp_path}))
