# ruff: noqa: N801, N815 - the names are Slicer's
"""The CTK widgets that the module uses."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from harness.pythonqt import speaks_pythonqt

_STEPS = 1000


@speaks_pythonqt
class ctkCollapsibleButton(QtWidgets.QWidget):
    """A header that folds what is below it."""

    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._folded = False
        self._text = ""
        self._shown: list[Any] = []
        # As CTK: the widest thing in it sets the width of the whole panel.
        self.setSizePolicy(QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, 26, 0, 4)

    def _get_folded(self) -> bool:
        return self._folded

    def _set_folded(self, folded: bool) -> None:
        if bool(folded) == self._folded:
            return
        self._folded = bool(folded)
        widgets = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
        if self._folded:
            # As CTK does: what was hidden on its own account stays hidden when the section is unfolded.
            self._shown = [child for child in widgets if not child.isHidden()]
        for child in self._shown:
            child.setVisible(not self._folded)
        self.setMaximumHeight(26 if self._folded else 16777215)
        self.contentsCollapsed.emit(self._folded)
        self.update()

    def _get_text(self) -> str:
        return self._text

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    collapsed = Property(bool, _get_folded, _set_folded)
    text = Property(str, _get_text, _set_text)

    def childEvent(self, event: Any) -> None:
        super().childEvent(event)
        if self.__dict__.get("_folded") and event.added():
            QtCore.QTimer.singleShot(0, self._fold_again)

    def _fold_again(self) -> None:
        """Fold what was put in after the section was folded, as a ``.ui`` file does."""
        if self._folded:
            late = [c for c in self.children() if isinstance(c, QtWidgets.QWidget) and not c.isHidden()]
            for child in late:
                child.setVisible(False)
            self._shown += late

    def paintEvent(self, _event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, 23)
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        arrow = "\u25b8" if self._folded else "\u25be"
        painter.drawText(option.rect.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, f"{arrow}  {self._text}")
        painter.end()


@speaks_pythonqt
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a spin box, of floating point numbers."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        box = QtWidgets.QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        self._slider.setObjectName("Slider")
        self._slider.setRange(0, _STEPS)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._spin.setObjectName("SpinBox")
        self._spin.setMinimumWidth(86)
        self._tracking = True
        self._page = 10.0
        box.addWidget(self._slider, 1)
        box.addWidget(self._spin)
        self._spin.valueChanged.connect(self._on_spin)
        self._slider.valueChanged.connect(self._on_slider)

    def _on_slider(self, step: int) -> None:
        low, high = self._spin.minimum, self._spin.maximum
        self._spin.setValue(low + (high - low) * step / _STEPS)

    def _on_spin(self, value: float) -> None:
        self._place()
        self.valueChanged.emit(value)

    def _place(self) -> None:
        low, high = self._spin.minimum, self._spin.maximum
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round(_STEPS * (self._spin.value - low) / (high - low)) if high > low else 0)
        self._slider.blockSignals(blocked)

    def _of_spin(name: str, kind: type) -> Any:  # type: ignore[misc] # noqa: N805
        def write(self: Any, value: Any) -> None:
            self._spin.setProperty(name, value)
            self._place()

        return Property(kind, lambda self: self._spin.property(name), write)

    value = _of_spin("value", float)
    minimum = _of_spin("minimum", float)
    maximum = _of_spin("maximum", float)
    singleStep = _of_spin("singleStep", float)
    decimals = _of_spin("decimals", int)
    suffix = _of_spin("suffix", str)
    prefix = _of_spin("prefix", str)
    tracking = Property(bool, lambda self: self._tracking, lambda self, value: setattr(self, "_tracking", value))
    pageStep = Property(float, lambda self: self._page, lambda self, value: setattr(self, "_page", value))

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)


WIDGETS = (ctkCollapsibleButton, ctkSliderWidget)
