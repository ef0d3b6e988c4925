"""The client of the model host: starts the worker when needed, sends requests, emits its events.

No torch and no Qt. Poll it from a timer (Slicer), or wait for a job (command line)::

    host = HostClient()
    host.progress.connect(lambda job, fraction, seconds_left: ...)
    job = host.submit(TranslateRequest(scan, "brain-ageing-t1w", {"age": 10}))
    timer.timeout.connect(host.poll)

The worker may die, hang or end for being idle; each is an event, and the next request starts another worker. Results
of earlier requests stay usable, because their arrays lie in the client's private folder until they are forgotten.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.host.folders import private_folder
from SITTranslateLib.host.process import Worker, WorkerProcess
from SITTranslateLib.host.protocol import Event, Failure, Request
from SITTranslateLib.host.requests import HostRequest
from SITTranslateLib.host.results import files_of, reading_answer
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.steps import TURN_SECONDS, take_turn
from SITTranslateLib.translation import Translation

#: A cancelled job has this long to stop by itself; then its process is killed (together under two seconds).
GRACE_SECONDS = 1.0


class HostError(InputError):
    """A job that gave no result; ``str`` is one sentence for the user.

    Attributes:
        failure: what kind, so that the panel can offer what helps.
        details: for whoever repairs it.
        offer: a device that may do it (``cpu``), or empty.
    """

    def __init__(self, failure: Failure, sentence: str, details: str = "", offer: str = "") -> None:
        super().__init__(sentence)
        self.failure, self.details, self.offer = failure, details, offer


@dataclass(eq=False)
class Job:
    """One request and what became of it; its line is empty until its arrays are written."""

    id: int
    kind: Request
    line: str = ""
    started: bool = False
    sent_again: bool = False
    cancel_asked: float | None = None
    done: bool = False
    result: Any = None
    error: HostError | None = None
    messages: list[str] = field(default_factory=list)


class HostClient:
    """Holds the worker; one for each window or command."""

    def __init__(
        self,
        start: Callable[[Path], Worker] | None = None,
        *,
        idle_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage = Signal()
        self.progress = Signal()
        self.warning = Signal()
        self.finished = Signal()
        self.failed = Signal()
        self.gone = Signal()
        self.noise: deque[str] = deque(maxlen=50)
        self._start = start or (lambda folder: WorkerProcess(folder, idle_seconds=idle_seconds))
        self._clock = clock
        self._worker: Worker | None = None
        self._folder: Path | None = None
        self._jobs: dict[int, Job] = {}
        self._last_id = 0
        self._arriving: Generator[None] | None = None
        self._leaving: deque[tuple[Job, Generator[None, None, dict[str, Any]]]] = deque()
        # What the worker calls each translation and where its arrays lie, for as long as somebody holds it.
        self._known: WeakKeyDictionary[Translation, dict[str, Any]] = WeakKeyDictionary()

    def __enter__(self) -> HostClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether a worker process is there."""
        return self._worker is not None and self._worker.exit_code() is None

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def submit(self, request: HostRequest) -> Job:
        """Send a request; large arrays of it are written by the next calls of :meth:`poll`.

        Raises:
            InputError: its translation is no longer held, or the folder of its arrays cannot be written.
        """
        folder = self._private_folder()
        self._last_id += 1
        job = Job(self._last_id, request.kind)
        self._jobs[job.id] = job
        self._leaving.append((job, request.writing(job.id, folder, self._about)))
        if len(self._leaving) == 1:
            self._write_more(submitting=True)
        return job

    def poll(self) -> bool:
        """Emit everything the worker sent since the last call; whether anything is still running.

        The arrays of a request are written, and those of a result read, in several calls, so that none takes long.
        """
        self._write_more()
        if self._arriving is not None and not self._take_more():
            return self.busy
        self._kill_what_does_not_stop()
        worker = self._worker
        while worker is not None and worker is self._worker and self._arriving is None and not worker.lines.empty():
            line = worker.lines.get()
            if line is None:
                self._on_gone(worker)
                break
            self._on_line(line)
        return self.busy

    def wait(self, job: Job, timeout: float | None = None) -> Any:
        """Block until a job is done; its result.

        Raises:
            HostError: it failed, was cancelled, or took longer than ``timeout`` seconds (then it is cancelled).
        """
        end = None if timeout is None else self._clock() + timeout
        while not job.done:
            self.poll()
            if job.done:
                break
            if end is not None and self._clock() > end and job.cancel_asked is None:
                self.cancel(job)
            time.sleep(0.01)
        if job.error is not None:
            raise job.error
        return job.result

    def run(self, request: HostRequest, *, timeout: float | None = None) -> Any:
        """Submit and wait."""
        return self.wait(self.submit(request), timeout)

    def cancel(self, job: Job) -> None:
        """Ask a job to stop; one that does not within a second is killed with its process (see :meth:`poll`)."""
        if job.done or job.cancel_asked is not None:
            return
        job.cancel_asked = self._clock()
        if self._worker is not None:
            self._worker.send(protocol.encode({"request": Request.CANCEL, "id": job.id}))
        if not job.started:
            self._fail(job, HostError(Failure.CANCELLED, "Cancelled."))

    def forget(self, translation: Translation) -> None:
        """Remove a translation's files; it can no longer be recomposed, traced or measured."""
        about = self._known.pop(translation, None)
        if about is None or self._folder is None:
            return
        if self._worker is not None:
            self._worker.send(protocol.encode({"request": Request.FORGET, "id": 0, "key": about["key"]}))
        for file in files_of(about):
            (self._folder / file).unlink(missing_ok=True)

    def close(self) -> None:
        """End the worker and remove every file; running jobs fail as cancelled. May be called again."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.send(protocol.encode({"request": Request.QUIT, "id": 0}))
            worker.kill()
        self._arriving = None
        self._leaving.clear()
        for job in list(self._jobs.values()):
            self._fail(job, HostError(Failure.CANCELLED, "Cancelled."))
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._known.clear()

    def _private_folder(self) -> Path:
        if self._folder is None or not self._folder.is_dir():
            self._folder = private_folder()
            self._known.clear()
        return self._folder

    def _about(self, translation: Translation) -> dict[str, Any]:
        if translation not in self._known:
            raise InputError("This result is no longer held; translate the scan again.")
        return self._known[translation]

    def _write_more(self, *, submitting: bool = False) -> None:
        """Write more of the requests, in their order, and send those that are complete.

        Raises:
            InputError: the one that is just being submitted cannot be written; later it is a failure of its job.
        """
        end = self._clock() + TURN_SECONDS
        while self._leaving:
            job, steps = self._leaving[0]
            if job.done:
                self._leaving.popleft()
                steps.close()
                self._remove_strays()
                continue
            try:
                next(steps)
            except StopIteration as written:
                self._leaving.popleft()
                job.line = protocol.encode(written.value)
                self._send(job)
            except InputError as error:
                self._leaving.popleft()
                if submitting:
                    del self._jobs[job.id]
                    raise
                self._fail(job, HostError(Failure.INPUT, str(error)))
            if self._clock() >= end:
                return

    def _send(self, job: Job) -> None:
        if self._worker is None or self._worker.exit_code() is not None:
            try:
                self._worker = self._start(self._private_folder())
            except OSError as error:
                sentence = "The model process could not be started; check the installation of Python."
                self._fail(job, HostError(Failure.FAILED, sentence, str(error)))
                return
        # A failed write means that it is just ending; its last line, None, reports this to poll().
        self._worker.send(job.line)

    def _on_line(self, line: str) -> None:
        try:
            message = protocol.decode(line, "event")
            event = Event(message["event"])
        except ValueError:
            self.noise.append(line[:500])
            return
        if event is Event.READY:
            if message.get("protocol") != protocol.VERSION:
                self._on_wrong_version()
            return
        job = self._jobs.get(int(message.get("id", 0)))
        if job is None:
            # The answer to a job that was given up before the worker took it.
            self._remove_strays()
            return
        job.started = True
        if event is Event.STAGE:
            self.stage.emit(job, str(message.get("stage", "")))
        elif event is Event.PROGRESS:
            left = message.get("seconds_left")
            self.progress.emit(job, _number(message.get("fraction")), None if left is None else _number(left))
        elif event is Event.WARNING:
            job.messages.append(str(message.get("sentence", "")))
            self.warning.emit(job, job.messages[-1])
        elif event is Event.RESULT:
            self._on_result(job, message.get("result"))
        elif event is Event.ERROR:
            self._fail(job, _error_of(message))

    def _on_result(self, job: Job, result: Any) -> None:
        if job.cancel_asked is None:
            self._arriving = self._arrive(job, result)
            self._take_more()
        else:
            self._fail(job, HostError(Failure.CANCELLED, "Cancelled."))

    def _take_more(self) -> bool:
        """Read more of a result; whether it is complete."""
        assert self._arriving is not None
        return take_turn(self._arriving, self._clock)

    def _arrive(self, job: Job, result: Any) -> Generator[None]:
        failure = None
        try:
            received = yield from reading_answer(self._private_folder(), job.kind, result)
        except (protocol.ProtocolError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            sentence = "The model process gave an answer that cannot be read; try again."
            failure = HostError(Failure.FAILED, sentence, repr(error))
        if job.cancel_asked is not None:
            failure = HostError(Failure.CANCELLED, "Cancelled.")
        # Before anybody hears of it, and perhaps polls again.
        self._arriving = None
        if failure is not None:
            self._fail(job, failure)
        elif not job.done:
            if isinstance(received, Translation):
                self._known[received] = result["translation"]
            job.result, job.done = received, True
            self._jobs.pop(job.id, None)
            self.finished.emit(job, job.result)

    def _fail(self, job: Job, error: HostError) -> None:
        if job.done:
            return
        job.done, job.error = True, error
        self._jobs.pop(job.id, None)
        self._remove_strays()
        self.failed.emit(job, error)

    def _remove_strays(self) -> None:
        """Remove arrays that are no longer used: those of jobs that were cancelled or killed in the middle."""
        if self._jobs or self._folder is None:
            return
        held = {name for about in self._known.values() for name in files_of(about)}
        with contextlib.suppress(OSError):
            for file in self._folder.glob("*.npy"):
                if file.name not in held:
                    file.unlink(missing_ok=True)

    def _kill_what_does_not_stop(self) -> None:
        now = self._clock()
        overdue = [
            j for j in self._jobs.values() if j.cancel_asked is not None and now - j.cancel_asked > GRACE_SECONDS
        ]
        if not overdue:
            return
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
        for job in overdue:
            self._fail(job, HostError(Failure.CANCELLED, "Cancelled."))
        for job in list(self._jobs.values()):
            self._again_or_fail(job, -9, "")

    def _on_gone(self, worker: Worker) -> None:
        code, words = worker.exit_code(), worker.words()
        # Whatever it had started is ended too, should only the leader have died.
        worker.kill()
        self._worker = None
        for job in list(self._jobs.values()):
            if job.cancel_asked is not None:
                self._fail(job, HostError(Failure.CANCELLED, "Cancelled."))
            else:
                self._again_or_fail(job, code, words)
        self.gone.emit(code)

    def _again_or_fail(self, job: Job, code: int | None, words: str) -> None:
        """A job that had not begun is sent to a new worker, once; one that had begun has failed."""
        if not job.line:
            return  # Still being written; it is sent then.
        if not job.started and not job.sent_again and code in (0, -9, protocol.DEAF):
            job.sent_again = True
            self._send(job)
            return
        sentence = f"The model process ended unexpectedly (code {code}); try again, or choose another device."
        self._fail(job, HostError(Failure.DIED, sentence, words))

    def _on_wrong_version(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
        sentence = "The model process is of another version of SITTranslate; restart the application."
        for job in list(self._jobs.values()):
            self._fail(job, HostError(Failure.FAILED, sentence))


def _number(value: Any) -> float:
    """A number from 0 to a day; what is none counts as 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    return float(min(max(value, 0), 86_400)) if number else 0.0


def _error_of(message: dict[str, Any]) -> HostError:
    try:
        failure = Failure(str(message.get("failure")))
    except ValueError:
        failure = Failure.FAILED
    return HostError(
        failure,
        str(message.get("sentence", "")) or "The model could not be run.",
        str(message.get("details", "")),
        str(message.get("offer", "")),
    )
