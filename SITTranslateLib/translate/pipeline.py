"""The pipeline: a scan goes in, a :class:`Translation` comes out.

check -> prepare -> network -> decompose -> restore. The network works on its own coarse grid; its velocity and
intensity change are brought to the scan's grid and the **scan's own voxels** are changed and warped, so that the
result keeps the scan's resolution, grid and units.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
import torch

from SITTranslateLib import __version__, fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import check_volume
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.packages import ModelCard, Package
from SITTranslateLib.systems import NetworkOutput
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.normalisation import to_native
from SITTranslateLib.translate.preparation import Prepared, prepare
from SITTranslateLib.translate.request import checked_request
from SITTranslateLib.translate.restoration import as_array, faded_outwards, with_rim
from SITTranslateLib.translate.suitability import Severity, check_suitability, contrast_in, refusal
from SITTranslateLib.translate.uncertainty import UNCERTAINTY, with_uncertainty
from SITTranslateLib.translate.upsampling import on_scan_grid
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import Grid, VectorField, Volume

#: Called with what is being done and the fraction of the whole that is done; it may raise to cancel.
Progress = Callable[[str, float], None]

_SOFTWARE = ("torch", "numpy", "SimpleITK", "monai", "safetensors")


@dataclass(frozen=True, eq=False)
class Parts:
    """What a network's answer is made of, on the network's grids but in native units; see :class:`Translation`.

    Of a model to another contrast, in that contrast's units: ``target`` is the scan in it where the source's anatomy
    lies, ``answer`` what the network gave (the same, moved); and ``seen`` is the scan as the network saw it.

    ``steps`` are what the network took its answer to be after each step; ``outside`` is the value of air in the answer.
    """

    change: Volume | None = None
    velocity: VectorField | None = None
    sampling: VectorField | None = None
    motion: VectorField | None = None
    residual: Volume | None = None
    origin: FieldOrigin = FieldOrigin.NONE
    extras: Mapping[str, Volume] = field(default_factory=dict)
    labels: Mapping[str, Volume] = field(default_factory=dict)
    target: Volume | None = None
    answer: Volume | None = None
    seen: Volume | None = None
    outside: float = 0.0
    steps: Mapping[str, Volume] = field(default_factory=dict)


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
    options = (options or TranslationOptions()).changed(
        device=device, seed=seed, force=force, precision=precision, ensemble=ensemble
    )
    report = progress or (lambda stage, fraction: None)
    report("reading", 0.0)
    volume = Volume.of(volume)
    check_volume(volume)
    report("loading the model", 0.05)
    loaded = load_model(model, options.device)
    request = checked_request(loaded.card, {**(attributes or {}), **more_attributes})

    report("looking at the scan", 0.1)
    anatomy = locate_head(volume)
    findings = check_suitability(volume, anatomy, loaded.card, contrast_in(request, loaded.card))
    forced = tuple(f.sentence for f in findings if f.refuses)
    if forced and not options.force:
        raise refusal(volume, findings)

    report("preparing", 0.15)
    prepared = prepare(volume, anatomy, loaded.card)
    report("running the network", 0.25)
    output = run_network(loaded, prepared, request, options, lambda f: report("running the network", 0.25 + 0.35 * f))
    report("decomposing", 0.6)
    parts = decompose(output, prepared, loaded.card)
    error = recomposition_error(output, prepared, parts)
    report("restoring the scan's own grid", 0.75)
    restored = restore(volume, parts)
    report("done", 1.0)
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
        seconds=round(time.perf_counter() - started, 3),
        software=software_versions(),
        forced=forced,
        warnings=tuple(f.sentence for f in findings if f.severity is Severity.WARN),
        precision=options.precision,
        ensemble=options.ensemble,
        target=loaded.card.target_of(request) if loaded.card.target_scale is not None else "",
    )
    return Translation(
        source=volume, field_origin=parts.origin, recomposition_error=error, provenance=provenance, **restored
    )


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


def decompose(output: NetworkOutput, prepared: Prepared, card: ModelCard | None = None) -> Parts:
    """Motion, sampling field and intensity change of a network's answer, each fading out beyond its grid."""
    affine, width = prepared.image.affine, np.float32(prepared.scale.width)

    def image_of(tensor: torch.Tensor, name: str, factor: np.float32) -> Volume:
        return faded_outwards(Volume(as_array(tensor) * factor, affine, name))

    maps = {name: tensor for name, tensor in output.extras.items() if name not in output.steps}
    extras = {name: image_of(tensor, name, np.float32(1.0)) for name, tensor in maps.items()}
    if UNCERTAINTY in maps:
        extras[UNCERTAINTY] = faded_outwards(_uncertainty(output, prepared, card))
    steps = {name: in_native_units(output.extras[name], name, prepared, card) for name in output.steps}
    air = float(in_native_units(torch.zeros(1, 1, 1, 1, 1), "air", prepared, card).array.max())
    labels = {name: Volume(as_array(t), affine, name) for name, t in output.labels.items()}
    velocity = sampling = motion = None
    origin = FieldOrigin.IDENTITY if output.keeps_geometry else FieldOrigin.NONE
    if output.velocity is not None:
        assert output.velocity_affine is not None
        velocity = faded_outwards(VectorField(as_array(output.velocity), output.velocity_affine))
        sampling, motion = fields.exponential(velocity, -1.0), fields.exponential(velocity)
        origin = FieldOrigin.MODEL
    elif output.displacement is not None:
        sampling = faded_outwards(VectorField(as_array(output.displacement), affine))
        motion, origin = fields.invert(sampling), FieldOrigin.MODEL
    geometry: dict[str, Any] = {"velocity": velocity, "sampling": sampling, "motion": motion, "origin": origin}
    further: dict[str, Any] = {"extras": extras, "labels": labels, "steps": steps, "outside": air}
    if card is not None and card.target_scale is not None:
        # Another contrast has its own units, so that the answer is kept and not its difference from the scan.
        scale, image = card.target_scale, prepared.image
        answer = in_native_units(output.translated, image.name, prepared, card)
        target = answer
        if output.intensity_change is not None:
            target = image.with_array(to_native(image.array + as_array(output.intensity_change), scale))
        seen = image.with_array(prepared.scale.restore(image.array))
        return Parts(target=target, answer=answer, seen=seen, **geometry, **further)
    change = None
    if output.intensity_change is not None:
        change = image_of(output.intensity_change, "intensity change", width)
    if origin is FieldOrigin.MODEL:
        return Parts(change, **geometry, **further)
    difference = faded_outwards(
        Volume((as_array(output.translated) - prepared.image.array) * width, affine, "intensity change")
    )
    if output.keeps_geometry:
        return Parts(change if change is not None else difference, origin=origin, **further)
    return Parts(residual=difference, origin=origin, **further)


