"""The benchmark runs, its records are complete, and a wrong answer cannot win."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.known_pairs import KnownPair
from benchmarks.speed import estimated, pages, report
from benchmarks.speed.inputs import LONGEST_MM, make_inputs
from benchmarks.speed.measuring import figure_of, run_race
from benchmarks.speed.on_device import measure_on_device
from benchmarks.speed.races import RACES
from benchmarks.speed.running import run_benchmark
from benchmarks.speed.waiting import run_command
from SITTranslateLib import fields
from SITTranslateLib.app.bench import find_benchmarks, run_bench
from SITTranslateLib.errors import InputError

SHAPE = (40, 44, 42)
KEYS = {"name", "peer", "ours_cpu_s", "peer_cpu_s", "ratio", "tolerance", "max_error", "threads", "shape"}


def test_every_race_runs_and_agrees(tmp_path) -> None:
    records = run_benchmark(list(RACES), [1, 2], SHAPE, repeats=1)
    assert {r.name for r in records} >= set(RACES)
    for record in records:
        assert record.max_error <= record.tolerance, record
        assert record.ratio == pytest.approx(record.peer_cpu_s / record.ours_cpu_s)
    assert all(set(r) >= KEYS for r in json.loads(report.to_json(records)))
    assert report.to_markdown(records).count("sit-layer |") == 4
    exact = next(r for r in records if r.name == "exp-full")
    assert exact.details["ours_mean_mm"] < 0.05 and exact.ours_system_s >= 0
    half = next(r for r in records if r.name == "exp-half")
    assert exact.details["ours_mean_mm"] < half.details["ours_mean_mm"] < 0.5
    pytest.importorskip("matplotlib")
    assert report.draw(records, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 5000


def test_figures_without_a_peer_run() -> None:
    records = {r.name: r for r in run_benchmark(["slider", "opening"], [1], SHAPE, repeats=1)}
    assert records["slider"].max_error <= records["slider"].tolerance
    assert records["opening"].reached is not None
    assert "slider" in report.to_markdown(list(records.values()))


def test_the_whole_path_is_measured_with_the_shipped_model() -> None:
    names = ["translate-overhead", "segment-table-whole", "network", "steps"]
    records = {r.name: r for r in run_benchmark(names, [1], (64, 72, 64), repeats=1)}
    assert records["translate-overhead"].ours_cpu_s > records["translate-overhead"].details["network_cpu_s"] > 0
    assert records["segment-table-whole"].details["segments"] == 100
    assert records["second-apply"].details["percent"] > 0
    assert all(records[name].ours_cpu_s > 0 for name in ("preparing", "writing"))
    assert records["points-100000"].reached is not None and records["verifying"].goal == ""
    assert records["network float32"].details["velocity_off_max_mm"] == 0
    # Narrow numbers must show, and stay below what anyone could see.
    assert 0 < records["network bfloat16"].details["velocity_off_max_mm"] < 0.1


def test_a_page_is_written_anew_where_all_of_a_table_was_measured(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    records = []
    for library, seconds in (("this project", 0.25), ("another", 3.5)):
        record = figure_of("exp-front", SHAPE, 1, seconds, 1.0, "", None)
        record.peer, record.case = library, "exp-front"
        record.details = {"squarings": 7, "error_mean_mm": 0.0042, "error_p99_mm": 0.02}
        records.append(record)
    page = tmp_path / "speed.md"
    page.write_text(
        "Before.\n<!-- bench front -->\nOld.\n<!-- end -->\nAfter.\n<!-- bench growth-points -->\nKept.\n<!-- end -->\n"
    )
    assert pages.rewrite(page, records, "--threads 1") == ["front"]
    text = page.read_text()
    assert "| this project | 7 | 0.25 | 0.0042 | 0.0200 |" in text and "| another | 7 | 3.5 |" in text
    assert "`sittranslate bench --threads 1 --only exp-front`" in text and pages.machine() in text
    assert text.startswith("Before.\n") and "Old." not in text and "After." in text and "Kept." in text
    assert (tmp_path / "pictures" / "speed-front.png").stat().st_size > 5000
    page.write_text("Nothing here.")
    with pytest.raises(InputError, match="no table 'front'"):
        pages.rewrite(page, records)


def test_estimated_fields_are_held_against_the_true_motion(tmp_path, monkeypatch) -> None:
    """Both pairs, every method with its own last level; errors, table and picture."""
    pytest.importorskip("matplotlib")
    asked = []

    def drawn(_head: object, contrasts: tuple[str, str], peak: float, seed: int, *, spacing: float) -> KnownPair:
        asked.append((contrasts, peak, seed, spacing))
        scan = make_inputs(SHAPE).image
        motion = fields.exponential(make_inputs(SHAPE).velocity)
        return KnownPair(scan, scan, motion, motion, np.ones(SHAPE, bool), contrasts, peak, "smooth")

    monkeypatch.setattr(estimated, "known_pair", drawn)
    monkeypatch.setattr(estimated, "subjects_in", lambda *given: ["a head"])
    for method in ("own", "greedy", "syn", "demons"):
        monkeypatch.setattr(estimated.methods, method, lambda pair, **_setting: np.zeros_like(pair.motion.array))
    records = run_benchmark(list(estimated.CASES), [1], SHAPE, heads=tmp_path)
    assert asked == [(("T1w", "T1w"), 6.0, 500, 1.0), (("T1w", "T2w"), 6.0, 501, 1.0)]
    ours = [r for r in records if r.peer == "this project"]
    assert [(r.details["pair"], r.details["last_level"]) for r in ours] == [
        ("T1w to T1w", "2 mm"), ("T1w to T1w", "1 mm"), ("T1w to T2w", "2 mm"), ("T1w to T2w", "1 mm")
    ]  # fmt: skip
    assert [r.details["pair"] for r in records if r.peer == "SimpleITK demons"] == ["T1w to T1w"]
    assert all(r.details["error_mean_mm"] == pytest.approx(r.details["motion_mean_mm"]) for r in records)
    page = tmp_path / "speed.md"
    page.write_text("".join(f"<!-- bench {case} -->\nOld.\n<!-- end -->\n" for case in estimated.CASES))
    assert pages.rewrite(page, records) == list(estimated.CASES)
    assert page.read_text().count("| this project |") == 4 and "one run of each. " in page.read_text()
    assert all((tmp_path / "pictures" / f"{case}.png").stat().st_size > 5000 for case in estimated.CASES)


def test_the_memory_of_a_command_is_its_own() -> None:
    subprocess.run([sys.executable, "-c", "bytearray(400 * 2**20)"], check=True)
    run = run_command(["--version"])
    assert 5.0 < run.peak < 300.0 and 0.0 <= run.system <= run.cpu
    with pytest.raises(subprocess.CalledProcessError):
        run_command(["no-such-command"])


def test_a_wrong_answer_is_no_result() -> None:
    inputs = make_inputs((32, 32, 32))
    race = RACES["exp-full"](inputs)[0]
    wrong = replace(race, ours=lambda: fields.exponential(inputs.velocity, 1.0, 7))
    with pytest.raises(AssertionError, match=r"above 0\.001"):
        run_race(wrong, 1, 1)


def test_inputs_are_what_the_goals_say() -> None:
    inputs = make_inputs((30, 32, 34))
    assert inputs.velocity.magnitude().max() == pytest.approx(LONGEST_MM, rel=1e-4)
    np.testing.assert_array_equal(inputs.velocity.array, make_inputs((30, 32, 34)).velocity.array)


def test_what_cannot_be_measured_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="sit-layer"):
        run_benchmark(["nothing"])
    with pytest.raises(InputError, match="24 voxels"):
        run_benchmark(["exp-full"], shape=(8, 8, 8))
    with pytest.raises(InputError, match="--threads"):
        run_bench(threads="many")


def test_the_command_writes_its_records(tmp_path, capsys) -> None:
    run_bench(only=["jacobian"], json_file=tmp_path / "b.json", threads="1", shape="32 32 32", repeats=1)
    names = [r["name"] for r in json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))]
    assert names == ["jacobian", "jacobian"]
    assert "ratio (CPU)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_a_device_is_measured_and_held_against_the_cpu(device: str) -> None:
    records = measure_on_device(make_inputs(SHAPE), device, repeats=2)
    assert [r.name.split(" on ")[0] for r in records] == [
        "exp", "Jacobian map", "warp", "SIT layer at half resolution", "slider",
    ]  # fmt: skip
    for record in records:
        assert record.ours_wall_s > 0
        assert record.bandwidth_share > 0
        assert record.max_error is None or record.max_error <= record.tolerance
    assert "slider on" in report.to_markdown(records)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no device"):
        measure_on_device(make_inputs((32, 32, 32)), "cuda:7", repeats=1)
    # Before anything else is measured.
    with pytest.raises(InputError, match="no device 'cuda:7' here"):
        run_bench(only=["demo-command"], threads="1", device="cuda:7")


def test_an_installation_without_benchmarks_says_where_they_are(tmp_path) -> None:
    with pytest.raises(InputError, match="not installed; run 'sittranslate bench' from a source checkout"):
        find_benchmarks(tmp_path)
