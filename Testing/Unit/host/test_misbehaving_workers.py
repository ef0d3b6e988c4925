"""The client with workers that hang, print nonsense, die, or speak another version: real processes, no torch."""

from __future__ import annotations

import itertools
import queue
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from waiting import has_ended, wait_until

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.host.client import GRACE_SECONDS, TURN_SECONDS, HostClient, HostError
from SITTranslateLib.host.process import WorkerProcess
from SITTranslateLib.host.protocol import DEAF, LONGEST_LINE, VERSION, Failure
from SITTranslateLib.host.requests import DescribeRequest, EstimateRequest, TranslateRequest
from SITTranslateLib.volume import Volume

TRANSLATE = TranslateRequest(Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), "empty"), "any")
READY = f'{{"event":"ready","protocol":{VERSION}}}'
#: Says that it is ready, then does what ``BODY`` says for every line it gets.
SCRIPT = """
import json, os, subprocess, sys, time
print('%s', flush=True)
def say(**message): print(json.dumps(message), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    job = request['id']
    {body}
"""


def starter(body: str, ready: str = READY) -> Callable[[Path], WorkerProcess]:
    code = (SCRIPT % ready).replace("{body}", body.replace("\n", "\n    "))
    return lambda folder: WorkerProcess(folder, command=[sys.executable, "-c", code])


HANGS = """
if request['request'] == 'translate':
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    say(event='stage', id=job, stage=str(child.pid))
    time.sleep(600)
else: say(event='result', id=job, result={})
"""


class Clock:
    """Time as the client sees it; it stands until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_does_not_listen_is_killed_with_its_children_after_its_grace() -> None:
    clock = Clock()
    with HostClient(starter(HANGS), clock=clock) as client:
        stages: list[str] = []
        client.stage.connect(lambda _job, stage: stages.append(stage))
        job = client.submit(TRANSLATE)
        wait_until(lambda: stages, turn=client.poll)
        worker = client._worker
        assert isinstance(worker, WorkerProcess)
        client.cancel(job)
        clock.now = GRACE_SECONDS
        assert client.poll() and not job.done
        clock.now = GRACE_SECONDS + 0.01
        with pytest.raises(HostError) as refusal:
            client.wait(job)
        assert refusal.value.failure is Failure.CANCELLED
        wait_until(lambda: has_ended(worker.pid) and has_ended(stages[0]))
        # The next request finds another worker.
        assert client.run(DescribeRequest()) == {}


def test_what_waited_behind_a_killed_job_is_still_done() -> None:
    with HostClient(starter(HANGS)) as client:
        first = client.submit(TRANSLATE)
        wait_until(lambda: first.started, turn=client.poll)
        second = client.submit(DescribeRequest())
        client.cancel(first)
        assert client.wait(second) == {}
        assert first.error is not None
        assert first.error.failure is Failure.CANCELLED


def test_a_worker_that_listens_is_cancelled_and_stays() -> None:
    polite = """
if request['request'] == 'cancel': say(event='error', id=job, failure='cancelled', sentence='Cancelled.')
else: say(event='progress', id=job, fraction=0.5)
"""
    with HostClient(starter(polite), clock=Clock()) as client:
        job = client.submit(TRANSLATE)
        wait_until(lambda: job.started, turn=client.poll)
        client.cancel(job)
        with pytest.raises(HostError, match="Cancelled"):
            client.wait(job)
        assert client.alive


def test_garbage_between_the_events_is_set_aside() -> None:
    noisy = r"""
print('Downloading: 100%'); print('{"event":'); print('[1, 2]'); print('{"event": "no such"}')
sys.stdout.buffer.write(b'\xff\xfe\x00 binary\n'); sys.stdout.flush()
print(json.dumps({'event': 'result', 'id': 999, 'result': {}}))
print(json.dumps({'event': 'result', 'id': 'one', 'result': {}}))
say(event='result', id=job, result={'fine': True})
"""
    with HostClient(starter(noisy)) as client:
        assert client.run(DescribeRequest()) == {"fine": True}
        assert any("Downloading" in line for line in client.noise)


def test_death_in_the_middle_is_told_with_the_last_words() -> None:
    dies = "say(event='stage', id=job, stage='x'); print('the reason', file=sys.stderr, flush=True); os._exit(7)"
    with HostClient(starter(dies)) as client:
        with pytest.raises(HostError, match="code 7") as refusal:
            client.run(TRANSLATE)
        assert refusal.value.failure is Failure.DIED
        assert "the reason" in refusal.value.details


def test_what_a_deaf_worker_had_not_begun_is_sent_to_another() -> None:
    """Its first request ends the worker; the second worker answers."""
    once = f"""
