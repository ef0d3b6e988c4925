"""The work of one panel: running jobs, the shown result, and what happens when scene, scan or process are closed.

No Qt: the panel polls it. Nodes are held only while a run lasts, and looked up again when it ends.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient, HostError, Job
from SITTranslateLib.host.protocol import Failure
from SITTranslateLib.host.requests import (
    EstimateRequest,
    ForecastRequest,
    HostRequest,
    PrescribeRequest,
    RecomposeRequest,
    TranslateRequest,
)
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.sequences import browser_of
from SITTranslateLib.scene.strength import showing_strength
from SITTranslateLib.scene.volumes import volume_from_node
from SITTranslateLib.steps import take_turn
from SITTranslateLib.translation import Translation
from SITTranslateLib.ui.results import Results, Shown

__all__ = ["Session", "Shown", "image_time"]


@dataclass
class _Run:
    """What must still hold when a run ends."""

    job: Job
    node: Any
    image_time: tuple[int, tuple[float, ...], str]
    scene_number: int
    partner: Any = None
    views: bool = True
    output: Any = None


class Session(Results):
    """Runs requests of the panel and puts results into the scene."""

    def __init__(self, host: HostClient | None = None) -> None:
        super().__init__(host)
        self.changed = Signal()
        self.stage = Signal()
        self.progress = Signal()
        self._run: _Run | None = None
        self._adding: Generator[None, None, Any] | None = None
        self._added: Translation | None = None
        self._reason = ""
        self.host.stage.connect(self._on_stage)
        self.host.progress.connect(self._on_progress)
        self.host.warning.connect(lambda _job, sentence: self.warned.emit(sentence))

    @property
    def running(self) -> bool:
        """Whether a translation runs."""
        return self._run is not None

    @property
    def busy(self) -> bool:
        return super().busy or self._adding is not None

    def apply(
        self,
        node: Any,
        model: str,
        attributes: Mapping[str, float],
        options: TranslationOptions | None = None,
        *,
        views: bool = True,
        output: Any = None,
    ) -> Job:
        """Start a translation of a volume node; its result goes to the scene when it is done.

        Args:
            model: name of an installed package, or its folder.
            attributes: what to ask for, in each attribute's own unit; none means the model's defaults.
            views: also show it in our layout.
            output: the translated scan of an earlier run, which this run takes the place of; None for a new node.

        Raises:
            InputError: one runs already, the node is no scan, or it is the output as well.
        """
        self._refuse_a_second_run()
        if output is not None and output is node:
            raise InputError(_("The scan would be overwritten: choose another output."))
        if output is not None and browser_of(output) is not None:
            raise InputError(_("The output is a frame of a sequence: choose another output, or a new volume."))
        request = TranslateRequest(volume_from_node(node), model, dict(attributes), options or TranslationOptions())
        return self._start(request, node, views=views, output=output)

    def prescribe(self, node: Any, **asked: Any) -> None:
        """Start a prescribed change of a volume node; see :class:`PrescribeRequest` for what is asked.

        Raises:
            InputError: something runs already, or the node is no scan.
        """
        self._refuse_a_second_run()
        self._start(PrescribeRequest(volume_from_node(node), **asked), node)

    def forecast(self, first: Any, second: Any, **asked: Any) -> None:
        """Start a forecast of the second of two visits (volume nodes); see :class:`ForecastRequest`.

        Raises:
            InputError: something runs already, a node is no scan, or both are the same.
        """
        self._refuse_a_second_run()
        if first is second:
            raise InputError(_("Both are the same scan: choose two different ones."))
        self._start(ForecastRequest(volume_from_node(first), volume_from_node(second), **asked), second)

    def translate(
        self,
        node: Any,
        model: str,
        attributes: Mapping[str, float],
        options: TranslationOptions | None = None,
        *,
        views: bool = False,
        output: Any = None,
    ) -> SceneResult:
        """As :meth:`apply`, but wait for the result.

        Raises:
            InputError: as :meth:`apply`, or it was refused, cancelled or failed; the scene is as it was.
        """
        failures: list[HostError] = []
        before = self.shown
        self.failed.connect(failures.append)
        try:
            self.host.wait(self.apply(node, model, attributes, options, views=views, output=output))
            while self._adding is not None:
                self._add_more()
        finally:
            self.failed.disconnect(failures.append)
        if failures:
            raise failures[0]
        if self.shown is None or self.shown is before:
            raise InputError(_("The scene was closed meanwhile; translate the scan again."))
        return self.shown.nodes

    def estimate(self) -> None:
        """Estimate the motion of the shown result by registration; becomes a result of its own."""
        if self._run is not None or self.shown is None:
            return
        self._start(EstimateRequest(self.shown.translation), self.shown.nodes.source)

    def estimate_pair(self, source: Any, translated: Any, finer: bool = False) -> None:
        """Estimate the motion between two volume nodes of the scene, made by whatever program; finer is 1 mm.

        Raises:
            InputError: something runs already, a node is no scan, or both are the same.
        """
        self._refuse_a_second_run()
        if source is translated:
            raise InputError(_("Both are the same scan: choose two different ones."))
        scans = {"source": volume_from_node(source), "translated": volume_from_node(translated)}
        self._start(EstimateRequest(**scans, finer=finer), source, translated)

    def _refuse_a_second_run(self) -> None:
        if self._run is not None:
            raise InputError(_("A translation is running: wait for it, or cancel it first."))

    def _start(
        self, request: HostRequest, node: Any, partner: Any = None, *, views: bool = True, output: Any = None
    ) -> Job:
        """Send a request whose answer is a translation of a node."""
        job = self.ask(request, self._on_translated, self._on_run_failed)
        if not job.done:
            self._run = _Run(job, node, image_time(node), self._scene_number, partner, views, output)
        self.changed.emit()
        return job

    def poll(self) -> None:
        """Called by the panel's timer."""
        if self._adding is not None:
            self._add_more()
        else:
            super().poll()

    def cancel(self) -> None:
        """Stop the running translation; nothing of it reaches the scene."""
        if self._adding is not None:
            self._stop_adding()
            if self.shown is None:
                self.leave_views()
            self._on_run_failed(HostError(Failure.CANCELLED, _("Cancelled.")))
        elif self._run is not None:
            self.host.cancel(self._run.job)

    def on_node_removed(self, node: Any) -> None:
        """A node is about to leave the scene: stop a run on it, forget a result that loses a part."""
        if self._run is not None and (node is self._run.node or node is self._run.partner):
            self._reason = _("The scan was removed: the translation was cancelled.")
            self.cancel()
        if self.shown is not None and node in (self.shown.nodes.translated, self.shown.nodes.source):
            self.forget()
        layout.empty_views(slicer.mrmlScene, node)

    def on_scene_closing(self) -> None:
        """Nothing that began in the old scene may reach the new one."""
        self._scene_number += 1
        self._refused = None
        self._changing.clear()
        self.cancel()
        self.forget()

    def close(self) -> None:
        """End the worker and remove its files."""
        self._stop_adding()
        self.leave_views()
        self.host.close()

    def set_strength(
        self, strength: float, *, spatial: bool = True, intensity: bool = True, final: bool = True
    ) -> None:
        """Show another strength of the change (1 is the translation); only the last wish counts.

        Args:
            final: also redo the motion and the volume change, which takes longer than the scan itself.
        """
        if self.shown is None:
            return
        shown, number = self.shown, self._scene_number

        def answered(answer: dict[str, Any]) -> None:
            if self.shown is shown and number == self._scene_number:
                self.in_turns(showing_strength(shown.nodes, answer, spatial=spatial, intensity=intensity))

        self.recompose(RecomposeRequest(shown.translation, strength, spatial, intensity, final), answered)

    def _on_stage(self, job: Job, stage: str) -> None:
        if self._run is not None and job is self._run.job:
            self.stage.emit(stage)

    def _on_progress(self, job: Job, fraction: float, seconds_left: float | None) -> None:
        if self._run is not None and job is self._run.job:
            self.progress.emit(fraction, seconds_left)

    def _on_run_failed(self, error: HostError) -> None:
        if error.failure is Failure.CANCELLED and self._reason:
            error = HostError(error.failure, self._reason)
        self._run, self._reason = None, ""
        self.changed.emit()
        self.failed.emit(error)

    def _on_translated(self, translation: Translation) -> None:
        run = self._run
        if run is None or run.scene_number != self._scene_number:
            self._run = None
            self.host.forget(translation)
            self.changed.emit()
            return
        node: Any = run.node if slicer.mrmlScene.IsNodePresent(run.node) else None
        if node is not None and image_time(node) != run.image_time:
            self.warned.emit(
                _("The scan was edited meanwhile: the result belongs to the scan as it was, kept beside it.")
            )
            node = None
        partner = run.partner if node is not None and slicer.mrmlScene.IsNodePresent(run.partner) else None
        self.stage.emit(_("showing the result"))
        self._run, self._added = replace(run, node=node, partner=partner), translation
        output = run.output if run.output is not None and slicer.mrmlScene.IsNodePresent(run.output) else None
        self._adding = self._showing(translation, node, partner=partner, output=output, views=run.views)

    def _add_more(self) -> None:
        """One turn of putting the result into the scene."""
        assert self._adding is not None
        try:
            if not take_turn(self._adding):
                return
        except Exception as error:
            self._stop_adding()
            if self.shown is None:
                self.leave_views()
            sentence = _("The result could not be put into the scene; nothing was added.")
            self.failed.emit(HostError(Failure.FAILED, sentence, repr(error)))
        self._adding, self._run, self._added = None, None, None
        self.changed.emit()

    def _stop_adding(self) -> None:
        """Take out what was added of a result that is not complete."""
        steps, self._adding = self._adding, None
        if steps is not None:
            steps.close()
            if self._added is not None:
                self.host.forget(self._added)
            self._added = None


def image_time(node: Any) -> tuple[int, tuple[float, ...], str]:
    """What changes when the voxels of a volume node, or the place where they lie, are edited."""
    import vtk

    image = node.GetImageData()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    place = tuple(matrix.GetElement(row, column) for row in range(3) for column in range(4))
    return (int(image.GetMTime()) if image is not None else 0, place, str(node.GetTransformNodeID() or ""))
