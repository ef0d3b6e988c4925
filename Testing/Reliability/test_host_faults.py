"""The host with faults put into it: killed at every stage, no disk, no memory, pipes cut, two clients, many runs.

After each: no process, no file, no folder is left, and the next request is served.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tissues_once
from faulty_worker import with_fault
from tiny_model import head, write_tiny_package
from waiting import wait_until

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient, HostError
from SITTranslateLib.host.folders import PREFIX
from SITTranslateLib.host.process import WorkerProcess
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import ForgetRequest, RecomposeRequest, TranslateRequest
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.packages import NetworkGrid
from SITTranslateLib.volume import Volume

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and resource limits are POSIX's")

#: In the tests; with SITTRANSLATE_ENDURANCE=1 (``make endurance``) the numbers of the second column.
ENDURANCE = bool(os.environ.get("SITTRANSLATE_ENDURANCE"))
TRANSLATIONS, CANCELS = (200, 100) if ENDURANCE else (24, 10)
STAGES = [
    "starting the model host", "loading the model", "reading", "looking at the scan", "preparing",
    "running the network", "decomposing", "restoring the scan's own grid", "done",
]  # fmt: skip
FORCED = TranslationOptions(device="cpu", force=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "fast"
    return str(write_tiny_package(folder, grid=NetworkGrid(10.0, (16, 16, 16))).folder)


@pytest.fixture(scope="module")
def scan() -> Volume:
    small = head(spacing=(9.0, 9.0, 9.0), size_mm=(140.0, 170.0, 140.0))
    return Volume(small.array, small.affine, "Doe^Jane 1950")


@pytest.fixture(autouse=True)
def private_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files of this test alone; afterwards nothing is left there and no child that it started runs."""
    before = set(children())
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield place
    # An empty cache folder of torch's own is made by importing it.
    left = lambda: [f.name for f in place.iterdir() if not f.name.startswith("torchinductor")]  # noqa: E731
    wait_until(lambda: not left(), "the removal of temporary files")
    wait_until(lambda: not set(children()) - before, "the end of the workers")


