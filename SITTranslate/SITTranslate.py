"""SITTranslate for 3D Slicer: this file wires, SITTranslateLib does the work."""

from __future__ import annotations

import sys
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

MODULE_FOLDER = Path(__file__).resolve().parent


def findLibrary() -> None:
    """Make SITTranslateLib importable: installed it stands beside this file, in a checkout one folder up."""
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent):
        if (folder / "SITTranslateLib" / "__init__.py").is_file() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
            return


def resourceFile(name: str) -> str:
    """Full path of a file in Resources, which stands where SITTranslateLib does."""
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent):
        if (folder / "Resources" / name).exists():
            return str(folder / "Resources" / name)
    return str(MODULE_FOLDER / "Resources" / name)


class SITTranslate(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        # Here and not when the file is read: Slicer reads every module's file, also of those that are switched off.
        findLibrary()
        parent.title = _("SITTranslate")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        parent.dependencies = []
        parent.contributors = ["SITTranslate contributors (SITTranslate)"]
        parent.helpText = _(
            "Translates a scan with a pretrained model and shows where every change came from: how the anatomy moved, "
            "how the intensity changed, and for any point or segment its way from the source to the translation and "
            "back. Synthetic images, for research use only.<p>"
            '<a href="{home}/blob/main/docs/tutorial.md">Tutorial</a>, '
            '<a href="{home}/blob/main/docs/reading-a-result.md">how to read a result</a>, '
            '<a href="{home}/issues">questions and faults</a>.</p>'
        ).format(home="https://github.com/SITTranslate/SlicerSITTranslate")
        parent.acknowledgementText = _(
            "After C. Wang, N. S. Rost and P. Golland, Spatial-Intensity Transforms for Medical Image-to-Image "
            "Translation, IEEE Transactions on Medical Imaging, 2023, and Spatial-Intensity Transform GANs for High "
            "Fidelity Medical Image-to-Image Translation, MICCAI 2020, "
            '<a href="https://doi.org/10.1007/978-3-030-59713-9_72">doi:10.1007/978-3-030-59713-9_72</a>.'
        )
        import qt

        parent.icon = qt.QIcon(resourceFile("Icons/SITTranslate.png"))
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", registerSegmentStatistics)


def registerSampleData() -> None:
    """Offer the procedural head in the Sample Data module; nothing is downloaded."""
    try:
        import SampleData
    except ImportError:
        return
    from SITTranslateLib.ui.samples import register

    register(SampleData, resourceFile("Icons/SITTranslate.png"), resourceFile("Samples/head.npz"))


def registerSegmentStatistics() -> None:
    """Add motion and Jacobian to what Slicer's Segment Statistics measures."""
    from SITTranslateLib.scene.segment_statistics import register

    register()


class SITTranslateWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Follows the life of the scene and of the application; everything visible is in ``SITTranslateLib.ui``."""

    def __init__(self, parent=None):
        # Before the base class, which sets the widget up at once where it is given no parent.
        self.logic = None
        self.panel = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def resourcePath(self, filename):
        return resourceFile(filename)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from SITTranslateLib.ui.panel import Panel

        self.logic = SITTranslateLogic()
        self.panel = Panel(self.layout, self.logic.session, resourceFile)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndClose)
        # Before Slicer's selectors, which choose a neighbour for a node that goes.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved, priority=10.0)
        slicer.app.connect("aboutToQuit()", self.cleanup)
        self.useParameterNode()

    def cleanup(self):
        """The application ends, or the module is reloaded: no process and no file stays behind."""
        self.removeObservers()
        # Or the application would hold every panel that was reloaded.
        slicer.app.disconnect("aboutToQuit()", self.cleanup)
        if self.panel is not None:
            self.panel.close()
            self.panel = None

    def enter(self):
        from SITTranslateLib.ui.parameters import Parameters

        self.panel.enter(Parameters(self.logic.getParameterNode()))

    def exit(self):
        if self.panel is not None:
            self.panel.exit()

    def onSceneStartClose(self, _caller, _event):
        self.panel.use(None)
        self.panel.session.on_scene_closing()

    def onSceneEndClose(self, _caller, _event):
        self.useParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, _caller, _event, node):
        self.panel.on_node_removed(node)

    def useParameterNode(self):
        from SITTranslateLib.ui.parameters import Parameters

        self.panel.use(Parameters(self.logic.getParameterNode()))

    def onReload(self):
        """Slicer runs this file again, but not the packages it imports: forget them first."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] == "SITTranslateLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)
        # Slicer sets the new widget up, but would enter it only when the user comes back from another module.
        slicer.modules.SITTranslateWidget.enter()


