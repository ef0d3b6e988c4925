"""Training on a tiny problem: it learns, resumes to the same weights, and reads its configs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from blob_training import AXES, a_config, blob_batches
from lightning.fabric import Fabric

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.training.engine.config import card_file
from SITTranslateLib.training.engine.label_maps import label_map
from SITTranslateLib.training.recipes.sit.config import Schedule, TrainingConfig, read_config
from SITTranslateLib.training.recipes.sit.data import _EndlessOrder
from SITTranslateLib.training.recipes.sit.recipe import SITTrainer, train


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_learns_the_motion_better_than_doing_nothing(tmp_path: Path) -> None:
    config = a_config(60, follow_up=10.0, motion=1.0, smoothness=0.01)
    trainer = train(config, blob_batches(), AXES, tmp_path, fabric=fabric())
    batch = next(blob_batches(1000))
    parts = trainer.network(batch["source"], batch["code"], AXES)
    miss = float((parts.sampling - batch["sampling"]).abs().mean().detach())
    assert miss < 0.7 * float(batch["sampling"].abs().mean())


@pytest.mark.parametrize(
    "weights", [{"follow_up": 1.0, "motion": 1.0}, {"adversarial": 1.0, "attribute": 1.0, "cycle": 1.0}]
)
def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path, weights: dict[str, float]) -> None:
    config = a_config(6, **weights)
    whole = train(config, blob_batches(), AXES, tmp_path / "whole", fabric=fabric())

    class KilledError(Exception):
        pass

    def killed_at_four() -> Iterator[dict[str, torch.Tensor]]:
        for step, batch in enumerate(blob_batches()):
            if step == 4:
                raise KilledError
            yield batch

    with pytest.raises(KilledError):
        train(config, killed_at_four(), AXES, tmp_path / "cut", fabric=fabric(), save_every=2)
    assert SITTrainer.step_of(tmp_path / "cut") == 4
    resumed = train(config, blob_batches(4), AXES, tmp_path / "cut", fabric=fabric())
    for name, value in whole.shipped_weights().items():
        assert torch.allclose(value, resumed.shipped_weights()[name], atol=1e-6), name


def test_the_unpaired_host_trains_in_mixed_precision(tmp_path: Path) -> None:
    mixed = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    config = a_config(3, adversarial=1.0, attribute=1.0, cycle=1.0, sparsity=1.0, smoothness=1.0)
    trainer = train(config, blob_batches(), AXES, tmp_path, fabric=mixed)
    assert all(bool(torch.isfinite(value).all()) for value in trainer.shipped_weights().values())


def test_geometry_comes_first(tmp_path: Path) -> None:
    trainer = SITTrainer(a_config(10, follow_up=1.0), fabric(), AXES)
    trainer.config = TrainingConfig(**{**vars(trainer.config), "schedule": Schedule(steps=10, geometry_first=0.5)})
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


@pytest.mark.parametrize(
    "name", ["sit-brain-ageing-t1w", "sit-stargan-t1w", "raw-brain-ageing-t1w", "example-ten-minutes"]
)
def test_built_in_configs_are_whole(name: str) -> None:
    config = read_config(name, steps=7)
    assert config.name == name and config.schedule.steps == 7
    assert config.losses.need_critic == ("stargan" in name)


def test_a_wrong_config_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no training config 'nothing'"):
        read_config("nothing")
    file = tmp_path / "bad.toml"
    file.write_text('name = "x"\nsystem = "sit"\n[network]\n[data]\ntraining_maps = ["01"]\ncolour = 3\n')
    with pytest.raises(InputError, match=r"not understood.*colour"):
        read_config(file)


def test_a_run_draws_early_pictures(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    train(a_config(2, follow_up=1.0, motion=1.0), blob_batches(), AXES, tmp_path, fabric=fabric())
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
    config = read_config("example-ten-minutes")
    rest = {
        "schema_version": 1,
        "system": {"name": config.system, "parameters": config.network},
        "training": {"data": "none", "simulated": True},
        "figures": [],
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    }
    card = ModelCard.from_dict(json.loads(json.dumps(raw | rest)))
    assert [attribute.name for attribute in card.attributes] == config.network["attributes"]
