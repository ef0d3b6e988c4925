"""``sittranslate view``: a result in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import progress_bar, say, without_library_noise


def view_result(
    place: Annotated[
        str,
        typer.Argument(help="The folder of a result, a sidecar (.json) of a batch, or with --model a scan."),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Translate the scan with this model first.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Attribute to ask for, as age=+10; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of the network: float32 or bfloat16.")] = "float32",
    seed: Annotated[int, typer.Option(help="Of systems that draw random numbers.")] = 0,
    ensemble: Annotated[int, typer.Option(help="Answers that a map of uncertainty is made of; 1 for no map.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Translate a scan that does not suit the model.")] = False,
    port: Annotated[int, typer.Option(help="Of 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show a result in a web page on this machine: Slicer's own views, linked, with strength, maps and tracing."""
    from SITTranslateLib.errors import InputError
    from SITTranslateLib.host.client import HostClient
    from SITTranslateLib.options import TranslationOptions
    from SITTranslateLib.view.serving import require_trame, serve
    from SITTranslateLib.view.shown import opened, translated_now

    require_trame()
    options = TranslationOptions(device, seed, precision, ensemble, force)
    if settings and not model:
        raise InputError("--set asks a model for something: give --model too, or leave it out to open a result.")
    with HostClient(idle_seconds=86_400.0) as host:
        with progress_bar("Translating" if model else "Opening") as report, without_library_noise():
            host.progress.connect(lambda _job, fraction, _left: report("working", fraction))
            if model:
                from SITTranslateLib.packages import find
                from SITTranslateLib.translate.request import checked_request, parse_settings

                asked = checked_request(find(model).card, parse_settings(settings or []))
                translation = translated_now(place, model, asked, host, options)
            else:
                if not Path(place).exists():
                    raise InputError(f"'{Path(place).name}' is not there; give the folder of a result.")
                if Path(place).is_file() and Path(place).suffix != ".json":
                    raise InputError(f"'{Path(place).name}' is no result; to translate it first, say --model NAME.")
                translation = opened(Path(place), host)
        for words in translation.provenance.warnings:
            say(f"Warning: {words}", err=True)

        def ready(address: str, once: str) -> None:
            say(f"Open {address}")
            say("The address works on this machine only, until you stop this with Ctrl+C.", err=True)
            if browser:
                import webbrowser

                webbrowser.open(once)

        serve(translation, host, port=port, ready=ready)
