"""``sittranslate forecast``: two visits of one person, a number of years, one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.holding import hold
from SITTranslateLib.app.terminal import progress_bar, say, without_library_noise


def forecast_visits(
    first: Annotated[str, typer.Argument(help="The earlier scan: NIfTI, NRRD, MHA or DICOM.")],
    second: Annotated[str, typer.Argument(help="The later scan of the same person, in the same contrast.")],
    days: Annotated[float, typer.Option(help="Days between the two visits.")],
    years: Annotated[float, typer.Option(help="Years from the second visit on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result; made in one go at the end.")],
    preset: Annotated[str, typer.Option(help="The norm: healthy-ageing, alzheimer or ms.")] = "healthy-ageing",
    age: Annotated[float | None, typer.Option(help="At the second visit, years; for healthy-ageing.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
) -> None:
    """Forecast the second visit from the change between two visits, blended with published rates."""
    from SITTranslateLib.files import read_volume
    from SITTranslateLib.translate.forecasting import FORECAST_FILE, forecast
    from SITTranslateLib.translate.saving import claim, save_translation

    hold(claim(out, overwrite))
    with without_library_noise():
        visits = [read_volume(path) for path in (first, second)]
    with progress_bar("Forecasting") as report:
        found = forecast(visits[0], visits[1], days=days, years=years, preset=preset, age=age, progress=report)

        def also(folder: Path) -> None:
            (folder / FORECAST_FILE).write_text(found.to_csv(), encoding="utf-8")

        folder = save_translation(found.translation, out, overwrite=overwrite, also=also)
    say(f"Between the visits: {days:g} days. Forecast: {years:g} years. Norm: {preset}, numbers of a group.")
    say(f"Noise floor of the estimated motion: {found.noise_mm:.2g} mm")
    say(found.to_text())
    for sentence in found.translation.provenance.warnings:
        say(f"Warning: {sentence}", err=True)
    say(f"Written to {folder}")
