"""``sittranslate package``: packages of existing networks, and their check."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SITTranslateLib.app.terminal import say
from SITTranslateLib.errors import InputError

if TYPE_CHECKING:
    from SITTranslateLib.packages import Package


def package_model(
    action: Annotated[
        str,
        typer.Argument(
            metavar="template|new|check|sign|index",
            help="Print a card to fill in, make a package, try one, sign one, or list those of a folder in index.json.",
        ),
    ],
    folder: Annotated[
        Path | None, typer.Argument(help="For check and sign: the package. For index: the folder of packages.")
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="An ONNX file (2D, 2.5D or 3D image to image).")] = None,
    monai: Annotated[Path | None, typer.Option(help="The folder of a MONAI bundle.")] = None,
    card: Annotated[Path | None, typer.Option(help="The card's text (TOML); 'package template' prints one.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the package; a new one.")] = None,
    key: Annotated[Path | None, typer.Option(help="For sign: file of the private key; made if there is none.")] = None,
) -> None:
    """Make a model package of an ONNX file or a MONAI bundle; nothing of it is run but its network."""
    from SITTranslateLib.packages.making import (
        TEMPLATE,
        package_of_onnx,
        package_of_weights,
        refuse_placeholders,
        write_repository,
    )

    if action == "template":
        say(TEMPLATE.read_text(encoding="utf-8").rstrip("\n"))
        return
    if action == "check":
        if folder is None:
            raise InputError("Say which package to check: sittranslate package check FOLDER.")
        from SITTranslateLib.packages import find

        _report(find(folder))
        return
    if action == "sign":
        if folder is None or key is None:
            raise InputError(
                "Say which package to sign, and with which key: sittranslate package sign FOLDER --key FILE."
            )
        _sign(folder, key)
        return
    if action == "index":
        if folder is None:
            raise InputError("Say which folder of packages: sittranslate package index FOLDER.")
        from SITTranslateLib.packages.index import write_index

        say(f"Written: {write_index(folder)}")
        say("Next: put the folder on a web server with https; others write sittranslate models search --index ADDRESS")
        return
    if action != "new":
        raise InputError(f"'package {action[:40]}' is not known; use template, new, check, sign or index.")
    if (onnx is None) == (monai is None) or card is None or out is None:
        raise InputError("A new package needs --card, --out, and either --onnx or --monai.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"'{out.name}' exists; give a new folder for the package.")
    refuse_placeholders(card)
    if onnx is not None:
        made = package_of_onnx(onnx, card, out)
    else:
        assert monai is not None
        from SITTranslateLib.packages.monai_bundle import read_bundle
        from SITTranslateLib.systems.monai_networks.network import build

        bundle = read_bundle(monai)
        build(bundle.name, bundle.arguments)
        weights = {f"network.{name}": value for name, value in bundle.weights.items()}
        made = package_of_weights(
            "monai", {"network": bundle.name, **bundle.arguments, **bundle.images}, weights, card, out
        )
    try:
        _report(made)
        write_repository(made, card)
    except BaseException:
        # What does not run is no package.
        shutil.rmtree(out, ignore_errors=True)
        raise
    say(f"Next: sittranslate translate SCAN --model {out} --out RESULT; if it is good: sittranslate models add {out}")


def _sign(folder: Path, key: Path) -> None:
    """Sign a package with the private key in a file, which is made if there is none; say what others must trust."""
    from SITTranslateLib.packages import open_package
    from SITTranslateLib.packages.signature import key_in, public_text, sign

    package = open_package(folder)
    made = not key.exists()
    private = key_in(key)
    file = sign(folder, private)
    if made:
        say(f"A new private key: {key}. Keep it, and keep it to yourself.")
    say(f"Signed: {package.name} {package.card.version} ({file})")
    say(f"Whoever trusts it adds this line to trusted-keys.txt: {public_text(private)} YOUR-NAME")


def _report(package: Package) -> None:
    """Run a package once on noise, and say what it is."""
    seconds, origin = _tried(package)
    say(f"{package.card.title} ({package.name} {package.card.version}), system {package.card.system.name}")
    say(f"Field: {origin}; {seconds:.1f} s for its grid of {package.card.grid.shape} voxels on the CPU")
    say(f"sha256 {package.sha256}, {package.bytes / 1e6:.1f} MB: {package.folder}")


def _tried(package: Package) -> tuple[float, str]:
    import numpy as np
    import torch

    from SITTranslateLib.translate.model import load_model
    from SITTranslateLib.volume import Grid

    loaded = load_model(package, "cpu")
    shape = package.card.grid.shape
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, *shape), dtype=np.float32))
    affine = Grid.centred(np.zeros(3), shape, package.card.grid.spacing_mm).affine
    request = {attribute.name: attribute.default for attribute in package.card.attributes}
    started = time.perf_counter()
    with torch.inference_mode():
        output = loaded.network.translate(image, request, affine, None)  # type: ignore[operator]
    if output.translated.shape != image.shape or not bool(torch.isfinite(output.translated).all()):
        raise InputError(
            f"The network of '{package.name}' gives no image of its own grid, or values that are not finite."
        )
    moves = output.velocity is not None or output.displacement is not None
    origin = "model" if moves else "identity" if output.keeps_geometry else "none; it can be estimated afterwards"
    return time.perf_counter() - started, origin
