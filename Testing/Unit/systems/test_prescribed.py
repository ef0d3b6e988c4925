"""Prescribed change: what is asked for is what the flow does, region by region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import SITTranslateLib as sit
from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import write_volume
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.systems.prescribed import changes as table
from SITTranslateLib.systems.prescribed import presets
from SITTranslateLib.systems.prescribed.changes import with_held
from SITTranslateLib.systems.prescribed.regions import PARTS, parts_named, shares_of_labels
from SITTranslateLib.systems.prescribed.solver import cell_jacobian, realised, solve
from SITTranslateLib.translate.prescribing import prescribe_again
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.translate.saving import save_translation
from SITTranslateLib.volume import Grid, Volume

VOLUMES = {"left hippocampus": 4.0, "right hippocampus": 3.0, "left lateral ventricle": 10.0,
           "right lateral ventricle": 12.0, "third ventricle": 1.0, "brain stem": 20.0}  # fmt: skip


@pytest.fixture(scope="module")
def head() -> tuple[Volume, Volume]:
    """A scan and labels of a procedural head at 2 mm: every label has a brightness, with a little noise."""
    labels = procedural_head(3, spacing=2.0)
    brightness = np.where(labels.array > 0, 100.0 + 7.0 * (labels.array % 61), 0.0)
    brightness += np.random.default_rng(0).normal(0.0, 2.0, brightness.shape) * (brightness > 0)
    return Volume(brightness.astype(np.float32), labels.affine, "scan"), labels.as_volume()


@pytest.fixture(scope="module")
def older(head: tuple[Volume, Volume]) -> sit.Translation:
    scan, labels = head
    return sit.prescribe(
        scan,
        labels,
        changes={"lateral ventricle": 40, "left hippocampus": -12, "right hippocampus": "-6 %", "cortex": -5},
    )


def volumes(translation: sit.Translation, labels: Volume) -> dict[str, float]:
    """Volume ratio of each part that the labels show."""
    assert translation.velocity is not None
    numbers = np.zeros(labels.shape, int)
    for index, own in enumerate(PARTS.values(), start=1):
        numbers[np.isin(labels.array, own)] = index
    ratios = realised(translation.velocity, numbers, labels.grid, len(PARTS) + 1)[1:]
    return {part: float(ratio) for part, ratio in zip(PARTS, ratios, strict=True) if ratio > 0}


def test_the_panel_names_these_regions() -> None:
    from SITTranslateLib.structure_table import REGION_NAMES, SIDED
    from SITTranslateLib.systems.prescribed.regions import REGIONS

    assert tuple(region.name for region in REGIONS) == REGION_NAMES
    assert {region.name for region in REGIONS if region.right} == SIDED
    for text in ("-8 %", "+6 mL", "-1.4 %/y"):
        assert str(table.parsed("hippocampus", text)) == text


def test_every_region_reaches_what_was_asked(older: sit.Translation, head: tuple[Volume, Volume]) -> None:
    found = volumes(older, head[1])
    expected = {"left lateral ventricle": 1.4, "right lateral ventricle": 1.4, "left hippocampus": 0.88,
                "right hippocampus": 0.94, "left cortex": 0.95, "right cortex": 0.95, "left thalamus": 1.0,
                "right white matter": 1.0, "left cerebellum": 1.0, "brain stem": 1.0}  # fmt: skip
    assert {part: found[part] for part in expected} == pytest.approx(expected, abs=0.005)
    assert older.provenance.attributes["left hippocampus"] == pytest.approx(-12.0)


def test_nothing_folds_and_the_way_back_is_the_way_there(older: sit.Translation) -> None:
    assert older.jacobian is not None and older.motion is not None and older.sampling is not None
    assert float(older.jacobian.array.min()) > 0.2
    back = fields.compose(older.motion, older.sampling).magnitude()
    assert float(np.percentile(back[older.source.array > 0], 95)) < 0.1


def test_skull_and_brain_stem_stay(older: sit.Translation, head: tuple[Volume, Volume]) -> None:
    assert older.motion is not None
    length, labels = older.motion.magnitude(), head[1].array
    assert float(length[np.isin(labels, (515, 516))].mean()) < 0.05
    assert float(length[labels == 16].mean()) < 0.2
    assert float(length[np.isin(labels, (4, 43))].mean()) > 0.5


def test_nothing_asked_is_the_identity(head: tuple[Volume, Volume]) -> None:
    same = sit.prescribe(*head, changes={"hippocampus": 0})
    assert same.motion is not None and not same.motion.array.any()
    assert np.array_equal(same.translated.array, head[0].array)


def test_a_result_is_made_again_from_its_record(
    older: sit.Translation, head: tuple[Volume, Volume], tmp_path: Path
) -> None:
    folder = save_translation(older, tmp_path / "older")
    labels = tmp_path / "labels.nii.gz"
    write_volume(head[1], labels)
    with pytest.raises(InputError, match="made with a label map"):
        sit.reproduce(folder)
    assert sit.reproduce(folder, labels=labels).verdict.startswith("PASS")
    write_volume(head[1].with_array(np.where(head[1].array == 17, 2, head[1].array)), labels)
    with pytest.raises(InputError, match="not the one"):
        sit.reproduce(folder, labels=labels)
    made = older.provenance
    for odd in ({}, {"ratios": 3}, {"ratios": {"left hippocampus": "small"}}, {"ratios": {}, "more": 1}):
        with pytest.raises(InputError, match="does not hold"):
            prescribe_again(head[0], replace(made, prescription=odd))
    toe = {"ratios": {"left toe": 0.9}, "labels_sha256": hash_of(head[1])}
    with pytest.raises(InputError, match="does not show"):
        prescribe_again(head[0], replace(made, prescription=toe), head[1])


def test_strength_scales_the_motion(older: sit.Translation) -> None:
    half = older.motion_at(0.5)
    assert half is not None and older.motion is not None
    ratio = np.linalg.norm(half.array) / np.linalg.norm(older.motion.array)
    assert ratio == pytest.approx(0.5, abs=0.03)


def test_a_stripped_brain_says_what_stands_in_for_fluid(head: tuple[Volume, Volume]) -> None:
    scan, labels = head
    brain = np.isin(labels.array, [label for own in PARTS.values() for label in own])
    stripped = Volume(np.where(brain, scan.array, 0.0).astype(np.float32), scan.affine, "stripped")
    own = labels.with_array(np.where(brain, labels.array, 0.0))
    result = sit.prescribe(stripped, own, changes={"cortex": -6})
    assert any("background stands in" in sentence for sentence in result.provenance.warnings)
    assert volumes(result, own)["left cortex"] == pytest.approx(0.94, abs=0.005)


def test_cell_jacobian_of_a_linear_motion() -> None:
    k, j, i = np.meshgrid(*(2.0 * np.arange(5),) * 3, indexing="ij")
    motion = np.stack((0.1 * i + 0.05 * j, -0.2 * j, 0.3 * k), axis=-1).astype(np.float32)
    assert cell_jacobian(motion, 2.0) == pytest.approx(np.full((4, 4, 4), 1.1 * 0.8 * 1.3), rel=1e-5)


def test_one_ball_grows_as_prescribed() -> None:
    grid = Grid.centred(np.zeros(3), (24, 24, 24), 2.0)
    k, j, i = np.meshgrid(*(2.0 * (np.arange(24) - 11.5),) * 3, indexing="ij")
    ball = np.clip((12.0 - np.sqrt(k**2 + j**2 + i**2)) / 2.0 + 0.5, 0, 1).astype(np.float32)
    found = solve(ball[None], np.array([1.3]), np.ones(grid.shape, np.float32), grid)
    assert found.ratios[0] == pytest.approx(1.3, abs=0.002)
    assert found.folded == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hippocampus", ("left hippocampus", "right hippocampus")),
        ("Left-Hippocampus", ("left hippocampus",)),
        ("Right-Thalamus-Proper", ("right thalamus",)),
        ("ventricles", ("left lateral ventricle", "right lateral ventricle", "third ventricle")),
        ("left cerebral white matter", ("left white matter",)),
        ("3rd-Ventricle", ("third ventricle",)),
        ("Brain-Stem", ("brain stem",)),
    ],
)
def test_regions_go_by_several_names(name: str, expected: tuple[str, ...]) -> None:
    assert parts_named(name) == expected


@pytest.mark.parametrize(
    ("change", "years", "expected"),
    [
        (-8, None, 0.92),
        ("-8 %", None, 0.92),
        ("+3.5 mL", None, 1.5),
        ("-1 %/y", 10.0, 0.99**10),
        ("0.35 ml/year", 2.0, 1.1),
    ],
)
def test_changes_are_read_with_their_units(change: object, years: float | None, expected: float) -> None:
    found = table.ratios({"hippocampus": change}, VOLUMES, years)
    assert found == pytest.approx({"left hippocampus": expected, "right hippocampus": expected})


def test_a_side_of_its_own_wins() -> None:
    found = table.ratios({"left hippocampus": -20, "hippocampus": -10}, VOLUMES, None)
    assert found == pytest.approx({"left hippocampus": 0.8, "right hippocampus": 0.9})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spleen": -5}, "no region"),
        ({"hippocampus": "much"}, "write it as"),
        ({"hippocampus": "-1 %/y"}, "how many years"),
        ({"hippocampus": -70}, "30 % of its volume"),
        ({"third ventricle": "+5 mL"}, "600 % of its volume"),
        ({"amygdala": -5}, "does not show"),
        ({"hippocampus": True}, "write it as"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        table.ratios(changes, VOLUMES, None)


def test_a_table_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('years = 5\n[changes]\n"lateral ventricle" = "+6 mL"\n[rates]\nhippocampus = -1.5\n')
    read = table.read_table(file)
    assert read.years == 5.0
    found = table.ratios(read.changes, VOLUMES, read.years)
    assert found["left lateral ventricle"] == pytest.approx(1 + 6 / 22)
    assert found["right hippocampus"] == pytest.approx(0.985**5)


@pytest.mark.parametrize(
    "text", ["years = 5\n", "change = 1\n", "[changes]\nhippocampus = \n", "years = 900\n[changes]\na = 1"]
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"own\.toml"):
        table.read_table(file)


def test_healthy_ageing_follows_its_sources() -> None:
    yearly = {age: presets.preset_changes("healthy-ageing", age, 1.0) for age in (25.0, 40.0, 64.0, 80.0)}
    assert set(yearly[25.0].values()) == {0.0}
    assert yearly[40.0]["hippocampus"] == pytest.approx(-0.38, abs=0.01)
    assert yearly[64.0]["hippocampus"] == pytest.approx(-0.98, abs=0.01)
    assert yearly[80.0]["hippocampus"] == pytest.approx(-1.12, abs=0.01)
    assert yearly[64.0]["white matter"] == pytest.approx(-0.5, abs=0.01)
    assert presets.preset_changes("alzheimer", None, 1.0)["hippocampus"] == pytest.approx(-4.66)


def test_there_and_back_in_time_is_nothing() -> None:
    there = presets.preset_changes("healthy-ageing", 50.0, 20.0)
    back = presets.preset_changes("healthy-ageing", 70.0, -20.0)
    for region, percent in there.items():
        assert (1 + percent / 100) * (1 + back[region] / 100) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("preset", "age", "years", "words"),
    [
        ("youth", 50.0, 5.0, "no preset"),
        ("healthy-ageing", None, 5.0, "age"),
        ("healthy-ageing", 20.0, -10.0, "adults"),
        ("alzheimer", 95.0, 10.0, "adults"),
    ],
)
def test_presets_that_do_not_apply(preset: str, age: float | None, years: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        presets.preset_changes(preset, age, years)


def test_labels_without_a_brain_are_refused(head: tuple[Volume, Volume]) -> None:
    scan, labels = head
    with pytest.raises(InputError, match="no brain"):
        shares_of_labels(labels.with_array((labels.array > 0) * 300.0))
    with pytest.raises(InputError, match="whole numbers"):
        shares_of_labels(labels.with_array(labels.array + 0.5))
    with pytest.raises(InputError, match="either"):
        sit.prescribe(scan, labels)


def test_tissue_that_is_not_named_keeps_its_volume() -> None:
    shown = {"left ventral diencephalon": 4.0, "left accumbens": 0.5, "left lateral ventricle": 9.0, "brain stem": 20.0}
    assert with_held({"brain stem": 0.9}, shown) == {"left ventral diencephalon": 1.0, "brain stem": 0.9}
