"""Sample data without a download and without PyTorch: a simulated head that comes with the module, with structures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.scene.display import grey_range, show_scan
from SITTranslateLib.scene.transaction import all_or_nothing
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.volume import Volume

NAME = "SITTranslateHead"
#: A few structures that a reader knows, by FreeSurfer number.
STRUCTURES = {4: "Left lateral ventricle", 43: "Right lateral ventricle", 17: "Left hippocampus",
              53: "Right hippocampus", 10: "Left thalamus", 49: "Right thalamus"}  # fmt: skip


def register(sample_data: Any, thumbnail: str, file: str) -> None:
    """Offer the head in the Sample Data module.

    Args:
        sample_data: the module ``SampleData``.
        thumbnail: full path of a picture.
        file: full path of the head, for :func:`read_head`.
    """

    def make(_source: Any = None) -> Any:
        # What goes wrong is shown, not only written to the console.
        with slicer.util.tryWithErrorDisplay(_("The sample head could not be loaded."), waitCursor=True):
            head = add_head(Path(file))
            # Slicer shows what its own readers load, and leaves this to those who make their data.
            slicer.util.setSliceViewerLayers(background=head, fit=True)
            return head

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


def read_head(file: Path) -> tuple[Volume, Volume]:
    """The T1w scan of the head and its labels; ``python Testing/sample_head.py`` writes the file."""
    with np.load(file, allow_pickle=False) as parts:
        scan, labels = (parts[name].astype(np.float32) for name in ("scan", "labels"))
        affine = parts["affine"]
    return Volume(scan, affine, "head"), Volume(labels, affine, "labels")


def add_head(file: Path) -> Any:
    """The sample head and its segmentation in the scene; returns the volume node."""
    from SITTranslateLib.scene.segmentation import add_segmentation_node

    scan, labels = read_head(file)
    scene = slicer.mrmlScene
    with all_or_nothing(scene):
        node = add_volume_node(scene, scan, _("SITTranslate head (simulated)"))
        show_scan(node, *grey_range(scan.array))
        add_segmentation_node(scene, labels, STRUCTURES, f"{node.GetName()} structures")
    return node
