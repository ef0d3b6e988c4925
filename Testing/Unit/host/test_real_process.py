"""The host with real worker processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from waiting import has_ended, wait_until

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient, HostError
from SITTranslateLib.host.process import WorkerProcess
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import (
    DescribeRequest,
    ForgetRequest,
    RecomposeRequest,
    SegmentsRequest,
    TraceRequest,
    TranslateRequest,
    UnloadRequest,
)
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

FORCED = TranslationOptions(device="cpu", force=True)


@pytest.fixture(scope="module")
def translated(host: HostClient, tiny: Path, head: Volume) -> Translation:
    return host.run(TranslateRequest(head, str(tiny), {"age": 20}, FORCED))


def test_the_same_translation_comes_out_of_the_process_as_without_one(
    translated: Translation, tiny: Path, head: Volume
) -> None:
    from SITTranslateLib.translate.pipeline import translate

    direct = translate(head, tiny, device="cpu", force=True, attributes={"age": 20})
    np.testing.assert_allclose(translated.translated.array, direct.translated.array, atol=1e-3)
    assert direct.motion is not None
    assert translated.motion is not None
    assert float(direct.motion.magnitude().max()) > 0.1
    np.testing.assert_allclose(translated.motion.array, direct.motion.array, atol=1e-4)
    np.testing.assert_allclose(translated.translated.affine, head.affine)
    assert translated.field_origin == "model"
    assert translated.provenance.package == "tiny-ageing"


def test_strength_is_changed_without_the_network(host: HostClient, translated: Translation, head: Volume) -> None:
    nothing = host.run(RecomposeRequest(translated, 0.0))["translated"]
    np.testing.assert_allclose(nothing.array, head.array, atol=1e-3)
    whole = host.run(RecomposeRequest(translated, 1.0, fields=True))
    np.testing.assert_allclose(whole["translated"].array, translated.translated.array, atol=1e-3)
    assert whole["motion"] is not None
    only = host.run(RecomposeRequest(translated, 1.0, spatial=False))["translated"]
    assert translated.intensity_change is not None
    np.testing.assert_allclose(only.array, head.array + translated.intensity_change.array, atol=1e-3)


def test_a_strength_that_makes_no_sense_is_refused(host: HostClient, translated: Translation) -> None:
    with pytest.raises(HostError, match="out of range") as refusal:
        host.run(RecomposeRequest(translated, -2.0))
    assert refusal.value.failure is Failure.INPUT


def test_points_and_segments_are_measured_by_the_worker(
    host: HostClient, translated: Translation, head: Volume
) -> None:
    (point,) = host.run(TraceRequest(translated, [[10.0, 20.0, 5.0]]))["points"]
    assert point["residual_mm"] < 0.1
    labels = head.with_array((head.array > 60) * 2.0, "labels")
    table = host.run(SegmentsRequest(translated, labels, {2: "brain"}))["table"]
    assert [row["name"] for row in table["segments"]] == ["brain"]
    assert table["segments"][0]["volume_before_mm3"] > 1e5


def test_the_model_stays_warm(host: HostClient, tiny: Path, translated: Translation) -> None:
    warm = host.run(DescribeRequest())
    assert any(tiny.name in name for name in warm["warm"])
    assert warm["devices"][-1]["name"] == "cpu"
    host.run(UnloadRequest())
    assert host.run(DescribeRequest())["warm"] == []


def test_progress_reaches_the_end_in_order(host: HostClient, tiny: Path, head: Volume) -> None:
    seen: list[float] = []
    stages: list[str] = []
    host.progress.connect(lambda job, fraction, left: seen.append(fraction))
    host.stage.connect(lambda job, stage: stages.append(stage))
    host.run(TranslateRequest(head, str(tiny), options=FORCED))
    host.progress.disconnect()
    host.stage.disconnect()
    assert len(seen) > 3
    assert seen[-1] == 1.0
    assert "running the network" in stages


def test_bad_input_is_one_sentence_and_the_worker_lives(host: HostClient, tiny: Path, head: Volume) -> None:
    with pytest.raises(HostError, match="out of range") as refusal:
        host.run(TranslateRequest(head, str(tiny), {"age": 500}, FORCED))
    assert refusal.value.failure is Failure.INPUT
    with pytest.raises(HostError, match="no model"):
        host.run(TranslateRequest(head, "there-is-none"))
    assert host.alive


def test_arrays_are_private_and_removed(tiny: Path, head: Volume) -> None:
    with HostClient() as client:
        result = client.run(TranslateRequest(head, str(tiny), options=FORCED))
        folder = client._folder
        assert folder is not None
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        client.forget(result)
        assert list(folder.iterdir()) == []
        with pytest.raises(InputError, match="no longer held"):
            client.submit(RecomposeRequest(result, 0.5))
    assert not folder.exists()


def test_worker_death_is_an_event_and_the_next_request_starts_another(tiny: Path, head: Volume) -> None:
    with HostClient() as client:
        before = client.run(TranslateRequest(head, str(tiny), options=FORCED))
        first = client._worker
        assert isinstance(first, WorkerProcess)
        os.kill(first.pid, signal.SIGKILL)
        ended: list[int | None] = []
        client.gone.connect(ended.append)
        wait_until(lambda: ended, turn=client.poll)
        assert ended == [-signal.SIGKILL]
        # What the dead worker made can still be used by its successor.
        again = client.run(RecomposeRequest(before, 1.0))["translated"]
        np.testing.assert_allclose(again.array, before.translated.array, atol=1e-3)


def test_an_idle_worker_ends_and_the_next_request_is_served_all_the_same(tiny: Path) -> None:
    with HostClient(idle_seconds=0.2) as client:
        client.run(ForgetRequest("none"))
        wait_until(lambda: not client.alive)
        assert client.run(ForgetRequest("none")) == {}


def test_nothing_is_left_when_the_owner_dies(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from SITTranslateLib.host.client import HostClient\n"
        "from SITTranslateLib.host.requests import ForgetRequest\n"
        "client = HostClient(); client.run(ForgetRequest('none'))\n"
        "print(client._worker.pid, client._folder, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid, folder = answer.stdout.split()
    wait_until(lambda: not Path(folder).exists() and has_ended(pid))


def test_a_worker_ends_with_its_owner_although_somebody_else_holds_its_pipe(tmp_path: Path) -> None:
    """As a process that was forked in between would: the end of the pipe never comes."""
    code = (
        "import os, subprocess, sys\n"
        "from SITTranslateLib.host.client import HostClient\n"
        "from SITTranslateLib.host.requests import ForgetRequest\n"
        "client = HostClient(); client.run(ForgetRequest('none'))\n"
        "pipe = client._worker._process.stdin.fileno()\n"
        "nothing = subprocess.DEVNULL\n"
        "holder = subprocess.Popen(['sleep', '3600'], pass_fds=[pipe], stdout=nothing, stderr=nothing)\n"
        "print(client._worker.pid, holder.pid, client._folder, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid, holder, folder = answer.stdout.split()
    try:
        wait_until(lambda: not Path(folder).exists() and has_ended(pid))
    finally:
        os.kill(int(holder), signal.SIGKILL)
