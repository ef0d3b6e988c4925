"""``sittranslate trace`` from files to tables, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from moved_phantoms import oblique_grid, world
from test_estimate import head

from SITTranslateLib import fields
from SITTranslateLib.app.main import run
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import write_volume
from SITTranslateLib.files.transforms import read_transform, write_transform
from SITTranslateLib.traceability import tracing
from SITTranslateLib.traceability.landmarks import read_landmarks, write_markups
from SITTranslateLib.volume import VectorField, Volume


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    grid = oblique_grid((40, 44, 42), (2.0, 2.0, 2.2))
    x = world(grid)
    motion = 3 * np.exp(-((x / 18) ** 2).sum(-1, keepdims=True)) * [1.0, 0.5, 0.0]
    sampling = fields.exponential(VectorField(motion.astype(np.float32), grid.affine), -1.0)
    write_volume(head(grid, "T1w", 1), folder / "source.nii.gz")
    write_volume(fields.warp(head(grid, "T2w", 2), sampling), folder / "translated.nii.gz")
    labels = (np.linalg.norm(x, axis=-1) < 10) * 1.0
    write_volume(Volume(labels, grid.affine), folder / "labels.nii.gz")
    (folder / "names.csv").write_text("label,name\n1,core\n2,missing\n")
    write_markups(folder / "points.mrk.json", ["middle"], np.array([[0.0, 0.0, 0.0]]))
    return folder


def test_a_pair_on_disk_is_traced(pair, tmp_path, capsys):
    out = tmp_path / "traced"
    code = run(
        [
            *("trace", str(pair / "source.nii.gz"), str(pair / "translated.nii.gz"), "--out", str(out)),
            *("--segmentation", str(pair / "labels.nii.gz"), "--names", str(pair / "names.csv")),
            *("--points", str(pair / "points.mrk.json"), "--contrasts", "T1w,T2w"),
        ]
    )
    text = capsys.readouterr().out
    assert code == 0, text
    assert "Field: estimated, across contrasts" in text
    assert text.splitlines()[-1].startswith("Verdict: ")
    document = json.loads((out / "trace.json").read_text(encoding="utf-8"))
    assert document["field_origin"] == "estimated"
    assert document["floor"]["measured_on"] == "T1w>T2w"
    core, missing = document["segments"]
    assert core["motion_mean_mm"] == pytest.approx(3.0, abs=1.0)
    assert core["motion_r_mm"] > core["motion_a_mm"] > 0
    assert missing["note"].startswith("empty")
    assert sum(document["shares_of_variance"].values()) == pytest.approx(1.0, abs=1e-4)
    labels, points = read_landmarks(out / "points_translated.mrk.json")
    assert labels == ["middle"]
    assert points[0, 0] == pytest.approx(3.0, abs=1.0)
    assert (out / "segments.csv").is_file()
    assert "stimated" in (out / "report.html").read_text(encoding="utf-8")


def test_refusals_are_one_sentence(pair, tmp_path, capsys):
    far = Volume(head(oblique_grid((20, 20, 20), (2.0, 2.0, 2.0)), "T1w", 1).array, np.diag([2.0, 2.0, 2.0, 1.0]))
    affine = far.affine.copy()
    affine[:3, 3] = 900.0
    write_volume(Volume(far.array, affine), tmp_path / "far.nii.gz")
    source = str(pair / "source.nii.gz")
    for arguments, word in (
        ([source, str(tmp_path / "far.nii.gz")], "do not overlap"),
        ([source, str(pair / "labels.nii.gz")], "label map"),
        ([source, source, "--contrasts", "T1w"], "comma"),
        ([source, source, "--finer", "--transform", source], "leave one of them out"),
        ([source, source, "--names", str(pair / "points.mrk.json"), "-s", str(pair / "labels.nii.gz")], "label names"),
    ):
        assert run(["trace", *arguments]) == 2
        sentence = capsys.readouterr().err.strip()
        assert word in sentence
        assert "\n" not in sentence


def test_a_finer_estimate_is_asked_for(pair, monkeypatch):
    asked = []

    def estimated(_pair, **settings):
        asked.append(settings["finer"])
        raise InputError("Enough.")

    monkeypatch.setattr(tracing, "estimated_translation", estimated)
    scans = str(pair / "source.nii.gz"), str(pair / "translated.nii.gz")
    assert [run(["trace", *scans, *more]) for more in ((), ("--finer",))] == [2, 2]
    assert asked == [False, True]


def test_a_motion_by_another_program_is_traced_and_written_for_others(pair, tmp_path, capsys):
    """No estimate: the given field is in the table, under its own name, and no floor is claimed for it."""
    grid = oblique_grid((40, 44, 42), (2.0, 2.0, 2.2))
    x = world(grid)
    motion = 3 * np.exp(-((x / 18) ** 2).sum(-1, keepdims=True)) * [1.0, 0.5, 0.0]
    sampling = fields.exponential(VectorField(motion.astype(np.float32), grid.affine), -1.0)
    warp, out = write_transform(sampling, tmp_path / "x1Warp.nii.gz"), tmp_path / "traced"
    code = run(
        [
            *("trace", str(pair / "source.nii.gz"), str(pair / "translated.nii.gz"), "--transform", str(warp)),
            *("--segmentation", str(pair / "labels.nii.gz"), "--out", str(out)),
        ]
    )
    text = capsys.readouterr().out
    assert code == 0, text
    assert "Field: given by x1Warp.nii.gz" in text and "made by another program" in text
    document = json.loads((out / "trace.json").read_text(encoding="utf-8"))
    assert document["floor"]["mean_mm"] is None and document["floor_mm"] is None
    wanted = np.linalg.norm(fields.invert(sampling).array, axis=-1)[np.linalg.norm(x, axis=-1) < 10].mean()
    assert document["segments"][0]["motion_mean_mm"] == pytest.approx(wanted, abs=0.02)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Given motion" in page and "Where nothing moves, an estimate" not in page
    assert run(["export", str(out), str(tmp_path / "y.h5")]) == 0
    again = read_transform([tmp_path / "y.h5"], grid)
    np.testing.assert_allclose(again.array[5:-5, 5:-5, 5:-5], sampling.array[5:-5, 5:-5, 5:-5], atol=5e-3)
    assert run(["export", str(out), str(tmp_path / "y.h5")]) == 2
    assert "exists" in capsys.readouterr().err
    assert run(["export", str(out), str(tmp_path / "back_Warp.nii.gz"), "--inverse"]) == 0
    back = read_transform([tmp_path / "back_Warp.nii.gz"], grid)
    np.testing.assert_allclose(fields.compose(again, back).array[8:-8, 8:-8, 8:-8], 0.0, atol=0.05)
