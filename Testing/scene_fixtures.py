"""One scene a process (Slicer's factories are singletons), empty for every test; any VTK complaint fails the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from synthetic_translation import head, synthetic_translation

from SITTranslateLib.scene.headless.application import Application, application
from SITTranslateLib.scene.headless.messages import MessageCatcher
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume


@pytest.fixture
def messages() -> Iterator[MessageCatcher]:
    """What VTK complains about; at the end of the test it must be nothing."""
    with MessageCatcher() as catcher:
        yield catcher
    assert catcher.all == []


@pytest.fixture
def app(messages: MessageCatcher) -> Iterator[Application]:
    """The application of this process with an empty scene."""
    shared = application()
    shared.clear()
    yield shared
    shared.clear()


@pytest.fixture(scope="session")
def translation() -> Translation:
    return synthetic_translation()


@pytest.fixture(scope="session")
def labels(translation: Translation) -> Volume:
    return head(translation.source.grid)[1]
