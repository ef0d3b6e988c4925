"""Observers that Python adds to objects of VTK, noted for as long as they are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class ObserverWatch:
    """Notes each observer that is added to some objects, and strikes it out when it is removed; until :meth:`stop`.

    Attributes:
        left: class of each object that is still observed, and tag of the observer.
    """

    def __init__(self, observed: Iterable[Any]) -> None:
        self.left: list[tuple[str, int]] = []
        self._observed = list(observed)
        for each in self._observed:
            self._watch(each)

    def stop(self) -> None:
        """Note no more."""
        while self._observed:
            each = self._observed.pop()
            del each.AddObserver, each.RemoveObserver

    def _watch(self, observed: Any) -> None:
        add, remove, name = observed.AddObserver, observed.RemoveObserver, observed.GetClassName()
        own: set[int] = set()

        def adding(*arguments: Any) -> int:
            tag = int(add(*arguments))
            own.add(tag)
            self.left.append((name, tag))
            return tag

        def removing(tag: int) -> None:
            if tag in own:
                own.discard(tag)
                self.left.remove((name, tag))
            remove(tag)

        observed.AddObserver, observed.RemoveObserver = adding, removing
