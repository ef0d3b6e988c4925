"""``sittranslate demo``: the bundled model on a real average brain, with all outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SITTranslateLib.app.holding import hold
from SITTranslateLib.app.terminal import Stopwatch, progress_bar, say, without_library_noise
from SITTranslateLib.attributes import AttributeRole

if TYPE_CHECKING:
    from SITTranslateLib.packages import Package

#: Healthy ageing by published rates: of the models that age, the one that is right for every structure.
MODEL = "prescribed-change"
#: Value of an attribute, by its name and role: 20 years for whoever ages, from 60 on where the age at the scan matters.
SETTINGS = {("age", AttributeRole.ASKED): 20, ("years", AttributeRole.ASKED): 20, ("age", AttributeRole.KNOWN): 60}
PICTURES = "pictures"


def run_demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the result; an earlier demo is replaced.")
    ] = Path("demo"),
    model: Annotated[str, typer.Option("--model", "-m", help="Name of an installed model, or the folder of one.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Attribute to ask for; by default 20 years, from 60 on.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of the network: float32 or bfloat16.")] = "float32",
    seed: Annotated[int, typer.Option(help="Of systems that draw random numbers.")] = 0,
    ensemble: Annotated[int, typer.Option(help="Answers that a map of uncertainty is made of; 1 for no map.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Translate although the brain does not suit the model.")
    ] = False,
) -> None:
    """Translate the brain that comes with nilearn: scans, fields, segment table, scene, pictures and a report."""
    watch = Stopwatch()
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.translate.request import checked_request, parse_settings
    from SITTranslateLib.translate.saving import claim, save_translation, seal

    options = TranslationOptions(device, seed, precision, ensemble, force)
    hold(claim(out, overwrite=True))
    package = _package(model)
    request = checked_request(package.card, parse_settings(_asked(package, settings)))

    from SITTranslateLib.app import demo_brain
    from SITTranslateLib.report.page import write_report
    from SITTranslateLib.scene.headless.opengl import opengl_missing
    from SITTranslateLib.scene.headless.pictures import Outlines, Studio
    from SITTranslateLib.traceability.segments import segment_table
    from SITTranslateLib.translate.pipeline import translate
    from SITTranslateLib.translate.verification import verify

    with progress_bar("Loading the brain") as report:
        brain, labels = demo_brain.load_brain()
        translation = translate(
            brain,
            package,
            options=options,
            progress=lambda stage, fraction: report(stage, 0.05 + 0.3 * fraction),
            attributes=dict(request),
        )
        report("checking", 0.37)
        found = verify(translation)
        report("measuring segments", 0.42)
        table = segment_table(translation, labels, demo_brain.NAMES)
        report("finding the structures", 0.46)
        structures = translation.structures
        report("writing the scans and fields", 0.5)
        folder = save_translation(translation, out, overwrite=True)
        table.to_csv(folder / "segments.csv")
        missing, pictures = opengl_missing(), []
        if not missing:
            report("building the scene", 0.68)
            (folder / PICTURES).mkdir()
            rows = [row.to_dict() for row in table.rows]
            outlines = Outlines(labels, demo_brain.NAMES, demo_brain.VENTRICLES)
            with without_library_noise(), Studio(translation, outlines, rows) as studio:
                pictures = studio.draw(folder / PICTURES, lambda stage, fraction: report(stage, 0.72 + 0.18 * fraction))
                report("saving the scene", 0.9)
                studio.save_scene(folder / "scene.mrb")
        report("writing the report", 0.98)
        write_report(folder / "report.html", translation, found, pictures, table, package.card)
        seal(folder)

    asked = package.card.said(request)
    say(f"{package.card.title} ({package.name} {package.card.version}): {asked}")
    say(found.verdict)
    say(structures.headline() or structures.note)
    if missing:
        say(f"No pictures and no scene: {missing}", err=True)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        say(f"  {file}")
    say(f"Open {folder / 'report.html'} in a browser" + ("" if missing else ", scene.mrb in 3D Slicer") + ".")
    say(watch.report(), err=True)


def _package(name: str) -> Package:
    """The named package, else the one for the demo, else the first there is."""
    from SITTranslateLib.errors import PackageError
    from SITTranslateLib.packages import available, find

    if name:
        return find(name)
    try:
        return find(MODEL)
    except PackageError:
        installed = available()
    if not installed:
        raise PackageError(f"No model is installed, so there is nothing to show: the demo needs '{MODEL}'.")
    return installed[0]


def _asked(package: Package, settings: list[str] | None) -> list[str]:
    """What the user asks for, else the demo's own settings as far as the model knows them."""
    if settings:
        return settings
    attributes = [(attribute.name, attribute.role) for attribute in package.card.attributes]
    return [f"{key[0]}={SETTINGS[key]}" for key in attributes if key in SETTINGS]
