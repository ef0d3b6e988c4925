"""The worker's jobs, each a function of a request: the only file of this package that imports torch."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.host import protocol
from SITTranslateLib.host.devices import available_devices
from SITTranslateLib.host.protocol import Request
from SITTranslateLib.host.results import describe_translation, described_translation
from SITTranslateLib.host.worker import NoRoomError, Teller
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.packages import find
from SITTranslateLib.translate.contrast import guess
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import LoadedModel, choose_device, load_model
from SITTranslateLib.translate.pipeline import software_versions, translate
from SITTranslateLib.translate.request import checked_request
from SITTranslateLib.translate.suitability import check_suitability, contrast_in
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import Volume

#: Models kept warm, and translations kept ready for the slider; older ones are read from the folder again.
WARM_MODELS, READY_TRANSLATIONS = 2, 1


class Jobs:
    """Runs requests; keeps models and the last translation in memory between them."""

    def __init__(self, folder: Path, translator: Callable[..., Translation] = translate) -> None:
        self._folder = folder
        self._translator = translator
        self._models: OrderedDict[tuple[str, str], LoadedModel] = OrderedDict()
        self._ready: OrderedDict[str, Translation] = OrderedDict()
        self._count = 0

    def run(self, kind: Request, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        """One request; its result as plain types, arrays in the folder.

        Raises:
            InputError: what was asked cannot be done, in one sentence.
        """
        job = getattr(self, f"_{kind.value}", None)
        if job is None:
            raise InputError(f"The model host cannot do '{kind.value}'.")
        result: dict[str, Any] = job(request, tell)
        return result

    def _describe(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        return {"devices": available_devices(), "software": software_versions(), "warm": [n for n, _ in self._models]}

    def _examine(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        volume = protocol.take_volume(self._folder, request["volume"], remove=True)
        card = find(request["model"]).card
        contrast = contrast_in(checked_request(card, request.get("attributes")), card)
        anatomy = locate_head(volume)
        tell.check()
        findings = [{"severity": str(f.severity.value), "code": f.code, "sentence": f.sentence}
                    for f in check_suitability(volume, anatomy, card, contrast)]  # fmt: skip
        seen = guess(anatomy)
        return {
            "findings": findings,
            "modality": None if seen is None else seen.name,
            "probability": None if seen is None else seen.probability,
            "skull": anatomy.skull,
        }

    def _translate(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        volume = protocol.take_volume(self._folder, request["volume"], remove=True)
        options = TranslationOptions.from_dict(request)
        tell.progress("loading the model", 0.0)

        def once(half: bool) -> Translation:
            loaded = self._model(str(request["model"]), options.device)
            return self._translator(
                volume, loaded, progress=tell.progress, attributes=request.get("attributes") or {},
                options=options.changed(precision=_precision(loaded.device, options.precision, half)),
            )  # fmt: skip

        return self._described(request, self._with_retries(once, tell), tell)

    def _recompose(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        translation = self._translation(request["translation"])
        strength = float(request["strength"])
        if not (np.isfinite(strength) and 0.0 <= strength <= 3.0):
            raise InputError(f"The strength {strength:g} is out of range: 0 to 3 (0 to 300 %).")
        spatial, intensity = bool(request.get("spatial", True)), bool(request.get("intensity", True))
        answer: dict[str, Any] = {"strength": strength}
        tell.progress("recomposing", 0.1)
        changed = translation.at(strength, spatial=spatial, intensity=intensity)
        answer["translated"] = protocol.put(self._folder, changed)
        if request.get("fields") and spatial and (motion := translation.motion_at(strength)) is not None:
            tell.progress("recomposing the motion", 0.6)
            answer["motion"] = protocol.put(self._folder, motion)
            answer["jacobian"] = protocol.put(self._folder, fields.jacobian(motion))
        return answer

    def _segments(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.traceability.segments import segment_table

        tell.progress("measuring the segments", 0.1)
        labels = protocol.take_volume(self._folder, request["labels"], remove=True)
        target = request.get("translated_labels")
        names = {int(label): str(name) for label, name in (request.get("names") or {}).items()}
        table = segment_table(
            self._translation(request["translation"]), labels, names,
            protocol.take_volume(self._folder, target, remove=True) if target else None,
        )  # fmt: skip
        return {"table": table.to_dict()}

    def _trace(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.traceability.points import Direction, trace_points

        points = np.asarray(request["points"], dtype=np.float64).reshape(-1, 3)
        direction = Direction(request.get("direction", Direction.TO_TRANSLATED.value))
        traced = trace_points(self._translation(request["translation"]), points, direction, request.get("labels"))
        return {"points": [point._asdict() for point in traced]}

    def _estimate(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        """The motion between the two scans of a translation, or of any two volumes, by registration."""
        from SITTranslateLib.traceability.estimate import estimated_translation, translation_of_pair

        if "translation" in request:
            pair = self._translation(request["translation"])
        else:
            source, translated = (
                protocol.take_volume(self._folder, request[n], remove=True) for n in ("source", "translated")
            )
            pair = translation_of_pair(source, translated)
        return self._described(request, estimated_translation(pair, progress=tell.progress), tell)

    def _restore(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        """A translation of a saved scene, from the parts that were saved."""
        from SITTranslateLib.translate.reassembly import reassembled

        tell.progress("taking up the saved result", 0.1)
        parts: dict[str, Any] = {
            name: take(self._folder, request[name], remove=True)
            for take, names in (
                (protocol.take_volume, ("source", "translated", "change", "within")),
                (protocol.take_field, ("velocity", "sampling")),
            )
            for name in names
            if request.get(name)
        }
        translation = reassembled(
            **parts,
            origin=FieldOrigin(request["field_origin"]),
            recomposition_error=float(request["recomposition_error"]),
            provenance=Provenance.from_dict(request["provenance"]),
        )
        return self._described(request, translation, tell)

    def _described(self, request: dict[str, Any], translation: Translation, tell: Teller) -> dict[str, Any]:
        tell.check()
        self._count += 1
        key = f"{request.get('id', 0)}-{self._count}"
        self._keep(key, translation)
        return {"translation": describe_translation(self._folder, key, translation)}

    def _sample(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        """A simulated scan of the procedural head with its labels: data that needs no download."""
        from SITTranslateLib.simulation.head import procedural_head
        from SITTranslateLib.simulation.scan import simulate_contrasts

        contrast, spacing = str(request.get("contrast", "T1w")), float(request.get("spacing", 2.0))
        if not 0.7 <= spacing <= 5.0:
            raise InputError(f"The sample's voxels may be 0.7 to 5 mm, not {spacing:g} mm.")
        tell.progress("making the head", 0.1)
        labels = procedural_head(int(request.get("seed", 0)), spacing=spacing)
        tell.progress("making the scan", 0.5)
        simulated = simulate_contrasts(labels, [contrast], 0, grid=labels.grid)
        head = simulated.labels
        return {
            "scan": protocol.put(self._folder, simulated.scans[contrast]),
            "labels": protocol.put(self._folder, Volume(head.array.astype(np.float32), head.affine, head.name)),
        }

    def _forget(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        self._ready.pop(str(request.get("key", "")), None)
        return {}

    def _unload(self, request: dict[str, Any], tell: Teller) -> dict[str, Any]:
        self._models.clear()
        _free_memory()
        return {}

    def _model(self, name: str, device: str) -> LoadedModel:
        """A warm model, or one that is loaded now; an altered package is a new one."""
        package = find(name)
        key = (f"{package.folder}:{package.sha256}", str(choose_device(device)))
        if key not in self._models:
            self._models[key] = load_model(package, device)
            while len(self._models) > WARM_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def _keep(self, key: str, translation: Translation) -> None:
        self._ready[key] = translation
        while len(self._ready) > READY_TRANSLATIONS:
            self._ready.popitem(last=False)

    def _translation(self, about: dict[str, Any]) -> Translation:
        """A translation of before: from memory, or from the folder after this worker took over from another."""
        key = str(about["key"])
        if key not in self._ready:
            self._keep(key, described_translation(self._folder, about))
        return self._ready[key]

    def _with_retries(self, once: Callable[[bool], Translation], tell: Teller) -> Translation:
        """Full precision, then half; then the CPU is offered, never taken."""
        try:
            return once(False)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        self._models.clear()
        _free_memory()
        tell.warning("The GPU has too little free memory: trying again with half precision.")
        try:
            return once(True)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            self._models.clear()
            _free_memory()
            sentence = "The GPU has too little free memory for this scan; run it on the CPU instead (slower)."
            raise NoRoomError(sentence, offer="cpu") from error


def _precision(device: torch.device, asked: str, half: bool) -> str:
    # Sampling and the field integration stay in single precision; only convolutions become half. It is recorded.
    return "float16" if half and device.type == "cuda" else asked


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
