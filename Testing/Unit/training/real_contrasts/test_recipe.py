"""Training on real pairs: folds keep persons together, samples keep pairs, runs go on, packages are the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_runs import real_contrasts_config
from tiny_visits import person

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import place_image
from SITTranslateLib.systems.regression.multi_contrast import MultiContrastNetwork
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine import visit_preparation
from SITTranslateLib.training.engine.publishing import publish
from SITTranslateLib.training.engine.trainer import RunOptions, step_of
from SITTranslateLib.training.engine.visits import (
    CONTRASTS,
    FOLDS,
    VISITS,
    held_out_visits,
    training_visits,
)
from SITTranslateLib.training.recipes.real_contrasts import (
    calibration,
    fading,
    objective,
    recipe,
    samples,
    summary,
    systems,
    table,
)
from SITTranslateLib.training.recipes.real_contrasts.augmentation import Augmentation
from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.training.recipes.real_contrasts.recipe import RECIPE
from SITTranslateLib.translate.lesion_contrast import Cluster
from SITTranslateLib.volume import Volume


@pytest.mark.parametrize("fold", list(FOLDS))
def test_no_fold_trains_on_whom_it_tests(fold: str) -> None:
    training, held_out = training_visits(fold), held_out_visits(fold)
    assert not {v.subject for v in training} & {v.subject for v in held_out}
    assert {v.subject for v in held_out} == set(FOLDS[fold])
    assert all(v.weight > 0 for v in training) and all(v.licence and v.credit for v in VISITS)
    assert not any("oasis" in scan for v in VISITS for scan in v.scans.values())


def test_everybody_is_held_out_once_by_the_folds_of_the_table() -> None:
    used = [s for name in ("without-ms-cross", "without-glioma", "without-ms-long-03-04-12", "without-ms-long-01-19-20")
            for s in FOLDS[name]]  # fmt: skip
    assert sorted(used) == sorted({v.subject for v in VISITS if v.weight > 0})


def test_samples_keep_source_and_targets_together() -> None:
    still = Augmentation(0, 1.0, 0, 0, 1.0, 0, 0, 0, 0, 0)
    sampler = samples.Sampler([samples.training_visit(person(), stripped=True)], [1.0], 32, still)
    batch, again = sampler.batch(6, (0, 5)), sampler.batch(6, (0, 5))
    assert torch.equal(batch.stack, again.stack) and not torch.equal(batch.stack, sampler.batch(6, (0, 6)).stack)
    assert batch.stack.shape == (6, 3, 32, 32) and batch.targets.shape == batch.weights.shape == (6, 3, 32, 32)
    inside = batch.weights[:, 0] > 0.15
    for target, sign in ((0, 1), (1, -1)):
        values = batch.targets[:, target][inside]
        t1 = batch.targets[:, 0][inside]
        # The rim of the brain is mixed with air, which is dark in both.
        assert sign * np.corrcoef(values, t1)[0, 1] > 0.5
    assert float(batch.weights.max()) == samples.LESION_WEIGHT


def test_a_run_of_scans_has_two_parts_and_is_calibrated_and_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = training_visits("without-glioma")[:1]
    monkeypatch.setattr(recipe, "training_visits", lambda fold: visits)
    folders = []
    monkeypatch.setattr(recipe, "prepared", lambda visit, data, cache: folders.append((data, cache)) or person())
    config = real_contrasts_config(steps=1)
    trainer = RECIPE.run(config, "scans", tmp_path, RunOptions(accelerator="cpu"))
    assert trainer.step == step_of(tmp_path) == config.total == 3
    assert trainer.fabric._precision.precision == "32-true" and folders == [(Path("scans"), tmp_path / "prepared")]
    plain, also, lesions = (next(trainer.batches(step)) for step in (0, 0, 1))
    assert torch.equal(plain.stack, also.stack)
    without = samples.batches(
        [samples.training_visit(person(), visits[0].stripped)], [1.0], replace(config, steps=3), 1
    )
    assert not torch.equal(next(without).targets, lesions.targets)
    assert RECIPE.finished(tmp_path)[0] == config
    (tmp_path / "coverage.json").write_text('{"T1w": 1.5, "T2w": 2.5, "FLAIR": 3.5}')
    calibrated, network = RECIPE.finished(tmp_path)
    assert calibrated.coverage == network.coverage == tuple(calibrated.network["coverage"]) == (1.5, 2.5, 3.5)
    trained = network.state_dict()
    assert set(trained) == set(MultiContrastNetwork(CONTRASTS, widths=config.widths).state_dict())
    package = publish(RECIPE, calibrated, trained, tmp_path / "package", card="mr-contrasts", data="x", figures=[])
    published = table.load_weights(package.folder)
    assert published.targets == ("T2w", "T1w") and published.sources == CONTRASTS and published.coverage[0] == 1.5
    for name, value in published.state_dict().items():
        torch.testing.assert_close(value, trained[name], rtol=1e-3, atol=1e-6)
        assert torch.equal(table.load_weights(tmp_path).state_dict()[name], trained[name])


def test_the_rate_rises_falls_and_starts_again_at_half() -> None:
    config = RealContrastsConfig(steps=300, lesion_steps=200)
    rates = [objective.rate_factor(step, config) for step in (0, 99, 100, 200, 300, 400, 450)]
    assert rates == pytest.approx([0.01, 1.0, 1.0, 0.505, 0.005, 0.5, 0.2525])


def test_shipped_weights_give_what_training_had() -> None:
    torch.manual_seed(0)
    network = MultiContrastNetwork(CONTRASTS, widths=(4, 8), norm="batch")
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 3, 16, 16) + 1.0, torch.eye(3)[:2])
    network.eval()
    plain = RECIPE.finish(deepcopy(network))
    stack, code = torch.randn(2, 3, 16, 16), torch.eye(3)[1:]
    for one, other in zip(network(stack, code), plain(stack, code), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert not any("running" in name for name in plain.state_dict())


def test_a_rigid_shift_is_found() -> None:
    visit = person()
    fixed = Volume(visit.scans["T1w"], np.eye(4), "fixed")
    affine = np.eye(4)
    affine[:3, 3] = (2.0, -1.0, 0.5)
    moving = Volume(visit.scans["T2w"], affine, "moving")
    transform, shift = visit_preparation.align(fixed, moving, visit.brain)
    assert shift == pytest.approx(np.sqrt(4 + 1 + 0.25), abs=0.3)
    image = place_image(sitk.GetImageFromArray(fixed.array), fixed.affine)
    point = image.TransformContinuousIndexToPhysicalPoint((26.0, 28.0, 24.0))
    np.testing.assert_allclose(np.subtract(transform.TransformPoint(point), point), (-2.0, 1.0, 0.5), atol=0.3)


MODELS = Path(__file__).resolve().parents[4] / "Resources" / "Models"


class Drawn:
    """Stands for the prepared visits: a drawn person each, aligned or not."""

    def __init__(self) -> None:
        self.cases = {v.name: table.standardised_visit(person(n), True) for n, v in enumerate(VISITS)}

    def of(self, visit: table.Visit) -> table.Standardised:
        return self.cases[visit.name]

    not_aligned = of


def test_curves_come_from_others_and_rows_compare_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"white matter": 500.0, "cortex": 400.0, "deep grey matter": 40.0, "ventricles": 20.0}
    measured = iter([sizes, sizes, *[{name: 1.1 * size for name, size in sizes.items()}] * 12])
    monkeypatch.setattr(table, "part_volumes", lambda image, affine: next(measured))
    network = MultiContrastNetwork(CONTRASTS, widths=(2, 4)).eval()
    rows = table.rows_of_fold("without-ms-cross-26", network, Drawn())  # type: ignore[arg-type]
    assert {(r.source, r.target) for r in rows} == {(s, t) for s in CONTRASTS for t in CONTRASTS if s != t}
    by_method = {r.method: r for r in rows if (r.source, r.target) == ("T1w", "T2w")}
    assert tuple(by_method) == table.METHODS
    # T2w is a falling line of T1w: what keeps its sign fails, a curve finds it, another person's too.
    assert by_method[table.IDENTITY].scores.ssim < 0.7 < 0.95 < by_method[table.LINE].scores.ssim
    assert all(by_method[m].scores.ssim > 0.9 for m in (table.CURVE, table.SAME_SCANNER, table.ORACLE))
    assert by_method[table.NETWORK].volumes == {name: pytest.approx(10.0) for name in sizes}
    assert by_method[table.NETWORK].scores.ssim == by_method[table.NOT_ALIGNED].scores.ssim
    text = summary.as_markdown(rows)
    assert text.count("T1w to T2w") == 4 and "| +10 | +10 | +10 | +10 |" in text
    assert "nan" not in text and " to +" not in summary.differences(rows)
    several = [replace(r, subject=name) for r in rows for name in "abc"]
    gain = by_method[table.NETWORK].scores.ssim - by_method[table.CURVE].scores.ssim
    assert f"| T1w to T2w | 3 | {gain:+.3f} ({gain:+.3f} to {gain:+.3f}) |" in summary.differences(several)


def test_a_scanner_with_one_patient_has_no_curve_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "part_volumes", lambda image, affine: dict.fromkeys(table.PARTS, 10.0))
    network = MultiContrastNetwork(CONTRASTS, widths=(2, 4)).eval()
    rows = table.rows_of_fold("without-glioma", network, Drawn())  # type: ignore[arg-type]
    assert table.SAME_SCANNER not in {r.method for r in rows}
    assert "| tcga (1) | T1w to T2w |" in summary.as_markdown(rows)


def test_systems_of_one_fold_stand_in_one_table(
    finished_run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "unit"
    shutil.copytree(finished_run("sa_unit"), folder)
    with pytest.raises(InputError, match="did not train on real visits"):
        systems.entries_of({"SA-UNIT": folder})
    raw = json.loads((folder / "config.json").read_text())
    raw["heads"]["fold"], raw["paired"], raw["terms"]["voxel"] = "without-ms-cross-26", False, 0.0
    (folder / "config.json").write_text(json.dumps(raw))
    entries = systems.entries_of({"SA-UNIT": folder, "package": MODELS / "brain-contrasts"})
    assert entries["package"].fold == "" and entries["SA-UNIT"].fold == "without-ms-cross-26"
    network = MultiContrastNetwork(CONTRASTS, widths=(2, 4)).eval()
    entries = {
        "SA-UNIT@0": entries["SA-UNIT"],
        "SA-UNIT@1": entries["SA-UNIT"],
        "network": systems.Entry(RECIPE, network, ""),
    }
    rows = list(systems.rows_of(entries, Drawn()))  # type: ignore[arg-type]
    methods = [*table.METHODS[:5], "SA-UNIT@0", "SA-UNIT@1", "network"]
    assert [r.method for r in rows] == 2 * methods and {r.visit for r in rows} == {"ms-cross-26"}
    other = [replace(r, scores=replace(r.scores, ssim=0.25)) if r.method == "SA-UNIT@1" else r for r in rows]
    text = systems.as_markdown(
        [r if r.method != "SA-UNIT@0" else replace(r, scores=replace(r.scores, ssim=0.75)) for r in other]
    )
    assert text.count("| SA-UNIT | 0.500 (0.500 to 0.500) | 0.750, 0.250 |") == 2, "the mean of two seeds, and each"
    assert "**T2w to T1w** (1 people" in text and f"| network | {rows[7].scores.ssim:.3f} " in text
    with pytest.raises(InputError, match="one fold"):
        next(systems.rows_of({"network": entries["network"]}, Drawn()))  # type: ignore[arg-type]


def test_fading_is_counted_by_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    case = table.standardised_visit(person(), True)
    k, j, i = np.argwhere(case.lesions).mean(axis=0)
    on, off = (i, j, k), (i, j - 30.0, k)
    acquired = [Cluster(on, 0.1, 2.0, 1.0), Cluster(off, 0.1, 2.0, 2.0)]
    answers = iter([acquired, [Cluster(on, 0.1, 2.0, 0.2), Cluster(off, 0.1, 2.0, 1.8)]])
    monkeypatch.setattr(fading, "lesion_clusters", lambda *given: next(answers))
    answer = table.Answer(case.scans, {})
    found = fading.fading_of("ms-cross", case, "T2w", "T1w", answer)
    assert (found.on_lesions, found.faded_acquired, found.faded_made) == ((True, False), 0, 1)
    assert "| ms-cross | T2w to T1w | 2 | 1 | 75 % | 50 % | 0 | 1 |" in fading.as_markdown([found])


def test_calibrated_scales_cover_other_subjects() -> None:
    rng = np.random.default_rng(0)

    def residuals(subject: str, factor: float) -> calibration.Residuals:
        scales = rng.uniform(0.5, 2.0, 4000).astype(np.float32)
        errors = np.abs(rng.laplace(0, factor * scales)).astype(np.float32)
        return calibration.Residuals(subject, "T1w", "T2w", errors, scales, np.full(4000, 4, np.int8))

    alike = calibration.coverage_of([residuals(name, 3.0) for name in "abc"], "T2w")
    assert calibration.covers(alike, least_correlation=0.2)
    assert alike.factors["0.68"] == pytest.approx(3.0 * -np.log(0.32), rel=0.05)
    assert alike.by_tissue["white matter"]["0.95"] == pytest.approx(0.95, abs=0.02)
    unlike = calibration.coverage_of([residuals("a", 1.0), residuals("b", 1.0), residuals("c", 9.0)], "T2w")
    assert not calibration.covers(unlike, least_correlation=0.2)


def test_a_config_says_what_it_does_not_know() -> None:
    assert recipes.read("mr-contrasts", steps=7)[1].steps == 7
    with pytest.raises(InputError, match="no fold 'nobody'"):
        RealContrastsConfig.from_dict({"fold": "nobody"})
