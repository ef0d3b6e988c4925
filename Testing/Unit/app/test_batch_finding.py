"""A batch translates every scan there is, or says which it passed over and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import SITTranslateLib
from SITTranslateLib.app.batch import names as batch_names
from SITTranslateLib.app.batch.names import ResultNames, path_from
from SITTranslateLib.app.batch.scans import find_scans
from SITTranslateLib.files import write_volume
from SITTranslateLib.translation import PARTS
from SITTranslateLib.volume import Volume

SCAN = Volume(np.random.default_rng(0).normal(100, 20, (8, 9, 10)), np.diag([3.0, 3, 3, 1]), "scan")


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_volume(SCAN, path)


def bids(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.8.0"}))
    return folder


def found(place: Path, passed_over: dict[str, str]) -> list[str]:
    return [scan.relative for scan in find_scans(place, "T1w", passed_over=passed_over)]


def test_linked_subjects_sessions_and_folders_are_followed_once(tmp_path: Path) -> None:
    """As DataLad and hand-made datasets have them; a link in a circle does not hang it."""
    real, place = tmp_path / "real", bids(tmp_path / "linked")
    for name in ("sub-01/ses-1/anat/sub-01_ses-1_T1w", "sub-02/anat/sub-02_T1w", "sub-03/anat/sub-03_T1w"):
        written(real / f"{name}.nii.gz")
    for part in ("sub-01/ses-1", "sub-02", "sub-03/anat"):
        (place / part).parent.mkdir(exist_ok=True)
        (place / part).symlink_to(real / part)
    (place / "sub-03" / "circle").symlink_to(place)
    (place / "sub-03" / "sub-03_run-2_T1w.nii.gz").symlink_to(tmp_path / "nowhere")
    passed_over: dict[str, str] = {}
    assert found(place, passed_over) == [
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz", "sub-03/anat/sub-03_T1w.nii.gz",
    ]  # fmt: skip
    assert passed_over == {
        "sub-03/circle": "a link to a folder that is among them already",
        "sub-03/sub-03_run-2_T1w.nii.gz": "a link that leads nowhere",
    }


def test_names_that_are_not_quite_BIDS_are_listed(tmp_path: Path) -> None:
    place = bids(tmp_path / "bids")
    odd = ("sub-pilot-1/sub-pilot-1_T1w.nii.gz", "sub-02/sub-02_acq-my_scan_T1w.nii.gz", "sub-03/sub-03_T1w_T1w.nii.gz")
    for name in (*odd, "sub-01/sub-01_T1w.nii.gz", "sub-01/sub-01_T2w.nii.gz"):
        written(place / name)
    passed_over: dict[str, str] = {}
    assert found(place, passed_over) == ["sub-01/sub-01_T1w.nii.gz"]
    assert passed_over == dict.fromkeys(odd, "not a BIDS name")


def test_pairs_and_MGH_are_found_and_other_formats_are_listed(tmp_path: Path) -> None:
    written(tmp_path / "a.nii.gz")
    nib.save(nib.Nifti1Pair(SCAN.array.T, SCAN.affine), tmp_path / "b.img")
    nib.save(nib.MGHImage(SCAN.array.T, SCAN.affine), tmp_path / "c.mgz")
    (tmp_path / "d.mnc").write_bytes(b"x")
    passed_over: dict[str, str] = {}
    assert found(tmp_path, passed_over) == ["a.nii.gz", "b.hdr", "c.mgz"]
    assert passed_over == {"d.mnc": "not a format that is read"}


def test_long_paths_give_names_that_can_be_written(tmp_path: Path) -> None:
    place = tmp_path.joinpath(*("Department-of-Neuroradiology-Research-Export-" + str(n) * 20 for n in range(4)))
    written(place / "T1.nii.gz")
    written(place / "T2.nii.gz")
    names = [ResultNames(scan.name, "brainAgeingT1wAgePlus10", "T1w") for scan in find_scans(tmp_path, "T1w")]
    assert max(len(one.file(part.name).encode()) for one in names for part in PARTS) < 200
    assert len({one.stem for one in names}) == 2


def test_a_result_on_another_drive_names_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert path_from(tmp_path / "a" / "s.nii", tmp_path / "b") == "../a/s.nii"

    def other_drive(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(batch_names.os.path, "relpath", other_drive)
    assert path_from(tmp_path / "s.nii", tmp_path / "b") == (tmp_path / "s.nii").resolve().as_posix()


def test_a_narrow_code_page_and_a_long_description_are_no_surprise_at_the_end(tmp_path: Path) -> None:
    written(tmp_path / "病人" / "扫描.nii.gz")
    library = Path(SITTranslateLib.__file__).parents[1]
    command = [sys.executable, "-m", "SITTranslateLib.app.main", "batch", str(tmp_path / "病人"), "--model",
               "brain-ageing-t1w", "--out", str(tmp_path / "out"), "--dry-run"]  # fmt: skip
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(library)}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"to do: ??.nii.gz")
    done = subprocess.run([*command, "--desc", "x" * 250], capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert b"more than the 255" in done.stderr