def children() -> list[int]:
    """Worker processes whose parent this process is, corpses left out."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and b"--folder" in words:
            found.append(int(place.name))
    return found


def translated(client: HostClient, scan: Volume, model: str, **more: float):
    return client.run(TranslateRequest(scan, model, more, FORCED))


@pytest.mark.parametrize("stage", STAGES if ENDURANCE else STAGES[::2])
def test_killed_at_every_stage(stage: str, scan: Volume, model: str, tmp_path: Path) -> None:
    fault = f'if stage == "{stage}": os.kill(os.getpid(), signal.SIGKILL)'
    with HostClient(with_fault(fault, tmp_path / "once")) as client:
        if stage == STAGES[0]:
            # It had not begun: it is sent to a second worker, and nobody notices.
            assert translated(client, scan, model).field_origin == "model"
            return
        with pytest.raises(HostError) as refusal:
            translated(client, scan, model)
        assert refusal.value.failure is Failure.DIED
        assert str(refusal.value).isprintable() and "Doe" not in str(refusal.value) + refusal.value.details
        if stage == "done":
            assert translated(client, scan, model).field_origin == "model"


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(scan: Volume, model: str) -> None:
    # The scan has 20,000 bytes, its fields three times that: the result does not fit.
    fault = "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))"
    with HostClient(with_fault(fault)) as client:
        with pytest.raises(HostError, match="disk that holds it is full") as refusal:
            translated(client, scan, model)
        assert refusal.value.failure is Failure.INPUT
        assert client._folder is not None and list(client._folder.iterdir()) == []
        assert client.alive


def test_a_full_disk_on_the_side_of_the_client(scan: Volume, model: str) -> None:
    import resource

    with HostClient() as client:
        folder = client._private_folder()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(InputError, match="disk that holds it is full"):
                client.submit(TranslateRequest(scan, model))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(folder.iterdir()) == []
        assert not client.busy


def test_starved_of_memory_it_says_so_and_goes_on(scan: Volume, model: str) -> None:
    """All address space beyond what it has, and a little, is taken away while a large scan is restored."""
    large = head(spacing=(1.3, 1.3, 1.3))
    fault = (
        'size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize(); '
        'seen.count("decomposing") == 2 and '
        "resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))"
    )
    with HostClient(with_fault(fault)) as client:
        # Libraries are loaded at their first use.
        client.forget(translated(client, scan, model))
        with pytest.raises(HostError) as refusal:
            translated(client, large, model)
        assert refusal.value.failure is Failure.OUT_OF_MEMORY, refusal.value.details
        assert "memory" in str(refusal.value)
        assert client._folder is not None and list(client._folder.iterdir()) == []


def test_a_cut_pipe_ends_the_worker(scan: Volume, model: str) -> None:
    client = HostClient()
    with client:
        translated(client, scan, model)
        process = client._worker
        assert isinstance(process, WorkerProcess) and process._process.stdin is not None
        process._process.stdin.close()
        wait_until(lambda: process.exit_code() is not None, "the end of the worker")
        # It took the folder for abandoned, with the scans in it: the client makes another, and starts another.
        wait_until(lambda: not client.alive, "the notice of it", client.poll)
        assert translated(client, scan, model).field_origin == "model"


def test_garbage_and_half_lines_into_a_real_worker(scan: Volume, model: str) -> None:
    with HostClient() as client:
        client.run(ForgetRequest("none"))
        process = client._worker
        assert isinstance(process, WorkerProcess) and process._process.stdin is not None
        generator = random.Random(3)
        for _ in range(200):
            process._process.stdin.write(generator.randbytes(generator.randrange(200)).replace(b"\n", b"") + b"\n")
        process._process.stdin.write(b'{"request":"translate","id":-5,"volume":{"file":"../../x"}}\n[1,2\n')
        process._process.stdin.flush()
        assert translated(client, scan, model).field_origin == "model"
        assert client._worker is process


def test_two_clients_do_not_meet(scan: Volume, model: str) -> None:
    with HostClient() as first, HostClient() as second:
        one = first.submit(TranslateRequest(scan, model, {"age": 20}, FORCED))
        two = second.submit(TranslateRequest(scan, model, {"age": -20}, FORCED))
        ahead, back = first.wait(one), second.wait(two)
        assert first._folder != second._folder
        assert not np.array_equal(ahead.translated.array, back.translated.array)
        first.close()
        again = second.run(RecomposeRequest(back, 1.0))["translated"]
        np.testing.assert_allclose(again.array, back.translated.array, atol=1e-3)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_and_no_file_stays(scan: Volume, model: str, record_property: Callable) -> None:
    with HostClient(None if ENDURANCE else tissues_once.start) as client:
        used: dict[str, list[int]] = {"worker": [], "client": []}
        for number in range(TRANSLATIONS):
            result = translated(client, scan, model, age=number % 20)
            client.forget(result)
            assert isinstance(client._worker, WorkerProcess)
            used["worker"].append(resident_bytes(client._worker.pid))
            used["client"].append(resident_bytes(os.getpid()))
        assert client._folder is not None and list(client._folder.iterdir()) == []
        assert Path(client._folder).stat().st_mode & 0o777 == 0o700
    for side, bytes_used in used.items():
        settled = np.array(bytes_used[TRANSLATIONS // 3 :]) / 1e6
        # The median: what grows once, as an allocator does when it likes, is no leak.
        growth = float(np.median(np.diff(settled)))
        record_property(f"{side}_growth_MB", growth)
        print(f"{side}: {settled[-1]:.0f} MB, growing by {1000 * growth:.1f} kB a translation over {settled.size}")
        assert growth < 0.25, f"the {side} grows by {growth:.2f} MB a translation"


def test_cancelled_at_random_times(scan: Volume, model: str) -> None:
    generator = random.Random(11)
    late = 0
    with HostClient() as client:
        translated(client, scan, model)
        for number in range(CANCELS):
            job = client.submit(TranslateRequest(scan, model, options=FORCED))
            # The first at once: before anything of it can be done.
            end = time.monotonic() + bool(number) * generator.uniform(0.0, 0.25)
            while time.monotonic() < end and not job.done:
                client.poll()
                time.sleep(0.002)
            client.cancel(job)
            try:
                client.forget(client.wait(job))
                late += 1
            except HostError as error:
                assert error.failure is Failure.CANCELLED
        first = translated(client, scan, model)
        client.forget(first)
        assert client._folder is not None
        left = [f.name for f in client._folder.iterdir() if f.suffix == ".npy"]
        # Of the first translation, which is still held.
        assert len(left) <= 7, left
    assert late < CANCELS


def test_no_name_of_a_person_in_any_path_or_log(scan: Volume, model: str) -> None:
    with HostClient() as client:
        result = translated(client, scan, model)
        assert result.source.name == scan.name
        assert client._folder is not None and isinstance(client._worker, WorkerProcess)
        broken = Volume(np.full(scan.shape, np.nan), scan.affine, scan.name)
        with pytest.raises(HostError) as refusal:
            translated(client, broken, model)
        logged = [str(f) for f in client._folder.rglob("*")] + list(client.noise) + [client._worker.words()]
        logged += [refusal.value.details, str(result.provenance)]
        assert not any("Doe" in text or "1950" in text for text in logged)


def test_folders_of_the_dead_are_removed(private_place: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    abandoned = private_place / f"{PREFIX}{int(ended.stdout)}-x"
    abandoned.mkdir()
    (abandoned / "scan.npy").write_bytes(b"voxels")
    running = private_place / f"{PREFIX}{os.getpid()}-z"
    running.mkdir()
    link = private_place / f"{PREFIX}{int(ended.stdout)}-y"
    link.symlink_to(Path.home())
    with HostClient() as client:
        client._private_folder()
        assert not abandoned.exists() and running.is_dir()
        assert link.is_symlink() and Path.home().exists()
    running.rmdir()
    link.unlink()
