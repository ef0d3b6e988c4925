from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny_package
import tissues_once

from SITTranslateLib.host.client import HostClient
from SITTranslateLib.volume import Volume


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small package that moves and changes a head."""
    return tiny_package.write(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def head() -> Volume:
    return tiny_package.head()


@pytest.fixture(scope="module")
def host() -> Iterator[HostClient]:
    """A client with a real worker process."""
    with HostClient(tissues_once.start) as client:
        yield client
