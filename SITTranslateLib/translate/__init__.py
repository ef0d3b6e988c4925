"""The pipeline from a scan to a :class:`Translation`; ``pipeline`` runs it, ``saving`` writes its result.

The room can be called: ``sit.translate(volume, model=...)`` is :func:`SITTranslateLib.translate.pipeline.translate`.
Python puts a room that was imported under its own name, so a function of that name beside it would come and go with
the order of imports.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from SITTranslateLib.translate.pipeline import translate

        return translate(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
