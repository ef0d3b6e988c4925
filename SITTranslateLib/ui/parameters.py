"""The user's choices in the scene's parameter node, saved and loaded with the scene.

Slicer's ``parameterNodeWrapper`` has one fixed key a field, and cannot hold ``Attributes.<model>``, of which there are
as many as models; a text that is no number, as a scene of another version may have, is an error there and the default
here. Slicer is not needed to test this file, either: the package ``slicer-core`` has no wrapper.
"""

from __future__ import annotations

import json
from typing import Any

from SITTranslateLib.scene.result import RESULT_ROLES


class Parameters:
    """The parameter node of one scene: plain text and node references."""

    def __init__(self, node: Any) -> None:
        self.node = node

    @property
    def input_node(self) -> Any:
        return self.node.GetNodeReference("InputVolume")

    @input_node.setter
    def input_node(self, volume: Any) -> None:
        self.node.SetNodeReferenceID("InputVolume", volume.GetID() if volume is not None else None)

    @property
    def model(self) -> str:
        return str(self.node.GetParameter("Model") or "")

    @model.setter
    def model(self, name: str) -> None:
        self.node.SetParameter("Model", name)

    @property
    def device(self) -> str:
        return str(self.node.GetParameter("Device") or "auto")

    @device.setter
    def device(self, name: str) -> None:
        self.node.SetParameter("Device", name)

    @property
    def precision(self) -> str:
        return str(self.node.GetParameter("Precision") or "float32")

    @precision.setter
    def precision(self, name: str) -> None:
        self.node.SetParameter("Precision", name)

    @property
    def ensemble(self) -> int:
        text = str(self.node.GetParameter("Ensemble") or "1")
        return int(text) if text.isdecimal() else 1

    @ensemble.setter
    def ensemble(self, members: int) -> None:
        self.node.SetParameter("Ensemble", str(members))

    @property
    def seed(self) -> int:
        text = str(self.node.GetParameter("Seed") or "0")
        return int(text) if text.isdecimal() else 0

    @seed.setter
    def seed(self, seed: int) -> None:
        self.node.SetParameter("Seed", str(seed))

    def attributes(self, model: str) -> dict[str, float]:
        """What was asked of a model; empty if nothing was."""
        try:
            stored = json.loads(self.node.GetParameter(f"Attributes.{model}") or "{}")
            return {str(name): float(value) for name, value in stored.items()}
        except (ValueError, AttributeError, TypeError):
            return {}

    def set_attributes(self, model: str, values: dict[str, float]) -> None:
        self.node.SetParameter(f"Attributes.{model}", json.dumps(values, sort_keys=True))

    def keep_result(self, nodes: Any) -> None:
        """Remember which nodes are shown; None forgets them."""
        was = self.node.StartModify()
        for role in RESULT_ROLES:
            node = getattr(nodes, role, None)
            self.node.SetNodeReferenceID(f"Result.{role}", node.GetID() if node is not None else None)
        self.node.EndModify(was)

    def result_nodes(self) -> dict[str, Any]:
        """The nodes of the result that was shown, by role; None where there is none (any more)."""
        return {role: self.node.GetNodeReference(f"Result.{role}") for role in RESULT_ROLES}
