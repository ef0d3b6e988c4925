# ruff: noqa: N815 - the names are Slicer's
"""A thin stand-in for Slicer's Segment Statistics: what its logic asks of a plugin, in the order it asks."""

from __future__ import annotations

import sys
import types
from typing import Any, ClassVar


class SegmentStatisticsPluginBase:
    """The part of Slicer's base class that works without Qt: keys, parameters, measurement information."""

    def __init__(self) -> None:
        self.name, self.title = "", ""
        self.keys: list[str] = []
        self.defaultKeys: list[str] = []
        self.parameterNode: Any = None

    @staticmethod
    def createMeasurementInfo(
        name: str, title: str, description: str, units: str, quantityDicomCode: Any = None, unitsDicomCode: Any = None
    ) -> dict[str, Any]:
        """As since December 2023; before that there was no title."""
        codes = {"quantityDicomCode": quantityDicomCode, "unitsDicomCode": unitsDicomCode}
        return {"name": name, "title": title, "description": description, "units": units} | codes

    def toLongKey(self, key: str) -> str:
        return f"{type(self).__name__}.{key}"

    def getParameterNode(self) -> Any:
        return self.parameterNode

    def getRequestedKeys(self) -> list[str]:
        if self.parameterNode is None:
            return []
        return [key for key in self.keys if self.parameterNode.GetParameter(f"{self.toLongKey(key)}.enabled") == "True"]

    def setParameterNode(self, node: Any) -> None:
        self.parameterNode = node
        node.SetParameter(f"{type(self).__name__}.enabled", "True")
        for key in self.keys:
            node.SetParameter(f"{self.toLongKey(key)}.enabled", str(key in self.defaultKeys))


class SegmentStatisticsLogic:
    """Registers plugins and asks each for each segment, as Slicer's does."""

    registeredPlugins: ClassVar[list[type]] = []

    @staticmethod
    def registerPlugin(plugin: Any) -> None:
        assert isinstance(plugin, SegmentStatisticsPluginBase)
        assert not any("." in key for key in plugin.keys)
        assert type(plugin) not in SegmentStatisticsLogic.registeredPlugins
        SegmentStatisticsLogic.registeredPlugins.append(type(plugin))

    def __init__(self) -> None:
        import slicer

        self.plugins = [plugin() for plugin in self.registeredPlugins]
        self.parameters = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        for plugin in self.plugins:
            plugin.setParameterNode(self.parameters)
            # Asked of every key as soon as the module is opened: an error here makes the whole module unusable.
            for key in plugin.keys:
                plugin.getMeasurementInfo(key)

    def computeStatistics(self, segmentation: Any, scalar: Any = None) -> dict[tuple[str, str], float]:
        import slicer

        node = copy = None
        if segmentation.GetParentTransformNode() is not None:
            copy = slicer.vtkMRMLSegmentationNode()
            copy.CopyContent(segmentation)
            copy.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
            copy.SetName(f"_tmp_{segmentation.GetName()}_transformedForSegmentStatistics")
            copy.HideFromEditorsOn()
            slicer.mrmlScene.AddNode(copy)
            copy.HardenTransform()
        node = copy or segmentation
        self.parameters.SetParameter("Segmentation", node.GetID())
        if scalar is not None:
            self.parameters.SetParameter("ScalarVolume", scalar.GetID())
        found = {}
        for index in range(node.GetSegmentation().GetNumberOfSegments()):
            segment = node.GetSegmentation().GetNthSegmentID(index)
            for plugin in self.plugins:
                for key, value in plugin.computeStatistics(segment).items():
                    found[node.GetSegmentation().GetSegment(segment).GetName(), key] = value
                    assert {"name", "description", "units"} <= set(plugin.getMeasurementInfo(key))
        if copy is not None:
            slicer.mrmlScene.RemoveNode(copy)
        return found


def install(monkeypatch: Any) -> type[SegmentStatisticsLogic]:
    """Make both importable under Slicer's names for one test."""
    SegmentStatisticsLogic.registeredPlugins = []
    for name, holds in (("SegmentStatistics", SegmentStatisticsLogic), ("SegmentStatisticsPlugins", None)):
        module = types.ModuleType(name)
        module.SegmentStatisticsLogic = SegmentStatisticsLogic  # type: ignore[attr-defined]
        if holds is None:
            module.SegmentStatisticsPluginBase = SegmentStatisticsPluginBase  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    return SegmentStatisticsLogic
