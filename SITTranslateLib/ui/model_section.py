"""Panel section for the model: a searchable list of packages with purpose, licence and device."""

from __future__ import annotations

import html
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostError
from SITTranslateLib.host.requests import DescribeRequest
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.ui.licences import accept, is_accepted, needs_acceptance
from SITTranslateLib.ui.section import Resource, Section
from SITTranslateLib.ui.session import Session

#: Selected where nothing else was chosen: of the models that age a T1w scan, the one that is right for every structure.
USUAL_MODEL = "prescribed-change"
#: Answers that a map of uncertainty is made of.
MEMBERS = 8
#: Models that can be found without a search.
SHORT_LIST = 8
_NAME_ROLE = 256  # Qt.UserRole: an int, because enums differ between Qt 5 and Qt 6


class ModelSection(Section):
    """Lists the packages on this computer.

    Attributes:
        changed: emitted when another model is selected, or it may now be used.
    """

    UI = "ModelSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.changed = Signal()
        self.packages: dict[str, Any] = {}
        self._updating = False
        self._uncertainty_tip = self.ui.uncertaintyCheckBox.toolTip
        self.ui.detailsLabel.setVisible(False)
        self.ui.licenceCheckBox.setVisible(False)
        self.ui.deviceSelector.addItem(_("The fastest there is"), "auto")
        self.ui.deviceSelector.addItem(_("CPU"), "cpu")
        self.ui.searchEdit.textChanged.connect(self._on_search)
        self.ui.modelList.currentRowChanged.connect(self._on_row)
        self.ui.licenceCheckBox.toggled.connect(self._on_licence)
        self.ui.detailsButton.toggled.connect(self.ui.detailsLabel.setVisible)
        self.ui.addButton.clicked.connect(self._on_add)
        self.ui.removeButton.clicked.connect(self._on_remove)
        self._show_package()

    @property
    def package(self) -> Any:
        """The selected package; None without one."""
        item = self.ui.modelList.currentItem()
        return self.packages.get(str(item.data(_NAME_ROLE))) if item is not None else None

    @property
    def device(self) -> str:
        return str(self.ui.deviceSelector.itemData(self.ui.deviceSelector.currentIndex) or "auto")

    @property
    def precision(self) -> str:
        """What the network computes in."""
        return "bfloat16" if self.ui.fastCheckBox.checked else "float32"

    @property
    def ensemble(self) -> int:
        """How many answers the maps of uncertainty are made of; 1 for no such map."""
        box = self.ui.uncertaintyCheckBox
        return MEMBERS if box.checked and box.enabled else 1

    @property
    def seed(self) -> int:
        """Of models that draw random numbers."""
        return int(self.ui.seedSpinBox.value)

    def set_seed(self, seed: int) -> None:
        self.ui.seedSpinBox.setValue(seed)

    def set_ensemble(self, members: int) -> None:
        self.ui.uncertaintyCheckBox.setChecked(members > 1)

    def set_precision(self, name: str) -> None:
        self.ui.fastCheckBox.setChecked(name == "bfloat16")

    def set_device(self, name: str) -> None:
        index = self.ui.deviceSelector.findData(name)
        if index >= 0:
            self.ui.deviceSelector.setCurrentIndex(index)

    def why_not(self) -> str:
        """Why the selected model cannot run; empty if it can."""
        package = self.package
        if package is None:
            return _("Choose a model.")
        if needs_acceptance(package.card.licence) and not is_accepted(package.sha256):
            return _("Accept the model's licence first.")
        return ""

    def refresh(self, selected: str = "") -> list[str]:
        """Read the packages on this computer again; returns what is wrong with those that cannot be used.

        Raises:
            ImportError: what reads them is not installed yet.
        """
        from SITTranslateLib import packages

        selected = selected or (self.package.name if self.package is not None else "")
        self.packages = {package.name: package for package in packages.available()}
        self._fill(selected)
        total = sum(package.bytes for package in self.packages.values())
        # A list that is short enough to be read needs no search; the room is wanted on a small screen.
        self.ui.searchEdit.setVisible(len(self.packages) > SHORT_LIST)
        self.ui.diskLabel.setText(
            _("Models on this computer: {count} ({size})").format(count=len(self.packages), size=in_bytes(total))
        )
        return packages.broken()

    def ask_devices(self) -> None:
        """Have the host tell which devices there are; this starts it."""
        self.session.ask(DescribeRequest(), self._show_devices, self._ignore)

    def select(self, name: str) -> None:
        for row in range(self.ui.modelList.count):
            if str(self.ui.modelList.item(row).data(_NAME_ROLE)) == name:
                self.ui.modelList.setCurrentRow(row)
                return

    def _fill(self, selected: str) -> None:
        words = self.ui.searchEdit.text.lower().split()
        self._updating = True
        self.ui.modelList.clear()
        for name, package in self.packages.items():
            if all(word in searchable(package.card) for word in words):
                item = qt.QListWidgetItem(
                    f"{package.card.title}    {shortly(package.card.sources)} \u2192 {shortly(package.card.targets)}"
                )
                item.setData(_NAME_ROLE, name)
                self.ui.modelList.addItem(item)
        self._updating = False
        if self.ui.modelList.count:
            self.ui.modelList.setCurrentRow(0)
        self.select(USUAL_MODEL)
        self.select(selected)
        self._show_package()

    def _show_package(self) -> None:
        package = self.package
        self.ui.removeButton.setEnabled(package is not None and not is_shipped(package))
        self.ui.detailsButton.setEnabled(package is not None)
        self.ui.licenceCheckBox.setVisible(False)
        withdrawn = "" if package is None else package.card.withdrawn.get("uncertainty", "")
        self.ui.uncertaintyCheckBox.setEnabled(not withdrawn)
        self.ui.uncertaintyCheckBox.setToolTip(withdrawn or self._uncertainty_tip)
        if package is None:
            self.ui.useLabel.setText(_("No model matches.") if self.packages else _("No model on this computer yet."))
            self.ui.detailsLabel.setText("")
        else:
            card = package.card
            simulated = _(" Trained on simulated scans.") if card.training.get("simulated") else ""
            self.ui.useLabel.setText(card.intended_use + simulated)
            self.ui.detailsLabel.setText(details_of(package))
            if needs_acceptance(card.licence):
                accepted = is_accepted(package.sha256)
                self._updating = True
                self.ui.licenceCheckBox.setText(_("I accept the licence: {licence}").format(licence=card.licence))
                self.ui.licenceCheckBox.setChecked(accepted)
                self._updating = False
                self.ui.licenceCheckBox.setVisible(not accepted)
        self.changed.emit()

    def _show_devices(self, answer: dict[str, Any]) -> None:
        chosen = self.device
        self.ui.deviceSelector.clear()
        self.ui.deviceSelector.addItem(_("The fastest there is"), "auto")
        for device in answer["devices"]:
            free = "" if device["free"] is None else _(" ({size} free)").format(size=in_bytes(device["free"]))
            self.ui.deviceSelector.addItem(f"{device['title']}{free}", device["name"])
        self.set_device(chosen)

    def _ignore(self, error: HostError) -> None:
        """Without torch there are no devices to list; another section of the panel tells what to install."""

    def _on_search(self, *_text: Any) -> None:
        self._fill(self.package.name if self.package is not None else "")

    def _on_row(self, *_row: Any) -> None:
        if not self._updating:
            self._show_package()

    def _on_licence(self, *_checked: Any) -> None:
        package = self.package
        if self._updating or package is None:
            return
        if self.ui.licenceCheckBox.checked:
            accept(package.sha256)
        self.changed.emit()

    def _on_add(self, *_checked: Any) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of a model package"))
        folder = folder if isinstance(folder, str) else folder[0]
        if folder:
            with slicer.util.tryWithErrorDisplay(_("The package was not added."), waitCursor=True):
                self.add(Path(folder))

    def add(self, folder: Path) -> None:
        """Copy a package folder to the user's models: verified, and whole or not at all.

        Raises:
            InputError: it is no package in order, or this version of it is there.
        """
        from SITTranslateLib import packages
        from SITTranslateLib.packages.download import add_package
        from SITTranslateLib.packages.weights import verified_bytes

        card, place = packages.open_package(folder).card, packages.locations()[-1]
        # That it was altered matters more than that it is there.
        for file in card.files:
            verified_bytes(folder, file)
        if any(p.folder.parent == place and p.card.version == card.version for p in self._named(card.name)):
            raise InputError(_("There is a package '{name}' already: remove it first.").format(name=card.name))
        self.refresh(add_package(folder, into=place).package.name)

    def _named(self, name: str) -> list[Any]:
        from SITTranslateLib import packages

        return [package for package in packages.available() if package.name == name]

    def _on_remove(self, *_checked: Any) -> None:
        package = self.package
        if package is None or is_shipped(package):
            return
        question = _("Delete the model '{title}' ({size}) from this computer?").format(
            title=package.card.title, size=in_bytes(package.bytes)
        )
        if slicer.util.confirmOkCancelDisplay(question):
            self.remove()

    def remove(self) -> None:
        """Delete the selected package, unless it came with the extension."""
        package = self.package
        if package is not None and not is_shipped(package):
            shutil.rmtree(package.folder)
            self.refresh()


