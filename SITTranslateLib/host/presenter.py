"""What a window or page does with the model host: each answer goes to who asked, and only the last strength counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient, HostError, Job
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import HostRequest, RecomposeRequest
from SITTranslateLib.host.signals import Signal

Answered = Callable[[Any], None]
Refused = Callable[[HostError], None]


class HostPresenter:
    """Base of the module's session and of the page's shown result. No Qt: whoever has a timer polls it.

    Attributes:
        host: the client, which others may use as well: their jobs are not answered here.
        failed: emitted with the :class:`HostError` of a request that has no handler of its own for it.
    """

    def __init__(self, host: HostClient) -> None:
        self.host = host
        self.failed = Signal()
        self._callbacks: dict[int, tuple[Answered, Refused]] = {}
        self._recomposing = False
        self._next: tuple[RecomposeRequest, Answered] | None = None
        host.finished.connect(self._on_finished)
        host.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether something asked here is not answered yet."""
        return bool(self._callbacks) or self._next is not None

    def ask(self, request: HostRequest, answered: Answered, refused: Refused | None = None) -> Job:
        """Send a request to the host; one of the two is called from a later :meth:`poll`.

        Raises:
            InputError: it cannot be sent: its result is no longer held, or the disk is full.
        """
        job = self.host.submit(request)
        if job.error is not None:
            (refused or self._tell)(job.error)
        else:
            self._callbacks[job.id] = answered, refused or self._tell
        return job

    def recompose(self, request: RecomposeRequest, answered: Answered) -> None:
        """Ask for another strength; while one is computed, only the last request after it counts."""
        self._next = request, answered
        self._send_recomposition()

    def drop_recomposition(self) -> None:
        """Forget a strength that was not sent yet."""
        self._next = None

    def poll(self) -> None:
        """Take in what the host has done; called again and again."""
        self.host.poll()
        self._send_recomposition()

    def _send_recomposition(self) -> None:
        if self._recomposing or self._next is None:
            return
        (request, answered), self._next = self._next, None

        def done(answer: Any) -> None:
            self._recomposing = False
            answered(answer)

        def refused(error: HostError) -> None:
            self._recomposing = False
            self._tell(error)

        self._recomposing = True
        try:
            self.ask(request, done, refused)
        except InputError as error:
            refused(HostError(Failure.INPUT, str(error)))

    def _on_finished(self, job: Job, result: Any) -> None:
        answered, _ = self._callbacks.pop(job.id, (None, None))
        if answered is not None:
            answered(result)

    def _on_failed(self, job: Job, error: HostError) -> None:
        _, refused = self._callbacks.pop(job.id, (None, None))
        if refused is not None:
            refused(error)

    def _tell(self, error: HostError) -> None:
        """Emit an error; a job that the user cancelled needs no words."""
        if error.failure is not Failure.CANCELLED:
            self.failed.emit(error)
