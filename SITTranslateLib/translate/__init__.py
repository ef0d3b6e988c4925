"""The pipeline from a scan to a :class:`Translation`; ``pipeline`` runs it, ``saving`` writes its result.

The package is callable: ``sit.translate(volume, model=...)`` is :func:`SITTranslateLib.translate.pipeline.translate`.
Python binds an imported package under its own name, so that a function of the same name would depend on the order of
imports.
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
