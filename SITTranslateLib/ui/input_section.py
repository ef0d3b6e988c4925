"""Panel section for the scan: the volume, its kind, and whether it suits the model."""

from __future__ import annotations

import math
from typing import Any

from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostError
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import ExamineRequest
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.volumes import volume_from_node, world_affine
from SITTranslateLib.ui.section import Resource, Section, show_text
from SITTranslateLib.ui.session import Session, image_time


class InputSection(Section):
    """Chooses the scan and tells in one line if it does not suit the model.

    Attributes:
        changed: emitted when the scan, or whether it may be translated, changed.
    """

    UI = "InputSection"

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session, resource)
        self.changed = Signal()
        self._model: Any = None
        self._attributes: dict[str, float] = {}
        self._asked: Any = None
        self._refused = False
        self.ui.forceCheckBox.setVisible(False)
        self.ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_node)
        self.ui.forceCheckBox.toggled.connect(self._on_force)

    @property
    def node(self) -> Any:
        return self.ui.inputSelector.currentNode()

    @property
    def force(self) -> bool:
        return bool(self._refused and self.ui.forceCheckBox.checked)

    def why_not(self) -> str:
        """Why the chosen scan cannot be translated; empty if it can."""
        node = self.node
        if node is None:
            return _("Choose a scan.")
        try:
            world_affine(node)
        except InputError as error:
            return str(error)
        if node.GetImageData() is None:
            return _("This volume has no voxels: load the scan again.")
        if self._refused and not self.force:
            return _("The scan does not suit this model (see above).")
        return ""

    def set_node(self, node: Any) -> None:
        self.ui.inputSelector.setCurrentNode(node)

    def set_model(self, card: Any, folder: str, attributes: dict[str, float]) -> None:
        """The model that the scan is held against, and what is asked of it."""
        self._model = (card, folder) if card is not None else None
        self._attributes = dict(attributes)
        self.examine()

    def set_attributes(self, attributes: dict[str, float]) -> None:
        """What is asked of the model; the scan is looked at again where another contrast is named as its own."""
        before, self._attributes = self._attributes, dict(attributes)
        if self._model is not None and self._model[0].source_of(before) != self._model[0].source_of(attributes):
            self.examine()

    def examine(self) -> None:
        """Ask the host whether scan and model suit each other; the answer comes later, or never where torch is not."""
        node = self.node
        show_text(self.ui.factsLabel, "" if node is None else facts_of(node) + _warning_of(node))
        self._set_verdict("", False)
        if node is None or self._model is None or node.GetImageData() is None:
            self._asked = None
            return
        key = (node.GetID(), image_time(node), self._model[1], self._model[0].source_of(self._attributes))
        self._asked = key
        try:
            volume = volume_from_node(node)
        except InputError as error:
            show_text(self.ui.fitLabel, str(error))
            return
        card, folder = self._model

        def answered(answer: dict[str, Any]) -> None:
            if self._asked == key:
                self._show_findings(answer, card)

        def refused(error: HostError) -> None:
            if self._asked == key and error.failure is Failure.INPUT:
                show_text(self.ui.fitLabel, str(error))

        self.session.ask(ExamineRequest(volume, folder, self._attributes), answered, refused)

    def _show_findings(self, answer: dict[str, Any], card: Any) -> None:
        findings = answer["findings"]
        refusing = [f["sentence"] for f in findings if f["severity"] == "refuse"]
        warning = [f["sentence"] for f in findings if f["severity"] == "warn"]
        if self.node is not None and answer.get("modality"):
            skull = _("with skull") if answer["skull"] else _("skull taken off")
            seen = _("{facts}\nLooks like {modality}, {skull}.").format(
                facts=facts_of(self.node) + _warning_of(self.node), modality=answer["modality"], skull=skull
            )
            show_text(self.ui.factsLabel, seen)
        if refusing:
            self._set_verdict(_("Does not suit this model: {reason}").format(reason=" ".join(refusing)), True)
        elif warning:
            self._set_verdict(_("Suits this model, but: {reason}").format(reason=" ".join(warning)), False)
        else:
            self._set_verdict(_("Suits this model ({source}).").format(source=" / ".join(card.sources)), False)

    def _set_verdict(self, text: str, refused: bool) -> None:
        self._refused = refused
        show_text(self.ui.fitLabel, text)
        self.ui.forceCheckBox.setVisible(refused)
        if not refused:
            self.ui.forceCheckBox.setChecked(False)
        self.changed.emit()

    def _on_node(self, *_node: Any) -> None:
        self.examine()
        self.changed.emit()

    def _on_force(self, *_checked: Any) -> None:
        self.changed.emit()


def facts_of(node: Any) -> str:
    """The grid of a volume node in words: voxels, size in mm, how oblique it is."""
    image = node.GetImageData()
    if image is None:
        return ""
    columns, rows, slices = image.GetDimensions()
    spacing = " x ".join(f"{s:.2g}" for s in node.GetSpacing())
    text = _("{columns} x {rows} x {slices} voxels of {spacing} mm").format(
        columns=columns, rows=rows, slices=slices, spacing=spacing
    )
    angle = obliqueness(node)
    return text + (_(", turned by {angle:.0f} degrees").format(angle=angle) if angle >= 1.0 else "")


def obliqueness(node: Any) -> float:
    """Largest angle in degrees between a voxel axis and the patient's axis nearest to it."""
    matrix = [[0.0] * 3 for _row in range(3)]
    node.GetIJKToRASDirections(matrix)
    nearest = [max(abs(matrix[row][column]) for row in range(3)) for column in range(3)]
    return max(math.degrees(math.acos(min(1.0, cosine))) for cosine in nearest)


def _warning_of(node: Any) -> str:
    if not says_synthetic(node):
        return ""
    return "\n" + _("This scan is SYNTHETIC: a translation of it says nothing about a patient.")


def first_scan(scene: Any) -> Any:
    """The first scan of the scene that no model made; None without one."""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode")
        usable = node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetImageData() is not None
        if usable and not node.GetHideFromEditors() and not says_synthetic(node):
            return node
    return None


def says_synthetic(node: Any) -> bool:
    """Whether a volume is marked as made by a model: by our mark, its name, or what came with its file."""
    texts = [node.GetName() or "", node.GetDescription() or ""]
    return node.GetAttribute(f"{PREFIX}Synthetic") == "1" or any("synthetic" in text.lower() for text in texts)
