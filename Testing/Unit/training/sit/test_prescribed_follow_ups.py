"""Prescribed follow-ups as SIT's teacher: rates, volumes, and a step of training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import PARTS, parts_named
from SITTranslateLib.systems.sit.courses import course_values, courses_of
from SITTranslateLib.systems.sit.network import SITNetwork
from SITTranslateLib.systems.sit.structures import parcellation_sha256
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.grid import training_axes
from SITTranslateLib.training.engine.random_heads import FINE, affine_of
from SITTranslateLib.training.engine.trainer import RunOptions
from SITTranslateLib.training.recipes.segmentation.parcellation_data import with_shares
from SITTranslateLib.training.recipes.sit import prescribed
from SITTranslateLib.training.recipes.sit.config import TrainingConfig
from SITTranslateLib.training.recipes.sit.objective import log_volume_ratios

CONFIG = "brain-change-t1w"


def test_courses_of_the_config_are_those_of_the_presets():
    _, config = recipes.read(CONFIG)
    assert config.network["courses"] == prescribed.course_table()
    assert config.network["attributes"] == list(prescribed.course_table())


@pytest.mark.parametrize(("age", "years"), [(60, 20), (40, 30), (80, -20), (25, 5)])
@pytest.mark.parametrize(("severity", "preset"), [(0.0, "healthy-ageing"), (1.0, "alzheimer")])
def test_log_ratios_are_those_of_the_tables(age, years, severity, preset):
    years = np.sign(years) * min(abs(years), 10) if severity else years
    courses = courses_of(prescribed.course_table())
    values = course_values(courses, {"age": age, "years": years, "severity": severity})
    by_course = {c.name.removesuffix(prescribed.BACK): v for c, v in zip(courses, values, strict=True) if v}
    for region, percent in preset_changes(preset, age, years).items():
        reached = 100 * np.expm1(prescribed.log_ratios(by_course, parts_named(region)))
        np.testing.assert_allclose(reached, percent, atol=0.02 * abs(percent) + 0.05, err_msg=region)


def test_volumes_of_an_even_expansion():
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (17, 21, 25)), indexing="ij")
    field = torch.from_numpy(0.02 * 2.0 * np.stack((i - 12, j - 10, k - 8)))[None]
    middle = (8 * 20 + 10) * 24 + 12
    voxels = torch.tensor([middle, middle + 1]), torch.tensor([0, 1]), torch.ones(2)
    found = log_volume_ratios(field, training_axes(), voxels)
    np.testing.assert_allclose(found.numpy(), 3 * 0.02, atol=1e-3)
    np.testing.assert_allclose(log_volume_ratios(field, training_axes(), voxels, -field).numpy(), 0.0, atol=2e-3)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    """Voxels within an ellipsoid; centre from the middle and radii along (k, j, i), mm."""
    middle = [(n - 1) / 2 + c for n, c in zip(FINE, centre, strict=True)]
    axes = np.ogrid[tuple(slice(n) for n in FINE)]
    return sum(((x - m) / r) ** 2 for x, m, r in zip(axes, middle, radii, strict=True)) < 1


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """Labels of a head of ellipsoids at 1 mm."""
    labels = np.zeros(FINE, np.int16)
    right = np.arange(FINE[2]) >= FINE[2] / 2
    for radius, label in ((75, 507), (68, 515), (62, 24)):
        labels[ellipsoid((0, 0, 0), (radius, radius + 14, radius))] = label
    for radius, left in ((57, 3), (51, 2)):
        inside = ellipsoid((0, 0, 0), (radius, radius + 14, radius))
        labels[inside] = np.where(right, left + 39, left)[np.nonzero(inside)[2]]
    labels[ellipsoid((-40, -15, 0), (22, 13, 13))] = 16
    for side, x in ((0, -16.0), (1, 16.0)):
        labels[ellipsoid((8, 0, x), (9, 26, 7))] = (4, 43)[side]
        labels[ellipsoid((-14, -4, 1.6 * x), (7, 18, 7))] = (17, 53)[side]
    return labels


@pytest.fixture(scope="module")
def features(head) -> torch.Tensor:
    """What a parcellation without errors would find."""
    found = with_shares(head)
    return torch.from_numpy(np.concatenate((found.shares / np.float32(8), found.right[None])))[None]


@pytest.fixture(scope="module")
def network() -> SITNetwork:
    _, config = recipes.read(CONFIG)
    made = SITNetwork(**config.network)
    prescribed.begin_with_tables(made)
    return made


def velocity(network: SITNetwork, features: torch.Tensor, **request: float) -> torch.Tensor:
    return network(None, network.code(request), training_axes(), features=features).velocity


def measured(head, velocity: torch.Tensor, history: torch.Tensor | None = None) -> dict[str, float]:
    """Per cent of change of the true structures."""
    names = [part for part, own in PARTS.items() if np.isin(head, own).any()]
    voxels = tuple(torch.from_numpy(array) for array in prescribed.voxels_of(head, names))
    found = log_volume_ratios(velocity, training_axes(), voxels, history)
    return dict(zip(names, (100 * np.expm1(found.numpy())).tolist(), strict=True))


@pytest.mark.parametrize("request_", [{"age": 60.0, "years": 20.0}, {"age": 70.0, "years": 6.0, "severity": 1.0}])
def test_structures_change_as_the_tables_say(head, features, network, request_):
    reached = measured(head, velocity(network, features, **request_))
    preset = preset_changes(
        "alzheimer" if "severity" in request_ else "healthy-ageing", request_["age"], request_["years"]
    )
    asked = {part: percent for region, percent in preset.items() for part in parts_named(region)}
    assert asked["left hippocampus"] < -15
    for part, percent in reached.items():
        assert percent == pytest.approx(asked.get(part, 0.0), abs=2.0), part


def test_velocities_on_structures_add_up_over_the_years(features, network):
    whole = velocity(network, features, age=60, years=20)
    parts = velocity(network, features, age=60, years=5) + velocity(network, features, age=65, years=15)
    assert float(whole.abs().max()) > 1.0
    np.testing.assert_allclose(whole.numpy(), parts.numpy(), atol=1e-4)
    assert float(velocity(network, features, age=60, years=0).abs().max()) == 0.0


def test_what_was_aged_goes_back(head, features, network):
    batch = {"before": network.code({"age": 60, "years": 10}), "features": features}
    older = prescribed.aged(network, batch, training_axes())
    back = velocity(network, older["features"], age=70, years=-10)
    left = measured(head, back, older["history"])
    there = measured(head, older["history"])
    assert abs(there["left lateral ventricle"]) > 30
    # The velocity is solved for at 20 years: of 10, a tenth of the ventricles is left.
    assert max(abs(percent) for percent in left.values()) < 6.0
    assert prescribed.aged(network, {"before": torch.zeros(1, 12)}, training_axes()).keys() == {"before"}


def test_a_step_of_training(head, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(prescribed, "label_map", lambda folder, name: LabelMap(head, affine_of(1.0)))
    recipe, config = recipes.read(CONFIG)
    few = asdict(config.prescribed) | {"training_maps": ["01"], "heads": 1}
    raw = asdict(config) | {"prescribed": few}
    small = TrainingConfig.from_dict(raw, steps=1)
    trainer = recipe.run(small, tmp_path, tmp_path / "run", RunOptions(accelerator="cpu", workers=0))
    assert trainer.step == 1
    assert len(list(tmp_path.glob("run/prescribed-*/*.npz"))) == 1
    _, network = recipe.finished(tmp_path / "run")
    fresh = SITNetwork(**config.network)
    prescribed.begin_with_tables(fresh)
    moved = (network.field_head.log_ratios - fresh.field_head.log_ratios).detach().abs()
    assert 0 < float(moved.max()) < 0.01
    assert network.structures == parcellation_sha256()


def test_terms_that_need_prescribed_follow_ups():
    with pytest.raises(InputError, match="needs"):
        TrainingConfig.from_dict(
            {"name": "x", "system": "sit", "network": {}, "data": {"training_maps": ["01"]}, "losses": {"volumes": 1.0}}
        )
    _, config = recipes.read(CONFIG)
    raw = asdict(config) | {"network": config.network | {"structures": ""}}
    with pytest.raises(InputError, match="structures"):
        TrainingConfig.from_dict(raw)