def in_native_units(tensor: torch.Tensor, name: str, prepared: Prepared, card: ModelCard | None) -> Volume:
    """An image of the network in the units of the translated scan."""
    values, scale = as_array(tensor), card.target_scale if card is not None else None
    native = prepared.scale.restore(values) if scale is None else to_native(values, scale)
    return Volume(native, prepared.image.affine, name)


def _uncertainty(output: NetworkOutput, prepared: Prepared, card: ModelCard | None) -> Volume:
    """The uncertainty of a translated scan, which networks give in their own units, in the scan's or the target's."""
    spread = as_array(output.extras[UNCERTAINTY])
    if card is None or card.target_scale is None:
        return prepared.image.with_array(spread * np.float32(prepared.scale.width), UNCERTAINTY)
    middle, half = as_array(output.translated), np.float32(0.5) * spread
    native = to_native(middle + half, card.target_scale) - to_native(middle - half, card.target_scale)
    return prepared.image.with_array(native, UNCERTAINTY)


def recomposition_error(output: NetworkOutput, prepared: Prepared, parts: Parts) -> float:
    """Largest ``|network output - recomposed|`` on the network's grid, native units.

    Recomposed from the parts that the translation keeps, by the array form of the field engine with its own number
    of squarings: another path than the one the network took.
    """
    image, grid = prepared.image, prepared.image.grid
    if parts.target is not None and parts.seen is not None and parts.answer is not None:
        change = parts.target.array - parts.seen.array
        native = image.with_array(parts.seen.array + change)
        if parts.sampling is not None:
            native = fields.warp(native, fields.resample_field(parts.sampling, grid))
        return float(np.abs(native.array - parts.answer.array).max())
    native = image.with_array(prepared.scale.restore(image.array))
    for addition in (parts.change, parts.residual):
        if addition is not None:
            native = native.with_array(native.array + fields.resample_volume(addition, grid).array)
    if parts.velocity is not None:
        native = fields.warp(native, fields.resample_field(fields.exponential(parts.velocity, -1.0), grid))
    elif parts.sampling is not None:
        native = fields.warp(native, fields.resample_field(parts.sampling, grid))
    wanted = prepared.scale.restore(as_array(output.translated))
    return float(np.abs(native.array - wanted).max())


