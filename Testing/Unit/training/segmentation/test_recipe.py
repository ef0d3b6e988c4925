"""The segmentation networks: their data, loss and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import labelled_heads, parcellation_config, segmentation_trainer, structure_config, tiny_runs

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation import CLASSES, parcellation
from SITTranslateLib.segmentation.maps import tissue_network
from SITTranslateLib.segmentation.network import TissueNetwork
from SITTranslateLib.segmentation.structures import CLASS_COUNT
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.systems.prescribed.regions import PARTS
from SITTranslateLib.training.recipes.segmentation import varied_heads
from SITTranslateLib.training.recipes.segmentation.config import ParcellationConfig, SegmentationConfig
from SITTranslateLib.training.recipes.segmentation.objective import soft_loss
from SITTranslateLib.training.recipes.segmentation.recipe import RECIPE
from SITTranslateLib.training.recipes.segmentation.tissue_data import averaged, example, shares

TINY = structure_config()
HEADS = labelled_heads()
HEAD = HEADS[0].labels


def test_shares_are_those_of_the_eight_voxels() -> None:
    labels = HEAD[20:80, 20:80, 20:80]
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
    truth = torch.from_numpy(shares(HEAD[20:52, 40:72, 30:62]))[None]
    right = soft_loss(10.0 * (truth - 0.5), truth)
    assert right < 0.5 * soft_loss(torch.zeros_like(truth), truth)
    assert soft_loss(10.0 * (truth.roll(1, dims=1) - 0.5), truth) > soft_loss(torch.zeros_like(truth), truth)


@pytest.mark.parametrize("shape", [(16, 16, 16), (13, 18, 21)])
def test_the_network_takes_any_size(shape: tuple[int, int, int]) -> None:
    network = TissueNetwork((4, 8, 8)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, *shape)).shape == (1, len(CLASSES), *shape)


@pytest.mark.parametrize("config", [TINY, parcellation_config()], ids=lambda config: config.system)
def test_an_example_depends_on_its_step_alone(config: SegmentationConfig) -> None:
    batches = segmentation_trainer(config).batches
    one, later = batches(0), 5
    for _ in range(later):
        next(one)
    kept, again = next(one), next(batches(later))
    assert set(kept) == set(again) and all(torch.equal(value, again[name]) for name, value in kept.items())
    assert kept["image"].shape == (1, 1, 16, 16, 16)


def test_it_learns() -> None:
    trainer = segmentation_trainer(structure_config(steps=12, settled=8))
    data = trainer.batches(0)
    losses = [trainer.run_step(next(data))["loss"] for _ in range(12)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_in_its_second_part_the_normalisation_is_fixed() -> None:
    """What a voxel is taken for must not depend on how much air the image shows."""
    trainer = segmentation_trainer(structure_config(steps=4, settled=2))
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


@pytest.mark.parametrize("name", ["structure", "parcellation"])
def test_a_run_leaves_half_precision_weights(name: str, finished_run: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    config = tiny_runs()[name].config
    trainer = segmentation_trainer(config)
    trainer.resume(finished_run(name))
    RECIPE.write_results(trainer, tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    RECIPE.network(config).load_state_dict(weights)
    if name == "parcellation":
        going_on = RECIPE.network(replace(config, start=str(tmp_path / "weights.safetensors")))
        assert all(torch.allclose(v, weights[n].to(v.dtype)) for n, v in going_on.state_dict().items())
        with pytest.raises(InputError, match="no weights 'none'"):
            RECIPE.network(replace(config, start=str(tmp_path / "none")))


def test_the_parcellation_begins_with_the_features_of_the_tissue_network() -> None:
    network = RECIPE.network(ParcellationConfig("parcellation", ("01",)))
    assert torch.equal(network.state_dict()["down.1.0.weight"], tissue_network().state_dict()["down.1.0.weight"])
    assert network.head.out_channels == CLASS_COUNT + 1
    parcellation.parcellation_network().load_state_dict(network.state_dict())


def test_varied_heads_have_the_volumes_that_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = procedural_head(1, spacing=2.0)
    varied = varied_heads.varied(head, np.random.default_rng(3))
    asked = varied_heads.random_ratios(np.random.default_rng(3))
    for part in ("left lateral ventricle", "right caudate", "left thalamus", "right cerebellum"):
        before, after = (int(np.isin(labels, PARTS[part]).sum()) for labels in (head.array, varied))
        assert after / before == pytest.approx(asked[part], abs=0.06), part
    skull, still = (np.isin(labels, (515, 516)) for labels in (head.array, varied))
    assert np.count_nonzero(skull != still) < 0.01 * np.count_nonzero(skull)
    monkeypatch.setattr(varied_heads, "label_map", lambda folder, name: head)
    config = parcellation_config(variants=2, seed=4)
    heads = varied_heads.heads_of(config, tmp_path, tmp_path)
    assert len(heads) == 3 and len(list(tmp_path.glob("varied-*/procedural-1-*.npy"))) == 2
    assert not np.array_equal(heads[1].labels, heads[2].labels)
    monkeypatch.setattr(varied_heads, "varied", None)
    assert np.array_equal(varied_heads.heads_of(config, tmp_path, tmp_path)[2].labels, heads[2].labels)
