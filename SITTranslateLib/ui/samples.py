"""Sample data without a download: a simulated scan of the procedural head, with its labels as a segmentation."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from SITTranslateLib.host.client import HostClient
from SITTranslateLib.host.requests import SampleRequest
from SITTranslateLib.scene.display import grey_range, show_scan
from SITTranslateLib.scene.transaction import all_or_nothing
from SITTranslateLib.scene.volumes import add_volume_node

NAME = "SITTranslateHead"
#: A few structures that a reader knows, by FreeSurfer number.
STRUCTURES = {4: "Left lateral ventricle", 43: "Right lateral ventricle", 17: "Left hippocampus",
              53: "Right hippocampus", 10: "Left thalamus", 49: "Right thalamus"}  # fmt: skip


def register(sample_data: Any, thumbnail: str) -> None:
    """Offer the head in the Sample Data module.

    Args:
        sample_data: the module ``SampleData``.
        thumbnail: full path of a picture.
    """
    # Empty lists, not None: Slicer compares their lengths.
    sample_data.SampleDataLogic.registerCustomSampleDataSource(
        category="SITTranslate",
        sampleName=NAME,
        thumbnailFileName=thumbnail,
        uris=[],
        fileNames=[],
        nodeNames=[],
        checksums=[],
        loadFiles=[],
        loadFileTypes=[],
        customDownloader=make,
    )


def make(_source: Any = None) -> Any:
    """The button in the Sample Data module; what goes wrong is shown, not only written to the console."""
    with slicer.util.tryWithErrorDisplay(_("The simulated head could not be made."), waitCursor=True):
        head = add_procedural_head()
        # Slicer shows what its own readers load, and leaves this to those who make their data.
        slicer.util.setSliceViewerLayers(background=head, fit=True)
        return head


def add_procedural_head(spacing: float = 2.0, host: HostClient | None = None) -> Any:
    """A T1w scan of the procedural head and its segmentation in the scene; returns the volume node.

    Raises:
        InputError: the worker that makes it cannot run, for example because torch is not installed.
    """
    from SITTranslateLib.scene.segmentation import add_segmentation_node

    own = host is None
    client = HostClient() if host is None else host
    try:
        sample = client.run(SampleRequest(spacing=spacing))
    finally:
        if own:
            client.close()
    scene = slicer.mrmlScene
    with all_or_nothing(scene):
        node = add_volume_node(scene, sample["scan"], _("SITTranslate head (simulated)"))
        show_scan(node, *grey_range(sample["scan"].array))
        add_segmentation_node(scene, sample["labels"], STRUCTURES, f"{node.GetName()} structures")
    return node
