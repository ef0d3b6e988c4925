"""The folder of a result: claimed first, swapped as a whole, the user's files kept, left-overs swept away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_model import one_sentence

import SITTranslateLib
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import result_folder
from SITTranslateLib.files.result_folder import OWNER_FILE, claimed


def is_ours(name: str) -> bool:
    return name in ("result.json", "map.nii", "stale.nii")


def write(target: Path, text: str) -> None:
    with claimed(target) as place:
        (place.part / "result.json").write_text(text)
        (place.part / "map.nii").write_text(text)
        place.commit(is_ours)


def contents(folder: Path) -> dict[str, str]:
    return {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.is_file()}


def abandoned(part: Path, process: int = 2**31 - 1, host: str | None = None) -> None:
    part.mkdir()
    owner = {"host": socket.gethostname() if host is None else host, "process": process}
    (part / OWNER_FILE).write_text(json.dumps(owner))
    (part / "half.nii").write_text("half")


@pytest.mark.parametrize("one_step", [True, False])
def test_the_user_s_files_in_an_earlier_result_are_kept(
    one_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not one_step:
        monkeypatch.setattr(result_folder, "exchanged", lambda first, second: False)
    target = tmp_path / "out"
    write(target, "old")
    (target / "stale.nii").write_text("old")
    (target / "notes.txt").write_text("mine")
    write(target, "new")
    assert contents(target) == {"result.json": "new", "map.nii": "new", "notes.txt": "mine"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_second_run_to_the_same_place_is_refused_before_it_computes(tmp_path: Path) -> None:
    target = tmp_path / "out"
    abandoned(tmp_path / ".out.part", os.getppid())
    with pytest.raises(InputError, match="Another run is writing to 'out'") as caught, claimed(target):
        pass
    assert one_sentence(str(caught.value))
    assert (tmp_path / ".out.part" / "half.nii").exists()


@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_what_a_killed_run_left_is_swept(host: str | None, tmp_path: Path) -> None:
    part = tmp_path / ".out.part"
    abandoned(part, host=host)
    if host is not None:
        with pytest.raises(InputError, match="Another run"), claimed(tmp_path / "out"):
            pass
        os.utime(part, (time.time() - 8 * 24 * 3600,) * 2)
    write(tmp_path / "out", "new")
    assert contents(tmp_path / "out") == {"result.json": "new", "map.nii": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_earlier_result_is_back_where_a_run_was_killed_between_two_renames(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.old")
    with pytest.raises(RuntimeError), claimed(tmp_path / "out"):
        raise RuntimeError
    assert contents(tmp_path / "out")["result.json"] == "old"


def test_a_folder_that_appears_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(InputError, match="cannot be written"), claimed(target) as place:
        (place.part / "result.json").write_text("new")
        target.mkdir()
        (target / "map.nii").write_text("somebody's")
        place._onto_empty()
    assert contents(target) == {"map.nii": "somebody's"}


def test_a_mount_point_is_filled_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    target.mkdir()
    monkeypatch.setattr(result_folder.os.path, "ismount", lambda path: Path(path) == target)
    (target / "notes.txt").write_text("mine")
    for text in ("old", "new"):
        write(target, text)
        assert contents(target) == {"result.json": text, "map.nii": text, "notes.txt": "mine"}
        assert sorted(p.name for p in target.iterdir()) == ["map.nii", "notes.txt", "result.json"]


def test_without_a_commit_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "a" / "b" / "out") as place:
        (place.part / "half").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_names_too_long_are_told_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its name is too long"), claimed(tmp_path / ("x" * 252)):
        pass


def test_a_terminated_command_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM, as systems and schedulers send it."""
    code = (
        "import sys, time, pathlib\n"
        "from SITTranslateLib.app import main\n"
        "from SITTranslateLib.app.holding import hold\n"
        "from SITTranslateLib.files.result_folder import claimed\n"
        "def command(**_):\n"
        "    hold(claimed(pathlib.Path(sys.argv[1])))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(3600)\n"
        "main.build = lambda called: command\n"
        "main.main()\n"
    )
    library = Path(SITTranslateLib.__file__).parents[1]
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path / "new" / "out")], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(library)},
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    assert (tmp_path / "new" / ".out.part" / OWNER_FILE).is_file()
    child.send_signal(signal.SIGTERM)
    said = child.communicate()[1]
    assert child.returncode == 143 and "nothing was written" in said
    assert list(tmp_path.iterdir()) == []
