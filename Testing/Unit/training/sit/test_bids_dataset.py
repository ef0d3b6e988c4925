"""Training on one's own scans: who is taken, what is asked, and that a run goes its whole way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import head, one_sentence

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import write_volume
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine import grid
from SITTranslateLib.training.engine.trainer import RunOptions
from SITTranslateLib.training.recipes.sit.bids_dataset import ScanDataset, known_scans
from SITTranslateLib.training.recipes.sit.config import Schedule, TrainingConfig
from SITTranslateLib.training.recipes.sit.recipe import RECIPE


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A BIDS dataset of three people with a scan and an age, one without an age, one without a scan."""
    place = tmp_path / "bids"
    for number in range(4):
        folder = place / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        write_volume(head(spacing=(6.0, 6.0, 6.0), seed=number), folder / f"sub-{number}_T1w.nii.gz")
        (folder / f"sub-{number}_T2w.nii.gz").write_bytes(b"not asked for")
    rows = [
        "participant_id\tage\tsex",
        "sub-0\t20\tf",
        "sub-1\t50.5\tm",
        "sub-2\t80\tf",
        "sub-3\tn/a\tm",
        "sub-9\t7\tf",
    ]
    (place / "participants.tsv").write_text("\n".join(rows) + "\n")
    return place


def test_who_is_taken(people: Path, tmp_path: Path) -> None:
    found = known_scans(people, ["age"], "T1w")
    assert [(s.file.name, s.values) for s in found] == [
        ("sub-0_T1w.nii.gz", (20.0,)), ("sub-1_T1w.nii.gz", (50.5,)), ("sub-2_T1w.nii.gz", (80.0,))
    ]  # fmt: skip
    table = tmp_path / "folder"
    table.mkdir()
    (table / "scans.tsv").write_text("file\tage\na.nrrd\t30\nb/c.mha\t40\n")
    assert [s.file for s in known_scans(table, ["age"], "T1w")] == [table / "a.nrrd", table / "b" / "c.mha"]
    for wrong in ((tmp_path, ["age"], "T1w"), (people, ["weight"], "T1w"), (people, ["age"], "FLAIR")):
        with pytest.raises(InputError) as refused:
            known_scans(*wrong)
        assert one_sentence(str(refused.value)), refused.value


def test_changes_lead_to_another_persons_value_and_a_run_ends_with_weights(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "SHAPE", (32, 40, 32))
    monkeypatch.setattr(grid, "SPACING_MM", 5.0)
    config = recipes.read("sit-own-scans-t1w")[1]
    assert config.scans is not None and config.losses.need_discriminator
    scans = ScanDataset(
        known_scans(people, ["age"], "T1w"), replace(config.scans, largest_change=(40.0,)), (10.0,), tmp_path
    )
    asked = {round(float(10 * scans[n]["code"][0]), 3) for n in range(len(scans))}
    assert asked == {30.5, 40.0, 29.5, -30.5, -29.5, -40.0}
    first = scans[0]
    assert 0.2 < float(first["mask"].mean()) < 0.9 and float(first["source"][first["mask"] > 0].mean()) > 0.2
    small = replace(
        config, network=config.network | {"widths": [4, 6]}, schedule=Schedule(steps=2, geometry_first=0.5)
    )  # fmt: skip
    options = RunOptions(accelerator="cpu", precision="32-true", workers=0)
    trainer = RECIPE.run(small, people, tmp_path / "run", options)
    assert trainer.step == 2
    assert all(bool(torch.isfinite(w).all()) for w in trainer.shipped_weights().values())
    assert list((tmp_path / "run" / "previews").glob("*.png"))


def test_losses_that_need_a_follow_up_are_refused() -> None:
    raw = recipes.read("sit-own-scans-t1w")[1].to_dict()
    raw["losses"]["follow_up"] = 1.0
    with pytest.raises(InputError, match="no follow-up"):
        TrainingConfig.from_dict(raw)
    assert np.isfinite(recipes.read("sit-own-scans-t1w")[1].schedule.rate)
