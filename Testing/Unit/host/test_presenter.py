"""Each answer goes to who asked; of several strengths the last one counts; errors are told once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic_translation import synthetic_translation

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostError, Job
from SITTranslateLib.host.presenter import HostPresenter
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import DescribeRequest, HostRequest, RecomposeRequest
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.volume import Grid

RESULT = synthetic_translation(Grid((8, 8, 8), np.eye(4)))


class Client:
    """Takes requests, and answers when the test says so."""

    def __init__(self) -> None:
        self.finished, self.failed = Signal(), Signal()
        self.asked: list[HostRequest] = []
        self.refusal: HostError | InputError | None = None

    def submit(self, request: HostRequest) -> Job:
        if isinstance(self.refusal, InputError) and not isinstance(self.refusal, HostError):
            raise self.refusal
        self.asked.append(request)
        job = Job(len(self.asked), request.kind, "")
        if self.refusal is not None:
            job.done, job.error = True, self.refusal
            self.failed.emit(job, self.refusal)
        return job

    def poll(self) -> bool:
        return False


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def presenter(client: Client) -> HostPresenter:
    return HostPresenter(client)  # type: ignore[arg-type]


def strength(value: float) -> RecomposeRequest:
    return RecomposeRequest(RESULT, value)


def test_an_answer_goes_to_who_asked(presenter: HostPresenter, client: Client) -> None:
    first: list[Any] = []
    second: list[Any] = []
    one, two = presenter.ask(DescribeRequest(), first.append), presenter.ask(DescribeRequest(), second.append)
    client.finished.emit(two, "two")
    assert (first, second) == ([], ["two"]) and presenter.busy
    client.finished.emit(one, "one")
    assert first == ["one"] and not presenter.busy


def test_of_several_strengths_the_last_one_is_sent(presenter: HostPresenter, client: Client) -> None:
    shown: list[Any] = []
    for value in (0.1, 0.2, 0.3):
        presenter.recompose(strength(value), shown.append)
    assert [r.strength for r in client.asked] == [0.1]
    client.finished.emit(Job(1, client.asked[0].kind, ""), "0.1")
    presenter.poll()
    assert [r.strength for r in client.asked] == [0.1, 0.3] and shown == ["0.1"]
    presenter.recompose(strength(0.4), shown.append)
    presenter.drop_recomposition()
    client.finished.emit(Job(2, client.asked[1].kind, ""), "0.3")
    presenter.poll()
    assert len(client.asked) == 2 and shown == ["0.1", "0.3"] and not presenter.busy


def test_errors_are_told_once_and_those_of_others_never(presenter: HostPresenter, client: Client) -> None:
    told: list[HostError] = []
    own: list[HostError] = []
    presenter.failed.connect(told.append)
    error = HostError(Failure.FAILED, "It failed.")
    client.failed.emit(Job(77, DescribeRequest.kind, ""), error)
    assert told == []
    client.failed.emit(presenter.ask(DescribeRequest(), own.append), error)
    client.failed.emit(presenter.ask(DescribeRequest(), own.append, own.append), error)
    assert told == [error] and own == [error]
    client.failed.emit(presenter.ask(DescribeRequest(), own.append), HostError(Failure.CANCELLED, "Cancelled."))
    client.refusal = error
    presenter.ask(DescribeRequest(), own.append)
    assert told == [error, error] and not presenter.busy


def test_a_strength_of_a_result_that_is_gone_is_told_and_the_next_one_is_sent(
    presenter: HostPresenter, client: Client
) -> None:
    told: list[HostError] = []
    presenter.failed.connect(told.append)
    client.refusal = InputError("This result is no longer held; translate the scan again.")
    presenter.recompose(strength(0.5), told.append)
    assert [str(e) for e in told] == [str(client.refusal)] and told[0].failure is Failure.INPUT
    client.refusal = None
    presenter.recompose(strength(0.6), told.append)
    assert [r.strength for r in client.asked] == [0.6]
