"""PythonQt's way of speaking to Qt objects, on PySide6.

In PythonQt a Qt property is an attribute (``edit.text`` is the text, ``edit.text()`` fails, ``edit.text = "x"`` and
``edit.setText("x")`` both work), and signals can be connected by their C++ signature.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject

#: Properties that share their name with a virtual method that Qt itself calls.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}
_SIGNATURE = re.compile(r"\s*2?(\w+)\s*\((.*)\)\s*$")
_OVERLOADS = {"int": int, "bool": bool, "QString": str, "double": float}


class PropertyAsAttribute:
    """A Qt property read and written as an attribute."""

    def __init__(self, name: str, original: Any, writable: bool) -> None:
        self.name, self.original, self.writable = name, original, writable

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        # On the class: static methods of the same name, such as QTimer.singleShot.
        if instance is not None:
            return instance.property(self.name)
        if self.original is None:
            raise AttributeError(self.name)
        return self.original

    def __set__(self, instance: Any, value: Any) -> None:
        if not self.writable:
            raise AttributeError(f"property '{self.name}' of {type(instance).__name__} cannot be written")
        if not instance.setProperty(self.name, value):
            raise TypeError(f"property '{self.name}' of {type(instance).__name__} does not take {value!r}")


def make_none_immortal() -> None:
    """As Python 3.12 does: reading properties through PySide6 gives back references to None that it never took."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def use_properties_as_attributes() -> None:
    """Patch every Qt class of PySide6."""
    make_none_immortal()
    for module in (QtCore, QtGui, QtWidgets):
        for cls in [getattr(module, name) for name in dir(module)]:
            if isinstance(cls, type) and issubclass(cls, QObject) and hasattr(cls, "staticMetaObject"):
                _patch(cls)
    QObject.name = property(lambda self: self.objectName, lambda self, value: self.setObjectName(value))
    QObject.className = lambda self: self.metaObject().className()
    QObject.delete = lambda self: self.deleteLater()


def _patch(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        described = meta.property(index)
        name = described.name()
        if name not in _VIRTUAL and name.isidentifier():
            setattr(cls, name, PropertyAsAttribute(name, getattr(cls, name, None), described.isWritable()))


class _Slot:
    """Calls a function with as many of the signal's values as it takes."""

    def __init__(self, function: Callable[..., Any], most: int) -> None:
        self.function, self.most = function, most
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return
        kinds = [parameter.kind for parameter in parameters]
        if inspect.Parameter.VAR_POSITIONAL not in kinds:
            positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            self.most = min(most, sum(kind in positional for kind in kinds))

    def __call__(self, *values: Any) -> Any:
        return self.function(*values[: self.most])


def connect_by_signature(self: Any, signature: str, target: Any, slot: str | None = None) -> bool:
    """``widget.connect("clicked(bool)", function)``; a signal that is not there is an error."""
    found = _SIGNATURE.match(signature)
    name, arguments = (found[1], found[2].replace(" ", "")) if found else (signature, "")
    signal = getattr(self, name, None)
    if signal is None or not hasattr(signal, "connect"):
        raise AttributeError(f"{type(self).__name__} has no signal '{signature}'")
    kinds = [kind for kind in arguments.split(",") if kind]
    _check_arguments(self, name, kinds)
    if slot is not None:
        target = getattr(target, _SIGNATURE.match(slot)[1])  # type: ignore[index]
    adapted = _Slot(target, len(kinds))
    self.__dict__.setdefault("_connections", []).append((name, target, adapted))
    if len(kinds) == 1 and kinds[0] in _OVERLOADS:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            signal = signal[_OVERLOADS[kinds[0]]]
    signal.connect(adapted)
    return True


def _check_arguments(instance: Any, name: str, kinds: list[str]) -> None:
    """Real Qt classes: the signature must exist; stand-ins carry Python objects, so only their count is held."""
    meta = instance.metaObject()
    counts = {meta.method(i).parameterCount() for i in range(meta.methodCount())
              if bytes(meta.method(i).name()).decode() == name}  # fmt: skip
    if counts and len(kinds) not in counts:
        raise AttributeError(f"{type(instance).__name__}.{name} has no form with {len(kinds)} arguments")


def disconnect_by_signature(self: Any, signature: str, target: Any = None) -> bool:
    name = _SIGNATURE.match(signature)[1]  # type: ignore[index]
    kept, any_found = [], False
    for connection in self.__dict__.get("_connections", []):
        if connection[0] == name and target in (None, connection[1]):
            getattr(self, name).disconnect(connection[2])
            any_found = True
        else:
            kept.append(connection)
    self.__dict__["_connections"] = kept
    return any_found


def speaks_pythonqt(cls: type) -> type:
    """Class decorator for stand-ins: PySide6 resolves ``connect`` in C, so it must stand in the class itself."""
    cls.connect = connect_by_signature
    cls.disconnect = disconnect_by_signature
    return cls


def let_speak_pythonqt(instance: Any) -> None:
    """The same for one object that a ``.ui`` file made."""
    if type(instance).__dict__.get("connect") is not connect_by_signature:
        instance.__dict__["connect"] = types.MethodType(connect_by_signature, instance)
        instance.__dict__["disconnect"] = types.MethodType(disconnect_by_signature, instance)
