"""Motion and Jacobian in Slicer's own Segment Statistics module, as a plugin of it.

Slicer calls :meth:`computeStatistics` for every visible segment. The figures are read off the maps that a run left in
the scene, at the centre of every voxel of the segment as it was drawn on the source. The full table, with volumes
carried by our own sampling, is the segment table of the run itself.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene.ranges import is_percent
from SITTranslateLib.scene.runs import run_of
from SITTranslateLib.scene.volumes import matrix_to_array, world_affine

PLUGIN_NAME = "SITTranslateSegmentStatisticsPlugin"
#: Segment Statistics measures a copy of a segmentation under a transform; since Slicer 5.12 it is called so.
_COPY = ("_tmp_", "_transformedForSegmentStatistics")
#: Key of a measure: its name, unit and description.
MEASURES: dict[str, tuple[str, str, str]] = {
    "motion_mean_mm": ("Mean motion", "mm", "Mean length of the motion |w| in the segment"),
    "motion_p95_mm": ("95 % of the motion", "mm", "95 % of the segment's voxels moved less far than this"),
    "motion_max_mm": ("Largest motion", "mm", "Largest length of the motion |w| in the segment"),
    "jacobian_mean": ("Mean Jacobian", "", "Mean Jacobian of the motion: above 1 it expanded, below it shrank"),
    "jacobian_min": ("Smallest Jacobian", "", "Smallest Jacobian of the motion; 0.001 or less is a fold"),
    "volume_change_percent": ("Volume change by the Jacobian", "%", "Mean Jacobian minus 1: change of the volume"),
}


def register() -> bool:
    """Add the plugin to Segment Statistics; again after a reload, without doubling it. False where that is missing."""
    try:
        from SegmentStatistics import SegmentStatisticsLogic
    except ImportError:
        return False
    known = SegmentStatisticsLogic.registeredPlugins
    known[:] = [plugin for plugin in known if plugin.__name__ != PLUGIN_NAME]
    SegmentStatisticsLogic.registerPlugin(plugin_class()())
    return True


def plugin_class() -> Any:
    """The plugin as a subclass of Slicer's ``SegmentStatisticsPluginBase``, which exists in Slicer only."""
    from SegmentStatisticsPlugins import SegmentStatisticsPluginBase

    class SITTranslateSegmentStatisticsPlugin(SegmentStatisticsPluginBase):  # type: ignore[misc]
        """Motion and Jacobian of a translation in each segment of its source."""

        def __init__(self) -> None:
            super().__init__()
            self.name = self.title = "SITTranslate motion"
            self.keys = list(MEASURES)
            self.defaultKeys = [key for key in MEASURES if key != "motion_max_mm"]

        def computeStatistics(self, segmentID: str) -> dict[str, float]:  # noqa: N803 - Slicer's name
            import slicer

            wanted, parameters = self.getRequestedKeys(), self.getParameterNode()
            if not wanted or parameters is None:
                return {}
            scene = slicer.mrmlScene
            segmentation = scene.GetNodeByID(parameters.GetParameter("Segmentation") or "")
            scan = scene.GetNodeByID(parameters.GetParameter("ScalarVolume") or "")
            if segmentation is None:
                return {}
            found = segment_motion(scene, segmentation, segmentID, scan)
            return {key: value for key, value in found.items() if key in wanted}

        def getMeasurementInfo(self, key: str) -> dict[str, Any] | None:
            if key not in MEASURES:
                return None
            name, unit, meaning = MEASURES[key]
            about = {"name": name, "title": name, "description": f"{meaning} (SITTranslate).", "units": unit}
            # The title came in December 2023, in second place: name by name, and only what this Slicer takes.
            taken = inspect.signature(self.createMeasurementInfo).parameters
            return dict(self.createMeasurementInfo(**{key: value for key, value in about.items() if key in taken}))

    return SITTranslateSegmentStatisticsPlugin


