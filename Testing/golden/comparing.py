"""How something recorded is held against what it is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def differences(golden: Any, now: Any, where: str = "") -> Iterator[str]:
    """What was recorded and is no longer so; what was added is no difference."""
    if isinstance(golden, dict) and isinstance(now, dict):
        for key, value in golden.items():
            if key not in now:
                yield f"{where}.{key} is gone"
            else:
                yield from differences(value, now[key], f"{where}.{key}")
    elif isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        for index, (was, value) in enumerate(zip(golden, now, strict=True)):
            yield from differences(was, value, f"{where}[{index}]")
    elif where.endswith(".nargs") and golden == 1 and now == -1:
        # Any number of values: every earlier command line still means the same.
        return
    elif golden != now:
        yield f"{where}: {golden!r} became {now!r}"
