"""Many scans: what is found, what results are called, nothing lost, nothing twice, one failure stops nothing."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import batch_work
import numpy as np
import pytest
from batch_work import batch_of, bids, starts
from PIL import Image
from tiny_model import head, one_sentence, write_tiny_package
from waiting import has_ended, wait_until

from SITTranslateLib.app.batch import dataset, machine, running
from SITTranslateLib.app.batch.job import Record, finished
from SITTranslateLib.app.batch.names import ResultNames, ScanName, description_of
from SITTranslateLib.app.batch.running import run
from SITTranslateLib.app.batch.scans import find_scans
from SITTranslateLib.app.batch.summary import Summary
from SITTranslateLib.app.main import run as command
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume, write_volume
from SITTranslateLib.files.sequences import frame_count, write_sequence


def test_the_table_has_columns_for_structures() -> None:
    volumes = {"lateral ventricles": (17.7, 25.8), "left hippocampus": (3.0, 2.7)}
    done = Record("a", "a.nii.gz", None, "done", structures="Ventricles 17.7 to 25.8 mL", volumes_ml=volumes)
    table = Summary("m", "age +20", (done, Record("b", "b.nii.gz", None, "failed", "no")))
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert rows[0]["lateral_ventricles_change_percent"] == "45.763" and rows[0]["left_hippocampus_after_ml"] == "2.7"
    assert rows[1]["lateral_ventricles_before_ml"] == "" and "volumes_ml" not in rows[0]
    assert "17.7 to 25.8" in table.to_html() and "17.7 to 25.8" in table.to_markdown()


# ------------------------------------------------------------------------------------------------ names and finding
def test_names_follow_BIDS() -> None:
    name = ScanName.parse("sub-01_ses-b2_acq-mprage_run-1_T1w")
    assert name is not None and name.folder == "sub-01/ses-b2/anat"
    request = {"age": 10.0, "lesions": -2.5, "sex": 0.0}
    result = ResultNames(name, description_of("brain-ageing-t1w", request), "T2w")
    assert result.file("translated") == (
        "sub-01_ses-b2_acq-mprage_run-1_desc-brainAgeingT1wAgePlus10LesionsMinus2p5_T2w.nii.gz"
    )
    parts = [result.file(part) for part in ("translated", "motion", "sampling", "velocity", "jacobian", "extra0")]
    assert len(set(parts)) == len(parts)
    for part in parts:
        assert ScanName.parse(part.split(".")[0]) is not None, part
    already = ScanName.parse("sub-01_desc-preproc_T1w")
    assert already is not None
    assert ResultNames(already, "older", "T1w").stem == "sub-01_desc-preprocOlder_T1w"
    for no in ("T1w", "sub-01", "ses-1_T1w", "sub-01_sub-02_T1w", "sub-01__T1w", "sub-a b_T1w"):
        assert ScanName.parse(no) is None, no


def test_scans_of_a_BIDS_dataset(tmp_path: Path) -> None:
    wanted = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii"]
    others = ["sub-01/anat/sub-01_T2w.nii.gz", "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
              "sub-01/anat/sub-01_T1w.json", "sub-01/anat/._sub-01_T1w.nii.gz"]  # fmt: skip
    place = bids(tmp_path / "raw", wanted + others)
    assert [s.relative for s in find_scans(place, "T1w")] == wanted
    assert [s.relative for s in find_scans(place, "T1w", participants=["sub-02"], sessions=["1"])] == wanted[1:]
    for wrong in ({"participants": ["07"]}, {"participants": ["a b"]}):
        with pytest.raises(InputError) as refused:
            find_scans(place, "T1w", **wrong)  # type: ignore[arg-type]
        assert one_sentence(str(refused.value))
    with pytest.raises(InputError, match="no 'FLAIR' scan"):
        find_scans(place, "FLAIR")


def test_scans_of_any_folder_get_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a_1/scan.nii.gz", "a/1_scan.nrrd", "b.mha", "b.seg.nrrd", "notes.txt", ".hidden/c.nii", "d.seq.nrrd"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    (tmp_path / "in" / "series").mkdir()
    for number in range(2):
        (tmp_path / "in" / "series" / f"IM{number}").write_bytes(b"\0" * 128 + b"DICM")
    found = find_scans(tmp_path / "in", "T1w")
    assert {s.relative for s in found} == {"a_1/scan.nii.gz", "a/1_scan.nrrd", "b.mha", "d.seq.nrrd", "series"}
    subjects = [s.name.entity("sub") for s in found]
    assert len(set(subjects)) == 5 and all(s.isalnum() for s in subjects)


def test_frames_are_counted_from_the_header_and_sequences_keep_their_place(tmp_path: Path) -> None:
    volumes = [head(spacing=(9.0, 9.0, 9.0), seed=seed) for seed in range(3)]
    path = write_sequence(volumes, tmp_path / "s.seq.nrrd", index=[0.0, 2.5, 5.0])
    assert frame_count(path) == 3
    again = read_volume(path, frame=2)
    assert np.array_equal(again.array, volumes[2].array) and again.grid.matches(volumes[2].grid)
    with pytest.raises(InputError, match="sequence of 3 images"):
        read_volume(path)
    with pytest.raises(InputError, match="no frame 3"):
        read_volume(path, frame=3)
    (tmp_path / "broken.nrrd").write_bytes(b"NRRD0004\nsizes: 2 2 2 99999999\nkinds: domain domain domain list\n\n")
    assert frame_count(tmp_path / "broken.nrrd") == 1
    with pytest.raises(InputError, match="one grid"):
        write_sequence([volumes[0], head(spacing=(8.0, 8.0, 8.0))], tmp_path / "t.seq.nrrd")


# ------------------------------------------------------------------------------------------------ processes
def test_a_process_that_dies_takes_only_its_own_scan(tmp_path: Path) -> None:
    model = write_tiny_package(tmp_path / "tiny").folder
    names = [f"sub-{n}/anat/sub-{n}_T1w.nii" for n in ("1", "2", "killer", "3", "4", "5")]
    batch = batch_of(bids(tmp_path / "raw", names), tmp_path / "out", model)
    summary = run(batch, workers=2, work=batch_work.slow_note)
    states = {record.source.split("/")[0]: record.status for record in summary.records}
    assert states.pop("sub-killer") == "failed"
    assert set(states.values()) == {"done"} and len(states) == 5
    begun = starts(tmp_path)
    assert sum(begun.values()) <= 6 + 2, "only what was in work at that moment is done again"
    assert sum(count == 1 for count in begun.values()) >= 4
    assert "1 failed, 5 not" not in summary.counts() and summary.unfinished == 1
    assert machine.DIED in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert not (tmp_path / "out" / ".sittranslate").exists()


def test_the_command_translates_skips_repairs_and_gathers_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    # In this process; the tests above and below start others.
    monkeypatch.setattr(running, "run_on_this_machine", lambda jobs, work, _, report: [report(work(j)) for j in jobs])
    write_tiny_package(tmp_path / "models" / "tiny")
    place, out = tmp_path / "scans", tmp_path / "out"
    place.mkdir()
    scans = [head(spacing=(5.0, 5.0, 5.0), seed=seed) for seed in range(2)]
    write_volume(scans[0], place / "one.nii.gz")
    write_sequence(scans, place / "two.seq.nrrd")
    (place / "broken.mha").write_bytes(b"no scan at all")
    arguments = ["batch", str(place), "-m", "tiny", "-s", "age=+10", "-o", str(out), "--frames",
                 "--no-structures"]  # fmt: skip
    assert command([*arguments, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("to do:") == 4 and not out.exists()

    assert command(arguments) == 1
    printed = capsys.readouterr()
    assert "1 failed, 3 done" in printed.out and "failed: broken.mha: 'broken.mha' is" in printed.err
    stem = "sub-One_desc-tinyAgePlus10_T1w"
    written = {file.name for file in (out / "sub-One" / "anat").iterdir()}
    assert {f"{stem}.nii.gz", f"{stem}.json", "sub-One_desc-tinyAgePlus10_jacobian.json"} <= written
    description = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert description["DatasetType"] == "derivative" and description["DatasetLinks"] == {"raw": "../scans"}
    about = json.loads((out / "sub-One" / "anat" / f"{stem}.json").read_text(encoding="utf-8"))
    assert about["Sources"] == ["bids:raw:one.nii.gz"] and str(tmp_path) not in json.dumps(about)
    assert command(["check", str(out / "sub-One" / "anat" / f"{stem}.json")]) == 0
    assert command(["reproduce", str(out / "sub-One" / "anat" / f"{stem}.json"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "PASS: recomposed" in printed and "PASS: made again" in printed
    sequence = out / "sub-Two" / "anat" / "sub-Two_desc-tinyAgePlus10_T1w.seq.nrrd"
    frame = read_volume(sequence.with_name("sub-Two_desc-tinyAgePlus10Frame0001_T1w.nii.gz"))
    assert np.array_equal(read_volume(sequence, frame=1).array, frame.array)
    assert np.array_equal(read_volume(out / "sub-One" / "anat" / f"{stem}.nii.gz").array,
                          read_volume(sequence, frame=0).array)  # fmt: skip

    # Whole results are skipped; one that lost a file is made again; the broken scan is tried again.
    dates = {file: file.stat().st_mtime_ns for file in out.rglob("*.nii.gz")}
    lost = out / "sub-Two" / "anat" / "sub-Two_desc-tinyAgePlus10Frame0000_jacobian.nii.gz"
    lost.unlink()
    (place / "broken.mha").unlink()
    assert command(arguments) == 0
    assert "1 done, 2 already done" in capsys.readouterr().out
    assert {f for f in dates if f.stat().st_mtime_ns != dates[f]} == {
        f for f in dates if "Frame0000" in f.name
    } and lost.is_file()
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert len(rows) == 3 and all(row["verdict"].startswith("PASS") and row["folded_voxels"] == "0" for row in rows)
    page = (out / "summary.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"]+)">', page)
    assert sorted(links) == sorted(["summary.csv", *(row["translated"] for row in rows)])
    assert all((out / link).is_file() for link in links), "a report leads to what it is about"
    pictures = re.findall(r'<img loading="lazy" src="([^"]+)" alt="([^"]+)"', page)
    assert len(pictures) == 3 and all(row["id"] in text for row, (_, text) in zip(rows, sorted(pictures), strict=True))
    for picture, _ in pictures:
        with Image.open(out / picture) as image:
            width, height = image.size
            assert width == 3 * image.crop((0, 0, width // 3, height)).width and np.asarray(image).std() > 20


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["-o", "{place}"], "folder of the scans itself"),
        (["-o", "{other}"], "other things than results"),
        (["-o", "{out}", "--desc", "a-b"], "not a BIDS label"),
        (["-o", "{out}", "--participant", "1"], "not a BIDS dataset"),
        (["-o", "{out}", "-s", "age=99"], "out of range"),
        (["-o", "{out}", "--scheduler", "tcp://127.0.0.1:9"], "No dask scheduler answers"),
    ],
)
def test_mistakes_are_one_sentence(
    more: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("SITTranslateLib.app.batch.cluster.PATIENCE", 1)
    model = write_tiny_package(tmp_path / "tiny").folder
    places = {name: tmp_path / name for name in ("place", "other", "out")}
    for name in ("place", "other"):
        places[name].mkdir()
        (places[name] / "scan.nii").write_bytes(b"x")
    arguments = [text.format(**places) for text in more]
    assert command(["batch", str(places["place"]), "-m", str(model), *arguments]) == 2
    assert says in (sentence := capsys.readouterr().err.strip()) and sentence.endswith(".") and "\n" not in sentence


def test_a_result_counts_only_for_its_own_settings_and_scan(tmp_path: Path) -> None:
    model = write_tiny_package(tmp_path / "tiny").folder
    place = bids(tmp_path / "raw", ["sub-1/anat/sub-1_T1w.nii"])
    job = batch_of(place, tmp_path / "out", model).jobs[0]
    job.folder.mkdir(parents=True)
    stat = job.scan.path.stat()
    source = {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns, "sha256": ""}
    record = Record(job.id, job.scan.relative, None, "done").__dict__
    about = {"batch": {"settings": job.settings.of_result(), "source": source, "record": record}, "files": {}}
    job.sidecar.write_text(json.dumps({"SITTranslate": about}))
    found = finished(job)
    assert found is not None and found.status == "already done"
    assert finished(replace(job, settings=replace(job.settings, options=replace(job.settings.options, seed=1)))) is None
    job.scan.path.write_bytes(b"another scan")
    assert finished(job) is None
    job.sidecar.write_text("{")
    assert finished(job) is None


def test_two_batches_into_one_dataset_leave_each_other_alone(tmp_path: Path) -> None:
    model = write_tiny_package(tmp_path / "tiny").folder
    place = bids(tmp_path / "raw", ["sub-1/anat/sub-1_T1w.nii"])
    batch = batch_of(place, tmp_path / "out", model)
    running = dataset.start(batch.out, place, batch.package)
    ended = batch.out / ".sittranslate" / f"{socket.gethostname()}-999999999-aa"
    ended.mkdir()
    run(batch, work=batch_work.slow_note)
    assert (batch.out / ".sittranslate" / running).is_dir() and not ended.exists()
    dataset.end(batch.out, running)
    assert not (batch.out / ".sittranslate").exists()
    made_by = json.loads((batch.out / "dataset_description.json").read_text(encoding="utf-8"))["GeneratedBy"]
    assert [entry["Name"] for entry in made_by] == ["SITTranslate", "tiny"]


@pytest.mark.skipif(sys.platform == "win32", reason="ended by a POSIX signal")
def test_a_batch_that_is_killed_goes_on(tmp_path: Path) -> None:
    """The program itself is killed in the middle; the next one does the rest, and no process is left behind."""
    model = write_tiny_package(tmp_path / "tiny").folder
    place = bids(tmp_path / "raw", [])
    for number in range(3):
        folder = place / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        write_volume(head(spacing=(5.0, 5.0, 5.0), seed=number), folder / f"sub-{number}_T1w.nii.gz")
    out = tmp_path / "out"
    arguments = ["batch", str(place), "-m", str(model), "-s", "age=+10", "-o", str(out), "--no-fields",
                 "--no-structures"]  # fmt: skip
    code = f"import sys; from SITTranslateLib.app.main import run; sys.exit(run({arguments!r}))"
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Not those that are being written, below the working folder.
    wait_until(lambda: list(out.glob("sub-*/**/sub-*_T1w.json")) or first.poll() is not None, "the first result")
    children = _children(first.pid)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = list(out.glob("sub-*/**/sub-*_T1w.json"))
    assert done
    dates = {file: file.stat().st_mtime_ns for file in done}
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {file: file.stat().st_mtime_ns for file in done} == dates
    assert len(list(out.rglob("sub-*_T1w.json"))) == 3 and not list(out.rglob("*_xfm.nrrd"))
    assert not (out / ".sittranslate").exists()
    wait_until(lambda: all(has_ended(child) for child in children), "the end of its processes")


def _children(parent: int) -> list[str]:
    """Processes that a process started; none is known where there is no /proc."""
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    return listed.read_text(encoding="utf-8").split() if listed.exists() else []
