"""Training SIT on a tiny problem: it learns, in mixed precision too, geometry first, and draws what it does."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from blob_training import AXES, a_config, blob_batches
from tiny_runs import sit_trainer

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.config import card_file
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes.sit.config import Data, Schedule
from SITTranslateLib.training.recipes.sit.data import (
    LARGEST_AGE,
    USUAL_VENTRICLES,
    SimulatedPairs,
    _EndlessOrder,
    apparent_age,
    batches,
)


def test_learns_the_motion_better_than_doing_nothing(tmp_path: Path) -> None:
    trainer = sit_trainer(a_config(60, follow_up=10.0, motion=1.0, smoothness=0.01))
    trainer.train(tmp_path)
    batch = next(blob_batches(1000))
    parts = trainer.network(batch["source"], batch["code"], AXES)
    miss = float((parts.sampling - batch["sampling"]).abs().mean().detach())
    assert miss < 0.7 * float(batch["sampling"].abs().mean())


def test_the_unpaired_host_trains_in_mixed_precision() -> None:
    config = a_config(3, adversarial=1.0, attribute=1.0, cycle=1.0, sparsity=1.0, smoothness=1.0)
    trainer = sit_trainer(config, "bf16-mixed")
    for step in range(3):
        trainer.run_step(next(blob_batches(step)))
    assert all(bool(torch.isfinite(value).all()) for value in trainer.shipped_weights().values())


def test_geometry_comes_first() -> None:
    config = replace(a_config(10, follow_up=1.0), schedule=Schedule(steps=10, geometry_first=0.5))
    trainer = sit_trainer(config)
    before = trainer.network.module.intensity_head.final.weight.clone()
    trainer.run_step(next(blob_batches()))
    assert torch.equal(before, trainer.network.module.intensity_head.final.weight)
    trainer.step = 5
    trainer.run_step(next(blob_batches(5)))
    assert not torch.equal(before, trainer.network.module.intensity_head.final.weight)


def test_order_is_a_permutation_each_epoch_and_continues_where_it_stopped() -> None:
    order = []
    for index in _EndlessOrder(5, 1, 0):
        order.append(index)
        if len(order) == 15:
            break
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5)) and order[:5] != order[5:10]
    later = iter(_EndlessOrder(5, 1, 7))
    assert [next(later) for _ in range(5)] == order[7:12]
    ranks = [iter(_EndlessOrder(5, 1, 0, rank, 2)) for rank in (0, 1)]
    assert [next(ranks[n % 2]) for n in range(10)] == order[:10]


def test_a_run_draws_early_pictures(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    sit_trainer(a_config(2, follow_up=1.0, motion=1.0)).train(tmp_path)
    (picture,) = (tmp_path / "previews").glob("*.png")
    panels = pillow.open(picture)
    assert panels.width == 4 * panels.height and panels.getextrema()[1] > 200


def test_a_procedural_head_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("SITTranslateLib.training.engine.label_maps.procedural_head", lambda seed: asked.append(seed))
    assert label_map(tmp_path, "procedural-3") is None and asked == [3]
    with pytest.raises(InputError, match=r"no label map '\*_07"):
        label_map(tmp_path, "07")


def test_the_examples_card_suits_its_config() -> None:
    raw = tomllib.loads(card_file("example-ten-minutes").read_text(encoding="utf-8"))
    config = recipes.read("example-ten-minutes")[1]
    rest = {
        "schema_version": 1,
        "system": {"name": config.system, "parameters": config.network},
        "training": {"data": "none", "simulated": True},
        "figures": [],
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    }
    card = ModelCard.from_dict(json.loads(json.dumps(raw | rest)))
    assert [attribute.name for attribute in card.attributes] == config.network["attributes"]


def _head_with(ventricle_voxels: int) -> LabelMap:
    labels = np.full((20, 20, 20), 2, np.int16)
    labels.reshape(-1)[:ventricle_voxels] = 4
    return LabelMap(labels, np.eye(4))


def test_a_head_counts_as_old_as_its_ventricles_are_large() -> None:
    usual = round(USUAL_VENTRICLES * 8000)
    assert apparent_age(_head_with(usual)) == pytest.approx(0.0, abs=0.5)
    assert apparent_age(_head_with(round(usual * 1.03**20))) == pytest.approx(20.0, abs=0.5)
    assert apparent_age(_head_with(1)) == -LARGEST_AGE


def test_the_critic_reads_the_age_and_not_the_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heads of different age: the critic is given their ages at the follow-up, by the ventricles in the scan."""
    subject, grids = SimpleNamespace(centre=np.zeros(3)), []

    def pair_of(_: Any, rng: np.random.Generator, **asked: Any) -> Any:
        grids.append(asked["grid"])
        years = (-10, 20)[len(grids) - 1]
        return SimpleNamespace(labels=_head_with(round(USUAL_VENTRICLES * 8000 * 1.03**years)))

    image = np.zeros((4, 4, 4), np.float16)
    arrays: dict[str, Any] = dict.fromkeys(("source", "target", "intensity_change", "mask", "change_mask"), image)
    monkeypatch.setattr("SITTranslateLib.training.recipes.sit.data.simulate_pair", pair_of)
    monkeypatch.setattr(
        "SITTranslateLib.training.recipes.sit.data.stored_arrays",
        lambda _: arrays | {"sampling": np.zeros((3, 2, 2, 2), np.float16)},
    )
    data = Data(("a",), pairs=2, age_years=(5.0, 5.0), lesion_load_ml=(3.0, 3.0), spacing_mm=4.0)
    pairs = SimulatedPairs([subject], data, (10.0, 10.0), tmp_path)  # type: ignore[list-item]
    attributes = [batch["other_values"][0] for batch in islice(batches(pairs, batch=1, seed=0, workers=0), 3)]
    ages = sorted(round(10 * float(values[0])) for values in attributes[1:])
    assert ages == [-5, 25] and all(float(values[1]) == pytest.approx(0.3) for values in attributes)
    assert all(grid.shape == (44, 52, 44) and grid.spacing == (4.0, 4.0, 4.0) for grid in grids)