def segment_motion(scene: Any, segmentation: Any, segment_id: str, scan: Any = None) -> dict[str, float]:
    """Measures of one segment, by key of :data:`MEASURES`.

    Args:
        scene: with at least one run of ours in it.
        segmentation: ``vtkMRMLSegmentationNode`` drawn on the source.
        segment_id: of the segment.
        scan: the source of a run, or one of its volumes; by default the volume that the segmentation was drawn on,
            else the only run.

    Returns:
        The measures; empty where the volume has no run, the segment is empty or reaches beyond the maps, or it has
        been carried by the motion already.
    """
    if scan is None:
        scan = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    run = run_of(scene, scan)
    if run is None or _is_carried(scene, segmentation):
        return {}
    points = segment_points(segmentation, segment_id)
    if not len(points):
        return {}
    found: dict[str, float] = {}
    if (distance := run.nodes.get("distance")) is not None and (length := values_at(distance, points)) is not None:
        found |= {
            "motion_mean_mm": float(length.mean()),
            "motion_p95_mm": float(np.percentile(length, 95)),
            "motion_max_mm": float(length.max()),
        }
    if (map_node := run.nodes.get("jacobian")) is not None and (values := values_at(map_node, points)) is not None:
        jacobian = 1.0 + values / 100.0 if is_percent(map_node) else np.exp2(values)
        mean = float(jacobian.mean())
        found |= {"jacobian_mean": mean, "jacobian_min": float(jacobian.min())}
        found["volume_change_percent"] = 100.0 * (mean - 1.0)
    return found


def segment_points(segmentation: Any, segment_id: str) -> NDArray[np.float64]:
    """RAS mm of the centres of a segment's voxels ``(N, 3)``, a linear parent transform included."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segment_id, image)
    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return np.zeros((0, 3))
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    inside = vtk_to_numpy(scalars).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1) != 0
    indices = np.argwhere(inside)[:, ::-1] + np.array([i0, j0, k0])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = matrix_to_array(matrix)
    parent = segmentation.GetParentTransformNode()
    if parent is not None and parent.GetMatrixTransformToWorld(matrix):
        affine = matrix_to_array(matrix) @ affine
    return indices @ affine[:3, :3].T + affine[:3, 3]


def values_at(node: Any, points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A volume read linearly at RAS points ``(N, 3)``; None if a point lies more than half a voxel outside it."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    inverse = np.linalg.inv(world_affine(node))
    indices = points @ inverse[:3, :3].T + inverse[:3, 3]
    last = np.array(node.GetImageData().GetDimensions()) - 1.0
    if np.any(indices < -0.5 - 1e-6) or np.any(indices > last + 0.5 + 1e-6):
        return None
    places = vtk.vtkPoints()
    # A hair inside: what lies on the last plane would count as outside for the probe.
    places.SetData(numpy_to_vtk(np.clip(indices, 1e-6, np.maximum(last - 1e-6, 0.0)), deep=True))
    cloud = vtk.vtkPolyData()
    cloud.SetPoints(places)
    probe = vtk.vtkProbeFilter()
    probe.SetInputData(cloud)
    probe.SetSourceData(node.GetImageData())
    probe.Update()
    values = vtk_to_numpy(probe.GetOutput().GetPointData().GetScalars()).astype(np.float64)
    # Outside the head maps have no values: nothing changed there.
    return np.nan_to_num(values)


def _is_carried(scene: Any, segmentation: Any) -> bool:
    """Whether a segmentation lies under a bending transform, or is the copy that Segment Statistics makes of one."""
    name = segmentation.GetName() or ""
    names = {name, name.removeprefix(_COPY[0]).removesuffix(_COPY[1])}
    every = [
        scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
    ]
    for node in [segmentation, *(other for other in every if other.GetName() in names)]:
        parent = node.GetParentTransformNode()
        if parent is not None and not parent.IsTransformToWorldLinear():
            return True
    return False
