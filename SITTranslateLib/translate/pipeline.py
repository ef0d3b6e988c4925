"""The pipeline from a scan to a :class:`Translation`.

check -> prepare -> network -> decompose -> restore. The network works on its own coarse grid; its velocity and
intensity change are brought to the scan's grid and the **scan's own voxels** are changed and warped, so that the
result keeps the scan's resolution, grid and units.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import torch

from SITTranslateLib.arguments import check_progress, instance_of, named_values
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import check_volume
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.packages import Package
from SITTranslateLib.systems import NetworkOutput
from SITTranslateLib.translate.decomposition import ContrastChange, decompose
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.preparation import Prepared, prepare
from SITTranslateLib.translate.provenance import hash_of, software_versions
from SITTranslateLib.translate.request import checked_request
from SITTranslateLib.translate.suitability import Severity, check_suitability, likeliest_source, refusal
from SITTranslateLib.translate.uncertainty import with_uncertainty
from SITTranslateLib.translation import Provenance, Translation
from SITTranslateLib.volume import Volume

#: Called with what is being done and the fraction of the whole that is done; it may raise to cancel.
Progress = Callable[[str, float], None]


def translate(
    volume: Any,
    model: str | os.PathLike[str] | Package | LoadedModel,
    *,
    options: TranslationOptions | None = None,
    progress: Progress | None = None,
    attributes: Mapping[str, object] | None = None,
    device: str | None = None,
    seed: int | None = None,
    force: bool | None = None,
    precision: str | None = None,
    ensemble: int | None = None,
    **more_attributes: object,
) -> Translation:
    """Translate a scan.

    Args:
        volume: a scan: a path, a :class:`Volume`, or whatever :meth:`Volume.of` takes (images of SimpleITK, nibabel,
            TorchIO and MONAI, ``(array, affine)``, a volume node of Slicer).
        model: name of an installed package, its folder, or a model that :func:`load_model` loaded.
        options: device, seed, precision, ensemble and whether to force; see :class:`TranslationOptions`.
        progress: called with a stage and the fraction done.
        attributes: what to ask for, in each attribute's own unit (``{"age": 10}``); nothing asked for means the
            model's defaults. Also as keywords (``age=+10``).
        device, seed, force, precision, ensemble: instead of those of ``options``.

    Returns:
        The translation on the scan's own grid, in its units.

    Raises:
        InputError: the scan cannot be used or does not suit the model, or an attribute is out of range.
        PackageError: no such model, or it was altered.
    """
    started = time.perf_counter()
    check_progress(progress)
    if options is not None:
        instance_of(options, TranslationOptions, "The options")
    options = (options or TranslationOptions()).changed(
        device=device, seed=seed, force=force, precision=precision, ensemble=ensemble
    )
    report = progress or (lambda stage, fraction: None)
    report("reading", 0.0)
    volume = Volume.of(volume)
    check_volume(volume)
    report("loading the model", 0.05)
    loaded = load_model(model, options.device)
    request = checked_request(
        loaded.card, {**named_values(attributes, "The attributes"), **more_attributes}, options.ensemble
    )

    report("looking at the scan", 0.1)
    anatomy = locate_head(volume)
    findings = check_suitability(volume, anatomy, loaded.card, loaded.card.source_of(request))
    forced = tuple(f.sentence for f in findings if f.refuses)
    if forced and not options.force:
        raise refusal(volume, findings)

    report("preparing", 0.15)
    prepared = prepare(volume, anatomy, loaded.card)
    report("running the network", 0.25)
    output = run_network(loaded, prepared, request, options, lambda f: report("running the network", 0.25 + 0.35 * f))
    report("decomposing", 0.6)
    decomposition = decompose(output, prepared, loaded.card)
    error = decomposition.recomposition_error(output, prepared, loaded.card)
    faded: tuple[str, ...] = ()
    if isinstance(decomposition, ContrastChange):
        # Brings SciPy, which changes within a contrast do without.
        from SITTranslateLib.translate.lesion_contrast import faded_lesions

        contrast = loaded.card.source_of(request) or likeliest_source(anatomy, loaded.card)
        faded = faded_lesions(decomposition.source, decomposition.target, (contrast, loaded.card.target_of(request)))
    report("restoring the scan's own grid", 0.75)
    provenance = Provenance(
        package=loaded.card.name,
        version=loaded.card.version,
        sha256=loaded.package.sha256,
        system=loaded.card.system.name,
        attributes=request,
        seed=options.seed,
        device=_device_name(loaded.device),
        requested_device=options.device,
        force=options.force,
        source_sha256=hash_of(volume),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        software=software_versions(),
        forced=forced,
        warnings=(*(f.sentence for f in findings if f.severity is Severity.WARN), *output.warnings, *faded),
        precision=options.precision,
        ensemble=options.ensemble,
        parts=output.parts,
        roles={a.name: a.role.value for a in loaded.card.attributes if a.name in request},
        words={a.name: a.said(request[a.name]) for a in loaded.card.attributes if a.choices and a.name in request},
        target=loaded.card.target_of(request) if loaded.card.target_scale is not None else "",
    )
    translation = decomposition.on_scan(volume, error, provenance)
    report("done", 1.0)
    seconds = round(time.perf_counter() - started, 3)
    translation = replace(translation, provenance=replace(provenance, seconds=seconds))
    if output.parcellation is not None:
        translation.keep_parcellation((output.parcellation, prepared.image.grid))
    return translation


def run_network(
    loaded: LoadedModel,
    prepared: Prepared,
    request: Mapping[str, float],
    options: TranslationOptions,
    progress: Callable[[float], None] | None = None,
) -> NetworkOutput:
    """The network's answer, with random numbers from the seed and the caller's own left as they were.

    One pass, or as many as the ensemble has with the maps of uncertainty that they give.
    """
    image = torch.from_numpy(prepared.image.array)[None, None].to(loaded.device)
    devices = [loaded.device] if loaded.device.type == "cuda" else []
    # Only when asked for: a context of the caller's own stays in force.
    narrow = (
        nullcontext()
        if options.precision == "float32"
        else torch.autocast(loaded.device.type, getattr(torch, options.precision))
    )

    def state() -> list[torch.Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in devices)]

    def once(changed: torch.Tensor, number: int, done: Callable[[float], None] | None) -> tuple[NetworkOutput, bool]:
        torch.manual_seed(number)
        before = state()
        answer: NetworkOutput = loaded.network.translate(changed, request, prepared.image.affine, done)  # type: ignore[operator]
        return answer, any(not torch.equal(a, b) for a, b in zip(before, state(), strict=True))

    with torch.random.fork_rng(devices=devices), torch.inference_mode(), narrow:
        if options.ensemble == 1:
            output, _ = once(image, options.seed, progress)
        else:
            keeps_units = loaded.card.target_scale is None
            output = with_uncertainty(once, image, options.seed, options.ensemble, progress, keeps_units=keeps_units)
    if not bool(torch.isfinite(output.translated).all()):
        raise InputError("The model gave values that are not finite on this scan; try the CPU, or another model.")
    return output


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
