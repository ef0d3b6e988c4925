"""Plasticine towards CT: heads get it on request and stay as they were, maps are found in HU, a run paints bone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_ageing_phantoms import tiny_ageing_phantom
from tiny_runs import fabric

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import prepare_subject, procedural_head
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.publishing import publish
from SITTranslateLib.training.recipes.plasticine import data as plasticine_batches
from SITTranslateLib.training.recipes.plasticine.config import PlasticineConfig, Stage
from SITTranslateLib.training.recipes.plasticine.data import Batches
from SITTranslateLib.training.recipes.plasticine.held_out import POOLS, case_of, showing
from SITTranslateLib.training.recipes.plasticine.phantoms import (
    AgeingPhantom,
    AgeingPhantomSet,
    _simulate,
    read_phantom,
)
from SITTranslateLib.training.recipes.plasticine.recipe import RECIPE, PlasticineTrainer, motion_weights
from SITTranslateLib.translate.normalisation import in_own_units

NETWORK = {
    "source": "T1w", "target": "CT", "structure_widths": [4, 6], "steps": 1, "samples": 1, "most": 2.0,
    "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8], "smoothing_mm": 2.0,
}  # fmt: skip
SHOWN = ("T1w", "T2w", "CT")


@pytest.fixture(scope="module")
def heads() -> list[AgeingPhantom]:
    return [tiny_ageing_phantom(seed, shown=SHOWN) for seed in range(2)]


def a_config(*stages: Stage) -> PlasticineConfig:
    return PlasticineConfig("tiny", NETWORK, AgeingPhantomSet(("01",)), stages, average=0.5)


def test_pools_that_do_not_ask_for_ct_keep_their_folders() -> None:
    pool = AgeingPhantomSet(tuple(f"{n:02d}" for n in range(1, 13)))
    assert pool.key == "5c463c2feb8d", "heads that were simulated before would be simulated again"
    assert [held.key for held in POOLS.values()] == ["16b28ae09de8", "13b5925cb67a"]
    assert showing(pool, "T1w", "T2w") == pool
    with_ct = showing(pool, "T1w", "CT")
    assert with_ct.contrasts == SHOWN and with_ct.key != pool.key
    assert recipes.read("plasticine-t1w-ct")[1].heads == with_ct


def test_a_head_with_ct_is_the_same_head(tmp_path: Path) -> None:
    pool = AgeingPhantomSet(("procedural",), heads=1, shape=(40, 48, 40))
    subject = prepare_subject(procedural_head(seed=1, spacing=4.0))
    for name, phantoms in (("alone", pool), ("with-ct", replace(pool, contrasts=SHOWN))):
        _simulate(phantoms, subject, 0, tmp_path / name)
    alone, head = read_phantom(tmp_path / "alone"), read_phantom(tmp_path / "with-ct")
    assert set(alone.scans) == {"T1w", "T2w"} and set(head.scans) == set(head.clean) == set(SHOWN)
    for contrast in alone.scans:
        assert np.array_equal(alone.scans[contrast], head.scans[contrast])
        assert np.array_equal(alone.clean[contrast], head.clean[contrast])
        assert alone.stripped[contrast] == head.stripped[contrast]
    assert np.array_equal(alone.velocity.array, head.velocity.array) and np.array_equal(alone.shares, head.shares)
    hounsfield = in_own_units(head.image("CT", clean=True), "CT")
    assert 0 < np.median(hounsfield[head.mask > 0]) < 60 and np.median(hounsfield[head.shares[6] > 150]) > 300


@pytest.mark.parametrize(("contrast", "darkest"), [("CT", -1000.0), ("T1w", -0.2)])
def test_tissues_are_found_in_hu_or_in_the_sources_own_units(
    contrast: str, darkest: float, heads: list[AgeingPhantom], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tissue network knows a CT by its air; in network units bone would take the room of the brain."""
    given: list[torch.Tensor] = []

    def probabilities(network: object, image: torch.Tensor) -> torch.Tensor:
        given.append(image)
        return torch.full((1, 7, *image.shape[2:]), 1 / 7)

    monkeypatch.setattr(plasticine_batches, "tissue_probabilities", probabilities)
    batches = Batches(heads, a_config(Stage("renderer", 1)), torch.nn.Identity())  # type: ignore[arg-type]
    batches.structure(0, contrast, strip=False, predict=True)
    (image,) = given
    assert np.array_equal(image[0, 0].numpy(), in_own_units(heads[0].image(contrast), contrast))
    assert darkest <= float(image.min()) < darkest + 300


