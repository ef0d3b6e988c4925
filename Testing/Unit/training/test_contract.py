"""What every recipe keeps: a stopped run goes on to the same weights, configs read back, wrong ones are refused."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_model import one_sentence
from tiny_runs import TinyRun, tiny_runs

from SITTranslateLib.errors import InputError
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.config import config_file, configs
from SITTranslateLib.training.engine.losses import Outcome
from SITTranslateLib.training.engine.trainer import MOST_LOST, step_of

RUNS = tiny_runs()
FinishedRun = Callable[[str], Path]


@pytest.fixture(params=RUNS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(name: str) -> TinyRun:
    return RUNS[name]


def test_every_system_has_a_tiny_run() -> None:
    assert {run.config.system for run in RUNS.values()} == set(recipes.RECIPES)


def test_a_stopped_run_goes_on_to_the_same_weights(
    name: str, run: TinyRun, finished_run: FinishedRun, tmp_path: Path
) -> None:
    """Stopped within a stage, between two, and on the last step."""
    for until in (1, 2, 3, None):
        run.trainer().train(tmp_path, save_every=1, until=until)
        assert step_of(tmp_path) == (until or run.config.total)
    recipe = recipes.of_run(tmp_path)
    config, network = recipe.finished(tmp_path)
    assert config == run.config, "read back from the run's folder"
    whole = recipe.finished(finished_run(name))[1].state_dict()
    resumed = network.state_dict()
    assert set(whole) == set(resumed) and all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_a_run_does_not_go_on_with_another_config(run: TinyRun, tmp_path: Path) -> None:
    run.trainer().save(tmp_path)
    text = re.sub(r'"seed": \d+', '"seed": 99', json.dumps(run.config.to_dict()))
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"began with [\w.]*seed = 99, and its config now says \d+;") as refused:
        run.trainer().train(tmp_path)
    assert one_sentence(str(refused.value)) and (tmp_path / "config.json").read_text() == text


def test_a_run_learns_logs_and_stays_finite(name: str, run: TinyRun, finished_run: FinishedRun, tmp_path: Path) -> None:
    fresh = recipes.for_system(run.config.system).network(run.config).state_dict()
    trained = recipes.finished(finished_run(name))[2].state_dict()
    assert any(key not in fresh or not torch.equal(value, fresh[key]) for key, value in trained.items())
    assert all(bool(torch.isfinite(value).all()) for value in trained.values())
    trainer = run.trainer()
    trainer.log_every = 1
    trainer.train(tmp_path, until=2)
    (log,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(log.open()))
    assert [int(row["step"]) for row in rows] == [1, 2] and float(rows[0]["total"]) != float(rows[1]["total"])


def test_a_step_without_a_finite_loss_changes_nothing_and_many_end_the_run(run: TinyRun) -> None:
    trainer = run.trainer()
    batch = next(trainer.batches(0))
    parameter = next(p for group in trainer.adam.param_groups for p in group["params"])
    before = {key: value.clone() for key, value in trainer.shipped_weights().items()}
    own = trainer.losses
    trainer.losses = lambda batch: Outcome({"spoilt": parameter.sum() * torch.nan})  # type: ignore[method-assign]
    trainer.weight_of = lambda term: 1.0  # type: ignore[method-assign]
    assert trainer.run_step(batch) == {} and trainer.step == 1
    assert all(torch.equal(value, before[key]) for key, value in trainer.shipped_weights().items())
    trainer.losses = own  # type: ignore[method-assign]
    assert trainer.run_step(batch)["total"] == pytest.approx(trainer.run_step(batch)["total"], rel=10)
    trainer.losses = lambda batch: Outcome({"spoilt": parameter.sum() * torch.nan})  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no finite loss for 20 steps: lower the rate"):
        for _ in range(MOST_LOST + 1):
            trainer.run_step(batch)


def test_a_run_without_an_end_is_no_model(run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training run"):
        recipes.finished(tmp_path)
    run.trainer().save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(run.config.to_dict()))
    with pytest.raises(InputError, match=f"stopped at step 0 of {run.config.total}"):
        recipes.finished(tmp_path)


@pytest.mark.parametrize("config", sorted(configs()))
def test_every_config_that_comes_along_is_understood(config: str) -> None:
    system = tomllib.loads(config_file(config).read_text(encoding="utf-8"))["system"]
    recipe, short = recipes.read(config, seed=7, steps=3)
    assert recipe is recipes.for_system(system) and recipe.parallel == (system == "sit")
    assert (short.name, short.seed) == (config, 7)
    assert recipe.parse(json.loads(json.dumps(short.to_dict()))) == short
    stages = getattr(short, "stages", None)
    assert short.steps == 3 * (len(stages) if stages else 1)
    maps = short.heads.maps if stages or hasattr(short, "paired") else getattr(short, "maps", ())
    # The parcellation is measured on real scans with manual labels.
    assert system == "parcellation" or set(maps).isdisjoint({"13", "14", "15", "16"}), "those are held out"
    recipe.network(short)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "x"\nsystem = "sit"\n[network]\n[data]\ntraining_maps = ["01"]\ncolour = 3\n', "understood.*colour"),
        ('name = "x"\nsystem = "structure"\nmaps = []\ndepth = 3\n', "understood.*depth"),
        (
            'name = "x"\nsystem = "structure"\nmaps = []\nsteps = "many"\n',
            "'steps' is 'many', which is no int",
        ),
        ('name = "x"\nsystem = "structure"\nmaps = []\nsteps = true\n', "'steps' is True, which is no int"),
        ('name = "x"\nsystem = "sit"\nnetwork = 3\n', "understood: 'network' is 3"),
        ('name = "x"\nsystem = "sit"\n[network]\n', "nothing to train on"),
        ('name = "x"\nsystem = "sit"\n', "not understood"),
        ('name = "x"\n', "not understood"),
        ('name = "x', "not understood"),
        ('name = "x"\nsystem = "telepathy"\n', "No recipe trains the system 'telepathy'"),
    ],
)
def test_a_wrong_config_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(InputError, match=sentence) as refused:
        recipes.read(tmp_path / "x.toml")
    assert one_sentence(str(refused.value))


@pytest.mark.parametrize("config", sorted(configs()))
def test_an_unknown_key_is_refused_by_every_kind_of_config(config: str, tmp_path: Path) -> None:
    text = config_file(config).read_text(encoding="utf-8")
    (tmp_path / "x.toml").write_text("warp = 1\n" + text)
    with pytest.raises(InputError, match=r"not understood.*warp"):
        recipes.read(tmp_path / "x.toml")


def test_a_config_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="There is no training config 'nothing'"):
        recipes.read("nothing")
