"""torchio's subjects as training data: placed as they are, preprocessed as they ask, trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, one_sentence

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine import grid
from SITTranslateLib.training.engine.trainer import RunOptions
from SITTranslateLib.training.recipes.sit.bids_dataset import ScanDataset, known_scans
from SITTranslateLib.training.recipes.sit.config import Schedule
from SITTranslateLib.training.recipes.sit.recipe import RECIPE
from SITTranslateLib.training.recipes.sit.torchio_subjects import scans_of_subjects, subjects_of_file, volume_of_image

tio = pytest.importorskip("torchio", reason="torchio is not installed: pip install '.[torchio]'")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = []
    for number in range(3):
        made.append(tmp_path / f"{number}.nii.gz")
        write_volume(head(spacing=(6.0, 5.0, 7.0), seed=number), made[-1])
    return made


@pytest.fixture
def subjects(files: list[Path]) -> list[object]:
    ages = (20, 50.5, 80.0)
    people = [tio.Subject(T1w=tio.ScalarImage(file), age=age) for file, age in zip(files, ages, strict=True)]
    return [*people, tio.Subject(T1w=tio.ScalarImage(files[0])), tio.Subject(FLAIR=tio.ScalarImage(files[0]), age=3)]


def test_a_torchio_image_lies_where_the_file_lies(files: list[Path]) -> None:
    ours, theirs = read_volume(files[1]), volume_of_image(tio.ScalarImage(files[1]))
    assert ours.shape == theirs.shape and len(set(ours.shape)) > 1
    np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-4)
    np.testing.assert_array_equal(theirs.array, ours.array)
    with pytest.raises(InputError, match="2 channels"):
        volume_of_image(tio.ScalarImage(tensor=np.zeros((2, 4, 5, 6), np.float32)))


def test_who_is_taken(subjects: list[object]) -> None:
    found = scans_of_subjects(tio.SubjectsDataset(subjects), ["age"], "T1w")
    assert [scan.values for scan in found] == [(20.0,), (50.5,), (80.0,)]
    for attributes, image in ((["weight"], "T1w"), (["age"], "T2w"), (["age"], "FLAIR")):
        with pytest.raises(InputError) as refused:
            scans_of_subjects(tio.SubjectsDataset(subjects), attributes, image)
        assert one_sentence(str(refused.value))


def test_they_give_what_the_same_files_give_and_their_transform_is_applied(
    subjects: list[object], files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "SHAPE", (32, 40, 32))
    monkeypatch.setattr(grid, "SPACING_MM", 5.0)
    wanted = recipes.read("sit-own-scans-t1w")[1].scans
    assert wanted is not None
    rows = "".join(f"{file.name}\t{age}\n" for file, age in zip(files, (20, 50.5, 80), strict=True))
    (tmp_path / "scans.tsv").write_text("file\tage\n" + rows)
    by_file = ScanDataset(known_scans(tmp_path, ["age"], "T1w"), wanted, (10.0,), tmp_path / "a")
    mirrored = tio.SubjectsDataset(subjects, transform=tio.Flip(axes=0))
    plain = ScanDataset(
        scans_of_subjects(tio.SubjectsDataset(subjects), ["age"], "T1w"), wanted, (10.0,), tmp_path / "b"
    )
    turned = ScanDataset(scans_of_subjects(mirrored, ["age"], "T1w"), wanted, (10.0,), tmp_path / "b")
    for number in range(3):
        ours, theirs, other = by_file[number], plain[number], turned[number]
        np.testing.assert_allclose(theirs["source"], ours["source"], atol=2e-3)
        assert (theirs["code"] == ours["code"]).all()
        assert not np.allclose(other["source"], ours["source"], atol=2e-2)
    assert len({*plain.files, *turned.files}) == 6, "prepared under names of their own"


def test_a_file_that_names_subjects_is_trained_on(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "SHAPE", (32, 40, 32))
    monkeypatch.setattr(grid, "SPACING_MM", 5.0)
    script = tmp_path / "people.py"
    script.write_text(
        "import torchio as tio\n"
        f"files = {[str(file) for file in files]}\n"
        "subjects = tio.SubjectsDataset("
        "[tio.Subject(T1w=tio.ScalarImage(f), age=30 + 10 * n) for n, f in enumerate(files)])\n"
    )
    config = recipes.read("sit-own-scans-t1w")[1]
    small = replace(
        config, network=config.network | {"widths": [4, 6]}, schedule=Schedule(steps=2, geometry_first=0.5)
    )  # fmt: skip
    options = RunOptions(accelerator="cpu", precision="32-true", workers=0)
    trainer = RECIPE.run(small, script, tmp_path / "run", options)
    assert trainer.step == 2 and len(list((tmp_path / "run" / "own-scans").glob("*.npz"))) == 3


@pytest.mark.parametrize("text", ["import nothing_of_that_name", "subjects = 3", "people = []", "1/0", "def ("])
def test_a_file_that_names_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "people.py").write_text(text)
    with pytest.raises(InputError) as refused:
        subjects_of_file(tmp_path / "people.py")
    assert one_sentence(str(refused.value)), refused.value