def test_the_renderer_learns_to_paint_bone(heads: list[AgeingPhantom], tmp_path: Path) -> None:
    config = a_config(Stage("renderer", 120, rate=2e-2, strip=0.0, aged=0.0, brain_weight=1.0))
    batches = Batches(heads[:1], config, None)
    trainer = PlasticineTrainer(config, fabric(), lambda _: batches)
    trainer.train(tmp_path)
    structure = batches.structure(0, "T1w", False, False) / 255.0
    with torch.no_grad():
        (rendered,) = trainer.network.paint(torch.zeros(1, 1, *heads[0].labels.shape), structure, lambda done: None)
    hounsfield = in_own_units(rendered[0, 0].numpy(), "CT")
    bone, brain = heads[0].shares[6] > 250, heads[0].mask > 0
    assert np.median(hounsfield[bone]) > 800, "the tiny heads' bone has 1455 HU"
    assert -100 < np.median(hounsfield[brain]) < 150


def test_no_step_of_the_config_sees_a_ct_without_its_skull() -> None:
    config = recipes.read("plasticine-t1w-ct")[1]
    assert {stage.strip for stage in config.stages} == {0.0}
    assert not config.needs_tissue_network, "bone that is found in a CT is no bone that is found in a T1w"
    assert config.network["most"] == 2.0, "1,600 HU"


def test_the_motion_of_a_package_is_taken_over_and_stays(heads: list[AgeingPhantom], tmp_path: Path) -> None:
    network = NETWORK | {"switch": False, "attribute": "age", "scale": 10.0}
    other = replace(a_config(Stage("renderer", 1)), network=network | {"target": "T2w"})
    torch.manual_seed(3)
    weights = systems.create("plasticine", other.network).state_dict()
    publish(RECIPE, other, weights, tmp_path / "moving", card="plasticine-t1w-t2w", data="None.", figures=[])
    config = replace(a_config(Stage("renderer", 2)), network=network, motion=str(tmp_path / "moving"))
    with pytest.raises(InputError, match="its scale is another"):
        motion_weights(replace(config, network=network | {"scale": 5.0}))
    taken = motion_weights(config)
    assert taken is not None
    trainer = PlasticineTrainer(config, fabric(), lambda _: Batches(heads, config, None), motion=taken)
    trainer.train(tmp_path / "run")
    for network_ in (trainer.network, RECIPE.finished(tmp_path / "run")[1]):
        kept = network_.deformation.state_dict()
        assert all(torch.allclose(kept[n], weights[f"deformation.{n}"].half().float()) for n in kept)
    wider = replace(config, network=network | {"deformation_widths": [8, 8]})
    with pytest.raises(InputError, match="another size"):
        PlasticineTrainer(wider, fabric(), motion=taken)
    assert motion_weights(a_config(Stage("renderer", 1))) is None


def test_the_config_takes_over_a_motion_that_is_shipped() -> None:
    assert motion_weights(recipes.read("plasticine-t1w-ct")[1])


def test_a_held_out_ct_keeps_its_skull_and_is_judged_with_it(heads: list[AgeingPhantom]) -> None:
    for index in (0, 1):
        case = case_of(heads[index], index, "held out", "T1w", "CT", 0.0)
        assert not case.stripped
        assert np.array_equal(case.judged, heads[index].shares[0] == 0)
        assert case.judged.sum() > case.brain.sum()
    older = case_of(heads[0], 0, "held out", "T1w", "CT", 30.0)
    assert not np.array_equal(older.brain_after, older.brain)
    mr = case_of(heads[1], 1, "held out", "T1w", "T2w", 0.0)
    assert mr.stripped and np.array_equal(mr.judged, mr.brain_after)