def searchable(card: Any) -> str:
    """Searchable text of a card, lower case."""
    words = [card.name, card.title, card.system.name, *card.sources, *card.targets, card.licence, card.intended_use]
    return " ".join([*words, *(f"{a.name} {a.title}" for a in card.attributes)]).lower()


def shortly(contrasts: Sequence[str]) -> str:
    """Contrasts by name, if they fit into a line of the list."""
    if len(contrasts) <= 2:
        return ", ".join(contrasts)
    return _("any of {count}").format(count=len(contrasts))


def is_shipped(package: Any) -> bool:
    from SITTranslateLib import packages

    return packages.locations()[0] in package.folder.parents


def details_of(package: Any) -> str:
    """Limits, measured figures, licence, citation and size, as simple rich text."""
    card = package.card
    lines = [f"<b>{_('Limits')}</b><ul>{''.join(f'<li>{html.escape(text)}</li>' for text in card.limits)}</ul>"]
    if card.figures:
        rows = "".join(
            f"<tr><td>{html.escape(f.name)}</td><td align='right'>&nbsp;{f.value:.3g} {html.escape(f.unit)}</td>"
            f"<td>&nbsp;{'' if f.baseline is None else f'({f.baseline:.3g})'}</td></tr>"
            for f in card.figures
        )
        lines.append(f"<b>{_('Measured (in brackets: identity baseline)')}</b><table>{rows}</table>")
    lines.append(f"<b>{_('Training')}</b> {html.escape(str(card.training.get('data', '')))}<br>")
    lines.append(f"<b>{_('Licence')}</b> {html.escape(card.licence)}<br>")
    lines.append(f"<b>{_('Citation')}</b> {html.escape(card.citation)}<br>")
    size, version = in_bytes(package.bytes), html.escape(card.version)
    lines.append(f"<b>{_('Package')}</b> {html.escape(card.name)} {version}, {size}, sha256 {package.sha256[:12]}")
    return "".join(lines)


def in_bytes(count: float) -> str:
    """A size that a person reads."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