def test_a_trial_on_coarse_voxels_is_evaluated_with_its_like_and_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, full = (replace(a_config(1), data=Data(("a",), spacing_mm=spacing)) for spacing in (4.0, 2.0))
    with pytest.raises(InputError, match="4 mm is a trial"):
        recipes.for_system("sit").package(trial, {}, {})
    assert recipes.for_system("sit").package(full, {}, {}) == (full.network, {})
    with pytest.raises(InputError, match="give 2, or up to 4"):
        replace(trial, data=Data(("a",), spacing_mm=8.0))
    runs = {"a": (None, trial, None), "b": (None, full, None)}
    monkeypatch.setattr(recipes, "finished", lambda folder: runs[folder.name])
    request = EvaluationRequest("sit", tmp_path, labels=tmp_path, runs={name: Path(name) for name in runs})
    with pytest.raises(InputError, match="different sizes"):
        recipes.for_system("sit").evaluate(request)


def test_a_critic_that_comes_first_has_learned_before_the_first_step_and_once(tmp_path: Path) -> None:
    config = a_config(2, attribute=1.0, cycle=0.1)
    config = replace(config, schedule=replace(config.schedule, critic_first=30, critic_rate=1e-3))
    trainer = sit_trainer(config)
    scan, generator = next(blob_batches(1000))["other"], trainer.shipped_weights()
    before = trainer.discriminator(scan)[1].square().mean().item()
    trainer.train(tmp_path, until=0)
    assert trainer.discriminator(scan)[1].square().mean().item() < 0.1 * before
    assert all(torch.equal(value, generator[name]) for name, value in trainer.shipped_weights().items())
    trainer.train(tmp_path, until=1)
    known = {name: value.clone() for name, value in trainer.discriminator.state_dict().items()}
    again = sit_trainer(config)
    again.train(tmp_path, until=1)
    assert all(torch.equal(value, known[name]) for name, value in again.discriminator.state_dict().items())
    assert not any("parametrizations" in name for name in known), "only a critic of realism is normalised"


def test_an_autoencoders_critic_does_not_judge_realism() -> None:
    trainer = sit_trainer(a_config(1, attribute=1.0, cycle=0.1))
    before = trainer.discriminator.module.patches.weight.clone()
    logged = trainer.run_step(next(blob_batches()))
    assert logged["discriminator_realism"] == 0.0 and logged["discriminator_regression"] > 0.0
    assert torch.equal(trainer.discriminator.module.patches.weight, before)
