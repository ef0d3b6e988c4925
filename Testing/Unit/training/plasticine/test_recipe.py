"""Training Plasticine on tiny heads: every stage takes a step and learns, and a run is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import DEFORMATION as ALL
from tiny_runs import ageing_heads
from tiny_runs import plasticine_config as a_config
from tiny_runs import plasticine_trainer as trainer_of

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.simulation import prepare_subject, procedural_head
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.publishing import publish
from SITTranslateLib.training.recipes.plasticine.config import Stage, Terms
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingPhantomSet, _simulate, read_phantom
from SITTranslateLib.training.recipes.plasticine.recipe import RECIPE, tissue_weights
from SITTranslateLib.translate.model import load_model

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
def test_every_stage_trains_its_own_network_alone(stage: Stage) -> None:
    trainer = trainer_of(a_config(stage))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    batches = trainer.batches(0)
    for _ in range(stage.steps):
        trainer.run_step(next(batches))
    changed = {n.split(".")[0] for n, v in trainer.network.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {stage.train}


def test_the_deformation_finds_the_motion_that_only_structure_maps_show(tmp_path: Path) -> None:
    terms = Terms(structure=50, membrane=0.2, alignment=0.1)
    stage = Stage("deformation", 60, rate=5e-3, strip=0.0, years=(20.0, 30.0), terms=terms)
    trainer = trainer_of(a_config(stage), ageing_heads()[:1])
    trainer.train(tmp_path)
    torch.manual_seed(0)
    logged = trainer.deform(trainer.data.at(1000, stage), stage).logged
    assert logged["miss_mm"] < 0.6 * logged["identity_mm"], logged


def test_the_renderer_learns() -> None:
    trainer = trainer_of(a_config(Stage("renderer", 80, rate=1e-2, strip=0.0, aged=0.0)), ageing_heads()[:1])
    batches = trainer.batches(0)
    losses = [trainer.run_step(next(batches))["renderer"] for _ in range(80)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_a_regression_of_the_same_size_is_shown_the_source(tmp_path: Path) -> None:
    trainer_of(a_config(Stage("regression", 2), guide="source")).train(tmp_path)
    _, network = RECIPE.finished(tmp_path)
    output = network.translate(torch.rand(1, 1, 8, 8, 8), {}, np.eye(4))
    assert output.keeps_geometry and output.translated.shape == (1, 1, 8, 8, 8)


def test_the_papers_own_form_translates_in_slices(finished_run: Callable[[str], Path]) -> None:
    _, made, net = recipes.finished(finished_run("plasticine_paper"))
    assert made.system == "plasticine_paper" and not made.needs_tissue_network
    with torch.no_grad():
        net.deformation.head.weight.normal_(std=0.5)
    head = ageing_heads()[0]
    image = torch.from_numpy(head.image("T1w"))[None, None]
    output = net.translate(image, {}, head.affine)
    assert output.displacement is not None and float(output.displacement.norm(dim=1).max()) > 0.5
    assert not output.displacement[:, 2].any(), "slices do not move out of their plane"
    assert output.translated.shape == image.shape and bool(torch.isfinite(output.translated).all())


def test_a_finished_run_becomes_a_package_without_the_switch(tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 1), Stage("deformation", 1, terms=ALL))
    tissues = TissueNetwork([4, 6]).state_dict()
    trainer_of(config, tissues=tissues).train(tmp_path / "run")
    recipe, config, network = recipes.finished(tmp_path / "run")
    weights, card = network.state_dict(), "plasticine-t1w-t2w"
    package = publish(recipe, config, weights, tmp_path / "model", card=card, data="Tiny heads.", figures=[])
    assert package.card.system.parameters["switch"] is False
    loaded = load_model(package, "cpu").network
    assert not any("together" in name for name in loaded.state_dict())
    kept = loaded.state_dict()["structure.down.0.0.weight"]
    assert torch.allclose(kept, tissues["down.0.0.weight"], atol=1e-3)


def test_a_run_goes_on_with_a_newer_tissue_network(tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 2))
    trainer_of(config, tissues=TissueNetwork([4, 6]).state_dict()).train(tmp_path, until=1)
    newer = TissueNetwork([4, 6]).state_dict()
    trainer_of(config, tissues=newer).train(tmp_path)
    shipped = RECIPE.finished(tmp_path)[1].state_dict()
    assert torch.equal(shipped["structure.down.0.0.weight"], newer["down.0.0.weight"])


def test_configs_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raw = a_config(Stage("renderer", 1)).to_dict()
    with pytest.raises(InputError, match="trains one of"):
        RECIPE.parse(raw | {"stages": [{"train": "everything", "steps": 1}]})
    with pytest.raises(InputError, match="where to go"):
        RECIPE.parse(raw | {"stages": [{"train": "deformation", "steps": 1, "terms": {"membrane": 1.0}}]})
    monkeypatch.setattr("SITTranslateLib.segmentation.maps.WEIGHTS", tmp_path / "none.safetensors")
    config = a_config(Stage("renderer", 1, maps="predicted"))
    with pytest.raises(InputError, match="tissue network"):
        tissue_weights(config)
    assert tissue_weights(replace(config, stages=(Stage("renderer", 1),))) is None


def test_heads_are_simulated_with_their_truth_and_kept(tmp_path: Path) -> None:
    pool = AgeingPhantomSet(("procedural",), heads=1, shape=(40, 48, 40))
    _simulate(pool, prepare_subject(procedural_head(seed=1, spacing=4.0)), 0, tmp_path / "000")
    head = read_phantom(tmp_path / "000")
    shares = head.tissue_shares()
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=0.02)
    stripped = head.tissue_shares(strip=True)
    np.testing.assert_allclose(stripped[0][head.mask == 0], 1.0, atol=0.02)
    older, younger = (head.sampling(years).array for years in (20.0, -20.0))
    assert 0.5 < float(np.abs(older).max()) < 10.0 and float((older * younger).sum()) < 0
    assert not head.sampling(0.0).array.any()
