"""One small procedural head, prepared once."""

from __future__ import annotations

import pytest

from SITTranslateLib.simulation import LabelMap, Subject, prepare_subject, procedural_head


@pytest.fixture(scope="session")
def head() -> LabelMap:
    return procedural_head(1, spacing=3.0)


@pytest.fixture(scope="session")
def subject(head: LabelMap) -> Subject:
    return prepare_subject(head, seed=5)
