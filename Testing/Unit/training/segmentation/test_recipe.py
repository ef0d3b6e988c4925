"""The tissue network: its data, its loss, its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.simulation import brain_mask, procedural_head
from SITTranslateLib.training.recipes.segmentation.recipe import (
    DeformedHead,
    StructureConfig,
    StructureTrainer,
    averaged,
    example,
    examples,
    is_structure,
    read_structure,
    run,
    shares,
    soft_loss,
)

HEAD = procedural_head(seed=1)
HEADS = [DeformedHead(HEAD.array, brain_mask(HEAD))]
TINY = StructureConfig("tiny", ("procedural-1",), heads=1, widths=(4, 8), steps=6, settled=4, block_mm=32, seed=3)


def test_shares_are_those_of_the_eight_voxels() -> None:
    labels = HEAD.array[:60, :60, :60]
    found = shares(labels)
    assert found.shape == (len(CLASSES), 30, 30, 30)
    assert np.allclose(found.sum(axis=0), 1.0)
    assert found[0].mean() == pytest.approx((labels == 0).mean())
    assert averaged(labels.astype(np.float32))[4, 5, 6] == labels[8:10, 10:12, 12:14].mean()


def test_an_example_depends_on_its_step_alone() -> None:
    one = examples(HEADS, TINY, 0)
    next(one)
    second, truth = next(one)
    again, truth_again = next(examples(HEADS, TINY, 1))
    assert torch.equal(second, again)
    assert torch.equal(truth, truth_again)
    assert second.shape == (1, 1, 16, 16, 16)


def test_what_is_stripped_counts_as_outside() -> None:
    image, truth = example(HEADS[0], np.random.default_rng(0), None, strip=1.0)
    assert truth[[5, 6]].sum() < 0.01 * truth[1:].sum()
    assert image.min() == 0.0
    assert image.max() == 1.0


def test_the_loss_is_least_for_the_truth() -> None:
    truth = torch.from_numpy(shares(HEAD.array[40:72, 40:72, 40:72]))[None]
    right = soft_loss(10.0 * (truth - 0.5), truth)
    assert right < 0.5 * soft_loss(torch.zeros_like(truth), truth)
    assert soft_loss(10.0 * (truth.roll(1, dims=1) - 0.5), truth) > soft_loss(torch.zeros_like(truth), truth)


@pytest.mark.parametrize("shape", [(16, 16, 16), (13, 18, 21)])
def test_the_network_takes_any_size(shape: tuple[int, int, int]) -> None:
    network = TissueNetwork((4, 8, 8)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, *shape)).shape == (1, len(CLASSES), *shape)


def test_it_learns_and_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def trainer() -> StructureTrainer:
        return StructureTrainer(replace(TINY, steps=12, settled=8), Fabric(accelerator="cpu", devices=1))

    whole, first = trainer(), trainer()
    data = [next(examples(HEADS, TINY, step)) for step in range(12)]
    losses = [whole.run_step(*data[step]) for step in range(12)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    for step in range(5):
        first.run_step(*data[step])
    first.save(tmp_path)
    second = trainer()
    second.resume(tmp_path)
    assert second.step == 5
    assert [second.run_step(*data[step]) for step in range(5, 12)] == pytest.approx(losses[5:], rel=1e-5)


def test_in_its_second_part_the_normalisation_is_fixed() -> None:
    """What a voxel is found to be must not depend on how much air the image shows."""
    trainer = StructureTrainer(replace(TINY, steps=4, settled=2), Fabric(accelerator="cpu", devices=1))
    means = []
    for step in range(4):
        trainer.run_step(*next(examples(HEADS, TINY, step)))
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

    run(replace(TINY, steps=2), tmp_path, tmp_path / "run", accelerator="cpu", precision="32-true", threads=1)
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    TissueNetwork(TINY.widths).load_state_dict(weights)


def test_configs(tmp_path: Path) -> None:
    assert is_structure("structure-map")
    assert not is_structure("sit-brain-ageing-t1w")
    assert read_structure("structure-map", steps=7).steps == 7
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('system = "structure"\nname = "a"\nmaps = []\ndepth = 3\n', encoding="utf-8")
    with pytest.raises(InputError, match="not understood"):
        read_structure(wrong)