def restore(volume: Volume, parts: Parts) -> dict[str, Any]:
    """The parts on the scan's own grid and the translated scan made of the scan's own voxels."""
    grid = volume.grid
    changed, change = volume, None
    if parts.target is not None and parts.seen is not None:
        changed = on_scan_grid(volume, parts.seen, parts.target, parts.outside)
        if parts.origin is not FieldOrigin.NONE:
            change = volume.with_array(changed.array - volume.array, "intensity change")
            changed = volume.with_array(volume.array + change.array)
    if parts.change is not None:
        change = fields.resample_volume(parts.change, grid)
        changed = volume.with_array(volume.array + change.array)
    if parts.residual is not None:
        changed = volume.with_array(volume.array + fields.resample_volume(parts.residual, grid).array)
    sampling = motion = jacobian = None
    if parts.sampling is not None and parts.motion is not None:
        sampling = fields.resample_field(parts.sampling, grid)
        motion = fields.resample_field(parts.motion, grid)
        # On the field's own grid, where its derivative is defined, then read at the scan's voxels.
        jacobian = on_grid(fields.jacobian(parts.motion), grid, outside=1.0)
        changed = fields.warp(changed, sampling)
    return {
        "translated": changed.with_array(changed.array, f"{volume.name} translated"),
        "velocity": parts.velocity,
        "motion": motion,
        "sampling": sampling,
        "jacobian": jacobian,
        "intensity_change": change,
        "extras": {name: fields.resample_volume(image, grid) for name, image in parts.extras.items()}
        | {name: on_grid(image, grid, parts.outside) for name, image in parts.steps.items()}
        | {name: fields.resample_volume(with_rim(image), grid, "nearest") for name, image in parts.labels.items()},
        "steps": tuple(parts.steps),
    }


def on_grid(image: Volume, grid: Grid, outside: float) -> Volume:
    """An image read at another grid's voxels, a constant where it has none."""
    shifted = image.with_array(image.array - np.float32(outside))
    rim = np.zeros_like(shifted.array)
    inner = tuple(slice(1, -1) if n > 2 else slice(None) for n in rim.shape)
    rim[inner] = shifted.array[inner]
    moved = fields.resample_volume(image.with_array(rim), grid)
    return moved.with_array(np.add(moved.array, np.float32(outside), out=moved.array))


def hash_of(volume: Volume) -> str:
    """sha256 of a scan's voxels and position; says which scan a result was made from, without naming anyone."""
    digest = hashlib.sha256(np.array(volume.shape, dtype="<i8").tobytes())
    digest.update(np.round(volume.affine, 4).astype("<f8").tobytes())
    digest.update(volume.array.astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def software_versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    versions = {"python": platform.python_version(), "sittranslate": __version__}
    for name in _SOFTWARE:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