class SITTranslateLogic(ScriptedLoadableModuleLogic):
    """Translating from a script, with or without the panel.

    Example:
        >>> logic = slicer.util.getModuleLogic("SITTranslate")  # doctest: +SKIP
        >>> result = logic.translate(volumeNode, model="brain-ageing-t1w", attributes={"age": 10})  # doctest: +SKIP
        >>> result.translated.GetName()  # doctest: +SKIP
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from SITTranslateLib.ui.session import Session

        self.session = Session()

    def translate(
        self,
        volumeNode,
        model,
        attributes=None,
        *,
        device="auto",
        seed=0,
        force=False,
        show=False,
        precision="float32",
        ensemble=1,
        outputNode=None,
    ):
        """Translate a volume node and put everything about it into the scene; waits until it is done.

        Args:
            volumeNode: the scan.
            model: name of an installed package, or its folder.
            attributes: what to ask for, in each attribute's own unit; the model's defaults if left out.
            device: "auto", "cpu", "cuda", "cuda:1".
            seed: of models that draw random numbers.
            force: translate although the scan does not suit the model.
            show: also show our layout.
            precision: of the network: "float32", or "bfloat16", which is faster and a little less exact.
            outputNode: the translated scan of an earlier run, which this run takes the place of; None for a new node.
            ensemble: how many answers the maps of uncertainty are made of; 1 for no such map.

        Returns:
            The nodes: translated, motion, sampling, jacobian, change, table, and the folder that they stand in.

        Raises:
            InputError: one sentence that says what is wrong and what to do; the scene is as it was.
        """
        from SITTranslateLib.options import TranslationOptions

        options = TranslationOptions(device, seed, precision, ensemble, force)
        return self.session.translate(volumeNode, str(model), attributes or {}, options, views=show, output=outputNode)

    def models(self):
        """Names of the models on this computer."""
        from SITTranslateLib import packages

        return [package.name for package in packages.available()]

    def close(self):
        """End the worker process."""
        self.session.close()


class SITTranslateTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (ctest) on the sample head."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_sample_head_is_translated()
        self.setUp()
        self.test_a_volume_without_voxels_is_refused()

    def test_sample_head_is_translated(self):
        from SITTranslateLib.ui.installing import missing_packages
        from SITTranslateLib.ui.samples import add_head

        missing = missing_packages(Path(resourceFile("requirements.txt")))
        if missing:
            # As on the machines that build extensions: the packages are installed on the user's wish only.
            self.skipTest(f"not installed: {', '.join(missing)}")
        logic = SITTranslateLogic()
        try:
            self.assertTrue(logic.models(), "no model came with the extension")
            head = add_head(Path(resourceFile("Samples/head.npz")))
            result = logic.translate(head, logic.models()[0], device="cpu", force=True)
            self.assertIsNotNone(result.translated)
            self.assertEqual(result.translated.GetImageData().GetDimensions(), head.GetImageData().GetDimensions())
            self.assertEqual(result.translated.GetAttribute("SITTranslate.Synthetic"), "1")
        finally:
            logic.close()
        self.delayDisplay("The sample head was translated")

    def test_a_volume_without_voxels_is_refused(self):
        from SITTranslateLib.errors import InputError

        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        logic = SITTranslateLogic()
        before = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaises(InputError):
            logic.translate(empty, "any-model")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
        logic.close()