import pathlib
flag = pathlib.Path(sys.argv[sys.argv.index('--folder') + 1]) / 'ended'
if not flag.exists(): flag.touch(); os._exit({DEAF})
say(event='result', id=job, result={{'fine': True}})
"""
    with HostClient(starter(once)) as client:
        assert client.run(DescribeRequest()) == {"fine": True}


def test_a_line_without_an_end_is_set_aside_without_being_held() -> None:
    endless = f"print('x' * {LONGEST_LINE + 1000}); say(event='result', id=job, result={{'fine': True}})"
    with HostClient(starter(endless)) as client:
        assert client.run(DescribeRequest()) == {"fine": True}
        assert len(client.noise) == 1


def test_an_answer_that_cannot_be_read_is_an_error_not_a_hang() -> None:
    outside = {"key": "a", "volumes": {"source": {"file": "../secret.npy", "affine": []}}, "fields": {}, "extras": {}}
    lies = f"say(event='result', id=job, result={{'translation': {outside!r}}})"
    with HostClient(starter(lies)) as client, pytest.raises(HostError, match="cannot be read"):
        client.run(TRANSLATE)


def test_a_worker_of_another_version_is_refused() -> None:
    old = READY.replace(f":{VERSION}}}", ":0}")
    with HostClient(starter("time.sleep(600)", old)) as client, pytest.raises(HostError, match="another version"):
        client.run(TRANSLATE)


def test_a_python_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-python")
    client = HostClient(lambda folder: WorkerProcess(folder, command=[missing]))
    with client, pytest.raises(HostError, match="could not be started"):
        client.run(DescribeRequest())


def test_closing_cancels_what_runs_and_leaves_no_file() -> None:
    client = HostClient(starter(HANGS))
    job = client.submit(TRANSLATE)
    wait_until(lambda: job.started, turn=client.poll)
    folder, worker = client._folder, client._worker
    assert folder is not None
    assert isinstance(worker, WorkerProcess)
    client.close()
    client.close()
    assert job.error is not None
    assert not folder.exists()
    wait_until(lambda: has_ended(worker.pid))


def test_waiting_with_a_limit_cancels() -> None:
    with HostClient(starter(HANGS)) as client, pytest.raises(HostError) as refusal:
        client.run(TRANSLATE, timeout=0.2)
    assert refusal.value.failure is Failure.CANCELLED


def test_a_worker_can_be_injected() -> None:
    class Echo:
        def __init__(self) -> None:
            self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def send(self, line: str) -> bool:
            self.lines.put('{"event": "result", "id": 1, "result": {}}')
            return True

        def words(self) -> str:
            return ""

        def exit_code(self) -> int | None:
            return None

        def kill(self) -> None:
            pass

    with HostClient(lambda folder: Echo()) as client:
        assert client.run(DescribeRequest()) == {}


#: Answers with the files that lie in the private folder.
ECHO = "say(event='result', id=job, result={'kind': request['request'], 'files': os.listdir('.')})"


def a_step_a_turn() -> Callable[[], float]:
    """A clock by which every step takes longer than a turn."""
    return itertools.count(0.0, TURN_SECONDS).__next__


def test_a_large_request_is_written_in_turns_and_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PART_BYTES", 16)
    answers: list[str] = []
    with HostClient(starter(ECHO), clock=a_step_a_turn()) as client:
        client.finished.connect(lambda _job, answer: answers.append(answer["kind"]))
        client.submit(EstimateRequest(source=TRANSLATE.volume, translated=TRANSLATE.volume))
        last = client.submit(DescribeRequest())
        # Two arrays of 32 bytes, one of two parts in the call itself: the first request is not sent yet.
        assert not client.alive
        client.wait(last)
    # The first has no translation in its answer, which is an error of its own.
    assert answers == ["describe"]
    assert last.id == 2


def test_a_request_that_is_cancelled_while_it_is_written_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PART_BYTES", 16)
    with HostClient(starter(ECHO), clock=a_step_a_turn()) as client:
        job = client.submit(EstimateRequest(source=TRANSLATE.volume, translated=TRANSLATE.volume))
        client.poll()
        client.cancel(job)
        assert job.error is not None
        assert job.error.failure is Failure.CANCELLED
        # The next request is answered by a worker that never heard of the first.
        assert client.run(DescribeRequest())["files"] == []


def test_a_disk_that_is_full_while_a_request_is_written_fails_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def writing(folder: Path, _array: object) -> Generator[None, None, str]:
        yield
        written.append(folder)
        raise InputError("The folder for temporary files cannot be written: the disk is full.")

    monkeypatch.setattr(protocol, "putting_array", writing)
    with HostClient(starter(ECHO), clock=a_step_a_turn()) as client:
        job = client.submit(TRANSLATE)
        with pytest.raises(HostError, match="disk is full") as refusal:
            client.wait(job)
        assert refusal.value.failure is Failure.INPUT
        assert not client.busy
        assert len(written) == 1
