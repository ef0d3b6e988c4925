"""Training Plasticine on tiny heads: every stage takes a step and learns, a run resumes exactly, and is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from plasticine_heads import tiny_ageing_head

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.simulation import prepare_subject, procedural_head
from SITTranslateLib.training.engine.publishing import publish
from SITTranslateLib.training.recipes.plasticine.config import (
    PlasticineConfig,
    Stage,
    Terms,
    is_plasticine,
    plasticine_from_dict,
    read_plasticine,
)
from SITTranslateLib.training.recipes.plasticine.data import Batches
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingHead, AgeingPool, ageing_heads, are_there
from SITTranslateLib.training.recipes.plasticine.recipe import PlasticineTrainer, finished, is_plasticine_run, train
from SITTranslateLib.training.recipes.plasticine.runs import run
from SITTranslateLib.translate.model import load_model

NETWORK = {
    "source": "T1w", "target": "T2w", "structure_widths": [4, 6], "steps": 2, "samples": 2,
    "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8], "smoothing_mm": 2.0,
}  # fmt: skip
ALL = Terms(structure=10, correlation=0.1, information=0.1, motion=0.1, membrane=1, bending=1, alignment=0.1)


@pytest.fixture(scope="module")
def heads() -> list[AgeingHead]:
    return [tiny_ageing_head(seed) for seed in range(3)]


def a_config(*stages: Stage, **network: object) -> PlasticineConfig:
    return PlasticineConfig("tiny", {**NETWORK, **network}, AgeingPool(("01",)), stages, average=0.5)


def trained(config: PlasticineConfig, heads: list[AgeingHead], folder: Path, **options: object) -> PlasticineTrainer:
    trainer = PlasticineTrainer(config, Fabric(accelerator="cpu", devices=1), **options)  # type: ignore[arg-type]
    trainer.resume(folder)
    train(config, trainer, Batches(heads, config, getattr(trainer.network, "structure", None)), folder, every=1)
    return trainer


STAGES = {
    "renderer": Stage("renderer", 2),
    "renderer, predicted maps": Stage("renderer", 2, maps="predicted", aged=1.0),
    "renderer, either map": Stage("renderer", 3, maps="mixed"),
    "deformation, every term": Stage("deformation", 3, terms=ALL),
    "deformation, never sees the target": Stage("deformation", 2, together=0.0, terms=Terms(structure=1)),
    "deformation, always does": Stage("deformation", 2, together=1.0, terms=Terms(structure=1, alignment=1)),
    "deformation toward other heads": Stage("deformation", 2, paired=False, terms=Terms(correlation=1, membrane=1)),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_stage_trains_its_own_network_alone(stage: Stage, heads: list[AgeingHead], tmp_path: Path) -> None:
    config = a_config(stage)
    before = PlasticineTrainer(config, Fabric(accelerator="cpu", devices=1)).network.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    trainer = trained(config, heads, tmp_path)
    changed = {n.split(".")[0] for n, v in trainer.network.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {stage.train}
    assert all(bool(torch.isfinite(value).all()) for value in trainer.network.state_dict().values())


def test_the_deformation_finds_the_motion_that_only_structure_maps_show(
    heads: list[AgeingHead], tmp_path: Path
) -> None:
    terms = Terms(structure=50, membrane=0.2, alignment=0.1)
    stage = Stage("deformation", 60, rate=5e-3, strip=0.0, years=(20.0, 30.0), terms=terms)
    trainer = trained(a_config(stage), heads[:1], tmp_path)
    trainer.step = 0
    _, watched = trainer._deform(Batches(heads[:1], trainer.config, None).at(1000, stage), stage)
    assert watched["miss_mm"] < 0.6 * watched["do_nothing_mm"], watched


def test_the_renderer_learns(heads: list[AgeingHead], tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 80, rate=1e-2, strip=0.0, aged=0.0))
    batches = Batches(heads[:1], config, None)
    trainer = PlasticineTrainer(config, Fabric(accelerator="cpu", devices=1))
    losses = [trainer.run_step(batches.at(step, config.stages[0]))["renderer"] for step in range(80)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_a_regression_of_the_same_size_is_shown_the_source(heads: list[AgeingHead], tmp_path: Path) -> None:
    trained(a_config(Stage("regression", 2), guide="source"), heads, tmp_path)
    _, network = finished(tmp_path)
    output = network.translate(torch.rand(1, 1, 8, 8, 8), {}, np.eye(4))
    assert output.keeps_geometry and output.translated.shape == (1, 1, 8, 8, 8)


def test_a_run_goes_on_as_if_it_had_not_stopped(heads: list[AgeingHead], tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 2), Stage("deformation", 3, terms=ALL))
    whole = trained(config, heads, tmp_path / "whole").network.state_dict()
    for stop in (1, 2, 3):
        folder = tmp_path / f"stopped-{stop}"
        first = PlasticineTrainer(config, Fabric(accelerator="cpu", devices=1))
        batches = Batches(heads, config, first.network.structure)
        for step in range(stop):
            first.run_step(batches.at(step, config.stages[config.stage_at(step)[0]]))
        folder.mkdir()
        first.save(folder)
        again = trained(config, heads, folder).network.state_dict()
        assert all(torch.equal(again[name], value) for name, value in whole.items()), f"stopped after {stop}"


def test_the_papers_own_form_trains_and_translates_in_slices(heads: list[AgeingHead], tmp_path: Path) -> None:
    built_in = read_plasticine("plasticine-paper-t1w-t2w", steps=2)
    network = {**built_in.network, "renderer_widths": [6, 8], "deformation_widths": [6, 8], "steps": 2}
    config = replace(built_in, network=network)
    trained(config, heads, tmp_path)
    made, net = finished(tmp_path)
    assert made.system == "plasticine_paper" and not made.needs_tissue_network
    with torch.no_grad():
        net.deformation.head.weight.normal_(std=0.5)
    image = torch.from_numpy(heads[0].image("T1w"))[None, None]
    output = net.translate(image, {}, heads[0].affine)
    assert output.displacement is not None and float(output.displacement.norm(dim=1).max()) > 0.5
    assert not output.displacement[:, 2].any(), "slices do not move out of their plane"
    assert output.translated.shape == image.shape and bool(torch.isfinite(output.translated).all())


def test_a_finished_run_becomes_a_package_without_the_switch(heads: list[AgeingHead], tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 1), Stage("deformation", 1, terms=ALL))
    tissues = TissueNetwork([4, 6]).state_dict()
    trained(config, heads, tmp_path / "run", tissues=tissues)
    assert is_plasticine_run(tmp_path / "run")
    config, network = finished(tmp_path / "run")
    package = publish(
        config, network.state_dict(), tmp_path / "model", card="plasticine-t1w-t2w", data="Tiny heads.", figures=[]
    )
    assert package.card.system.parameters["switch"] is False
    loaded = load_model(package, "cpu").network
    assert not any("together" in name for name in loaded.state_dict())
    kept = loaded.state_dict()["structure.down.0.0.weight"]
    assert torch.allclose(kept, tissues["down.0.0.weight"], atol=1e-3)


def test_configs_that_come_along_are_understood() -> None:
    for name in (
        "plasticine-t1w-t2w",
        "plasticine-regression-t1w-t2w",
        "plasticine-paper-t1w-t2w",
        "plasticine-t1w-ct",
    ):
        assert is_plasticine(name)
        config = read_plasticine(name)
        assert plasticine_from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert read_plasticine(name, steps=3, seed=5).steps == 3 * len(config.stages)
    assert not is_plasticine("sit-brain-ageing-t1w")


def test_configs_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    raw = json.loads(json.dumps(a_config(Stage("renderer", 1)).to_dict()))
    with pytest.raises(InputError, match="trains one of"):
        plasticine_from_dict(raw | {"stages": [{"train": "everything", "steps": 1}]})
    with pytest.raises(InputError, match="where to go"):
        plasticine_from_dict(raw | {"stages": [{"train": "deformation", "steps": 1, "terms": {"membrane": 1.0}}]})
    with pytest.raises(InputError, match="tissue network"):
        run(a_config(Stage("renderer", 1, maps="predicted")), tmp_path, tmp_path / "run")
    with pytest.raises(InputError, match="no training run"):
        finished(tmp_path)


def test_an_unfinished_run_is_no_model(heads: list[AgeingHead], tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 2))
    trainer = PlasticineTrainer(config, Fabric(accelerator="cpu", devices=1))
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    trainer.save(tmp_path)
    with pytest.raises(InputError, match="stopped at step 0 of 2"):
        finished(tmp_path)


def test_heads_are_simulated_with_their_truth_and_kept(tmp_path: Path) -> None:
    pool = AgeingPool(("procedural",), heads=1, shape=(40, 48, 40))
    subject = prepare_subject(procedural_head(seed=1, spacing=4.0))
    (head,) = ageing_heads([subject], pool, tmp_path)
    assert are_there(pool, tmp_path) and ageing_heads([], pool, tmp_path)[0].name == head.name
    shares = head.tissue_shares()
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=0.02)
    stripped = head.tissue_shares(strip=True)
    np.testing.assert_allclose(stripped[0][head.mask == 0], 1.0, atol=0.02)
    older, younger = (head.sampling(years).array for years in (20.0, -20.0))
    assert 0.5 < float(np.abs(older).max()) < 10.0 and float((older * younger).sum()) < 0
    assert not head.sampling(0.0).array.any()
