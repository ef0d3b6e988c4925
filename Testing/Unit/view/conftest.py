"""The page's server is built on aiohttp."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")
