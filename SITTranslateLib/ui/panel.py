"""The whole panel: its sections, connected with each other, the session and the scene's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.scene import layout, presentation
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.ui import installing
from SITTranslateLib.ui.apply_section import ApplySection
from SITTranslateLib.ui.attribute_section import AttributeSection
from SITTranslateLib.ui.change_section import ChangeSection
from SITTranslateLib.ui.forecast_section import ForecastSection
from SITTranslateLib.ui.input_section import InputSection, first_scan
from SITTranslateLib.ui.keys import Keys, key_words
from SITTranslateLib.ui.model_section import ModelSection
from SITTranslateLib.ui.pair_section import PairSection
from SITTranslateLib.ui.parameters import Parameters
from SITTranslateLib.ui.prescribe_section import PrescribeSection
from SITTranslateLib.ui.section import Resource
from SITTranslateLib.ui.session import Session
from SITTranslateLib.ui.structures_section import StructuresSection
from SITTranslateLib.ui.sweep_section import SweepSection
from SITTranslateLib.ui.trace_section import TraceSection
from SITTranslateLib.ui.view_titles import ViewTitles, view_named

POLL_MILLISECONDS, BUSY_MILLISECONDS = 40, 10


class Panel:
    """Everything that the module shows.

    Args:
        box: the Qt layout that the sections are added to.
        session: what does the work.
        resource: full path of a file in Resources.
    """

    def __init__(self, box: Any, session: Session, resource: Resource) -> None:
        self.session = session
        self.requirements = Path(resource("requirements.txt"))
        self.parameters: Parameters | None = None
        self.titles = ViewTitles()
        self.titles.changed.connect(self._on_views)
        self._updating = False
        self._listed = False
        self._entered = False
        self._had_result = False
        #: ID of the scan that the 3D view was turned to.
        self._framed = ""
        self.input = InputSection(session, resource)
        self.model = ModelSection(session, resource)
        self.attributes = AttributeSection(session, resource)
        self.apply = ApplySection(session, resource)
        self.change = ChangeSection(session, resource)
        self.structures = StructuresSection(session, resource)
        self.trace = TraceSection(session, resource)
        self.sweep = SweepSection(session, resource)
        self.pair = PairSection(session, resource)
        self.prescribe = PrescribeSection(session, resource, lambda: self.input.node)
        self.forecast = ForecastSection(session, resource)
        self.sections = (
            self.input, self.model, self.attributes, self.apply, self.change, self.structures,
            self.trace, self.sweep, self.prescribe, self.forecast, self.pair,
        )  # fmt: skip
        for section in self.sections:
            box.addWidget(section.widget)
        box.addStretch(1)
        self.keys = Keys(self.input.widget, session, self.trace)
        self.change.ui.layoutButton.setToolTip(f"{self.change.ui.layoutButton.toolTip}\n{key_words()}")
        # What needs a result is folded away until there is one.
        for section in self.sections[self.sections.index(self.change) :]:
            section.ui.sectionButton.collapsed = True
        self.timer = qt.QTimer()
        self._pace(POLL_MILLISECONDS)
        self.timer.timeout.connect(self._poll)
        # Cards are read when the panel is on the screen: what checks them takes longer to load than the panel.
        self.listing = qt.QTimer()
        self.listing.setSingleShot(True)
        self.listing.setInterval(0)
        self.listing.timeout.connect(self.list_models)
        self.input.changed.connect(self._on_input)
        self.model.changed.connect(self._on_model)
        self.attributes.changed.connect(self._on_attributes)
        self.apply.applied.connect(self.on_apply)
        self.apply.installed.connect(self.on_install)
        self.apply.cpu_wanted.connect(self._on_cpu)
        self.trace.measured.connect(self.change.show_volumes)
        session.changed.connect(self._on_session)
        session.shown_changed.connect(self._on_shown)
        session.view_changed.connect(self._show_titles)
        self._card: Any = None

    def enter(self, parameters: Parameters) -> None:
        """The module is shown: take up what the scene remembers, list the models, watch the host."""
        self._entered = self.session.active = True
        self.use(parameters)
        if self._listed:
            self.list_models()
        else:
            self.listing.start()
        self.timer.start()
        self.keys.set_active(True)
        if self.input.node is None:
            self.input.set_node(first_scan(slicer.mrmlScene))
        if self.session.shown is not None:
            self.session.show_views()

    def _poll(self) -> None:
        self.session.poll()
        self._pace(BUSY_MILLISECONDS if self.session.busy else POLL_MILLISECONDS)

    def _pace(self, milliseconds: int) -> None:
        if self.timer.interval != milliseconds:
            self.timer.setInterval(milliseconds)

    def exit(self) -> None:
        """Another module is shown: the user's layout comes back; a run goes on to its end."""
        self._entered = self.session.active = False
        self.keys.set_active(False)
        self.trace.stop_picking()
        self.titles.clear()
        self.session.leave_views()

    def close(self) -> None:
        self.timer.stop()
        self.listing.stop()
        self.titles.clear()
        self.session.close()

    def on_node_removed(self, node: Any) -> None:
        """A node is about to leave the scene."""
        self.session.on_node_removed(node)
        for section in self.sections:
            section.let_go(node)

    def use(self, parameters: Parameters | None) -> None:
        """Show the values of a scene's parameter node; None between two scenes."""
        self.parameters = parameters
        if parameters is None:
            self._framed = ""
            return
        self._updating = True
        for section in self.sections:
            section.set_scene(slicer.mrmlScene)
        if parameters.input_node is not None:
            self.input.set_node(parameters.input_node)
        self.model.set_device(parameters.device)
        self.model.set_precision(parameters.precision)
        self.model.set_ensemble(parameters.ensemble)
        self.model.set_seed(parameters.seed)
        if parameters.model:
            self.model.select(parameters.model)
        self._updating = False
        self._on_model()
        self._on_input()
        # Not before the module is opened: this starts the host.
        if self._entered and not installing.missing_packages(self.requirements):
            self.session.restore(parameters.result_nodes())

    def list_models(self) -> None:
        """Read the packages; without what the models need, offer to install it."""
        missing = installing.missing_packages(self.requirements)
        if missing:
            self.apply.offer_installation(
                _("To run models, these packages must be installed first: {names}.").format(names=", ".join(missing))
            )
        try:
            problems = self.model.refresh(self.parameters.model if self.parameters is not None else "")
        except ImportError:
            return
        if problems:
            self.apply.say(problems[0])
        if not missing and not self._listed:
            self._listed = True
            self.model.ask_devices()

    def options(self) -> TranslationOptions:
        """The request of the panel in addition to the attributes."""
        return TranslationOptions(
            device=self.model.device, precision=self.model.precision, ensemble=self.model.ensemble,
            force=self.input.force, seed=self.model.seed,
        )  # fmt: skip

    def on_apply(self) -> None:
        """Translate the chosen scan."""
        package = self.model.package
        if package is None or installing.missing_packages(self.requirements):
            self.list_models()
            return
        self._keep()
        try:
            self.session.apply(
                self.input.node, str(package.folder), self.attributes.values(), self.options(),
                output=self.apply.output,
            )  # fmt: skip
        except InputError as error:
            self.apply.say(str(error))

    def on_install(self) -> None:
        """Install what the models need, after asking once."""
        self.apply.clear_message()
        try:
            with slicer.util.tryWithErrorDisplay(_("The packages were not installed."), waitCursor=True):
                try:
                    installing.install(self.requirements)
                except installing.Declined as answer:
                    self.apply.offer_installation(str(answer))
                    return
        except Exception as error:
            self.apply.offer_installation(_("The packages were not installed: {reason}").format(reason=error))
            return
        self.list_models()
        self._on_model()

    def _on_cpu(self) -> None:
        self.model.set_device("cpu")
        self.on_apply()

    def _on_input(self) -> None:
        if not self._updating:
            self._keep()
            self._check()

    def _on_model(self) -> None:
        if self._updating:
            return
        package = self.model.package
        card = package.card if package is not None else None
        if card is not self._card:
            self._card = card
            kept = self.parameters.attributes(card.name) if card is not None and self.parameters is not None else {}
            self.attributes.set_card(card, kept)
            self.sweep.set_card(card)
            runs = not installing.missing_packages(self.requirements)
            folder = str(package.folder) if package is not None else ""
            self.input.set_model(card if runs else None, folder, self.attributes.values())
        self._keep()
        self._check()

    def _on_attributes(self, values: dict[str, float]) -> None:
        package = self.model.package
        if package is not None and self.parameters is not None:
            self.parameters.set_attributes(package.name, values)
        self.input.set_attributes(values)

    def _on_session(self) -> None:
        running = self.session.running
        for section in (self.input, self.model):
            section.ui.sectionButton.setEnabled(not running)
        self.attributes.set_enabled(not running)
        self._check()

    def _on_shown(self) -> None:
        if self.parameters is not None:
            self.parameters.keep_result(self.session.shown.nodes if self.session.shown is not None else None)
        if self.session.shown is None:
            self.titles.clear()
        has_result = self.session.shown is not None
        if has_result != self._had_result:
            self._had_result = has_result
            for section in (self.change, self.structures, self.trace):
                section.ui.sectionButton.collapsed = not has_result

    def _on_views(self) -> None:
        self.change.read_views()

    def _show_titles(self) -> None:
        if self.session.shown is not None:
            self.titles.follow(self.session.shown.nodes)
            self._frame_3d(self.session.shown.nodes)

    def _frame_3d(self, nodes: SceneResult) -> None:
        """Show the whole of a scan in 3D when it comes into the view; later the view stays as the user turned it."""
        manager = slicer.app.layoutManager()
        space = view_named(manager, layout.THREE_D) if manager is not None else None
        if space is not None and self._framed != nodes.source.GetID():
            self._framed = nodes.source.GetID()
            presentation.frame_3d(slicer.mrmlScene, nodes.box, space.renderWindow().GetSize())

    def _keep(self) -> None:
        """Write the choices to the parameter node, so that they are saved with the scene."""
        if self.parameters is None or self._updating:
            return
        was = self.parameters.node.StartModify()
        self.parameters.input_node = self.input.node
        if self.model.package is not None:
            self.parameters.model = self.model.package.name
        self.parameters.device = self.model.device
        self.parameters.precision = self.model.precision
        self.parameters.ensemble = self.model.ensemble
        self.parameters.seed = self.model.seed
        self.parameters.node.EndModify(was)

    def _check(self) -> None:
        self.apply.set_ready(self.input.why_not() or self.model.why_not())
