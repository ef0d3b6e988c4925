"""The tissue network: its data, its loss, its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import labelled_heads, structure_config, structure_trainer

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.training.recipes.segmentation.data import averaged, batches, example, shares
from SITTranslateLib.training.recipes.segmentation.objective import soft_loss
from SITTranslateLib.training.recipes.segmentation.recipe import RECIPE

TINY = structure_config()
HEADS = labelled_heads()
HEAD = HEADS[0].labels


def test_shares_are_those_of_the_eight_voxels() -> None:
    labels = HEAD[:60, :60, :60]
    found = shares(labels)
    assert found.shape == (len(CLASSES), 30, 30, 30)
    assert np.allclose(found.sum(axis=0), 1.0)
    assert found[0].mean() == pytest.approx((labels == 0).mean())
    assert averaged(labels.astype(np.float32))[4, 5, 6] == labels[8:10, 10:12, 12:14].mean()


def test_what_is_stripped_counts_as_outside() -> None:
    image, truth = example(HEADS[0], np.random.default_rng(0), None, strip=1.0)
    assert truth[[5, 6]].sum() < 0.01 * truth[1:].sum()
    assert image.min() == 0.0
    assert image.max() == 1.0


def test_the_loss_is_least_for_the_truth() -> None:
    truth = torch.from_numpy(shares(HEAD[40:72, 40:72, 40:72]))[None]
    right = soft_loss(10.0 * (truth - 0.5), truth)
    assert right < 0.5 * soft_loss(torch.zeros_like(truth), truth)
    assert soft_loss(10.0 * (truth.roll(1, dims=1) - 0.5), truth) > soft_loss(torch.zeros_like(truth), truth)


@pytest.mark.parametrize("shape", [(16, 16, 16), (13, 18, 21)])
def test_the_network_takes_any_size(shape: tuple[int, int, int]) -> None:
    network = TissueNetwork((4, 8, 8)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, *shape)).shape == (1, len(CLASSES), *shape)


def test_an_example_depends_on_its_step_alone() -> None:
    one = batches(HEADS, TINY, 0)
    next(one)
    second, again = next(one), next(batches(HEADS, TINY, 1))
    assert torch.equal(second["image"], again["image"]) and torch.equal(second["truth"], again["truth"])
    assert second["image"].shape == (1, 1, 16, 16, 16)


def test_it_learns() -> None:
    trainer = structure_trainer(structure_config(steps=12, settled=8))
    data = trainer.batches(0)
    losses = [trainer.run_step(next(data))["loss"] for _ in range(12)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_in_its_second_part_the_normalisation_is_fixed() -> None:
    """What a voxel is taken for must not depend on how much air the image shows."""
    trainer = structure_trainer(structure_config(steps=4, settled=2))
    data, means = trainer.batches(0), []
    for _ in range(4):
        trainer.run_step(next(data))
        means.append(trainer.network.module.down[0][1].running_mean.clone())
    assert not torch.equal(means[0], means[1])
    assert torch.equal(means[1], means[3])
    network = trainer.average.module.eval()
    image = torch.rand(1, 1, 24, 24, 24)
    with torch.no_grad():
        alone, with_air = network(image), network(torch.nn.functional.pad(image, (0, 16, 0, 16, 0, 16)))
    assert torch.allclose(alone[..., :12, :12, :12], with_air[..., :12, :12, :12], atol=1e-5)


def test_a_run_leaves_half_precision_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    trainer = structure_trainer(structure_config(steps=2))
    trainer.train(tmp_path)
    RECIPE.write_results(trainer, tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    TissueNetwork(TINY.widths).load_state_dict(weights)
