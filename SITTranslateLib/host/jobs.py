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
from SITTranslateLib.host.requests import (
    ChangesRequest,
    DescribeRequest,
    EstimateRequest,
    ExamineRequest,
    ForecastRequest,
    ForgetRequest,
    PrescribeRequest,
    RecomposeRequest,
    RestoreRequest,
    SegmentsRequest,
    StructuresRequest,
    TraceRequest,
    TranslateRequest,
    UnloadRequest,
    received,
)
from SITTranslateLib.host.results import describe_translation, described_translation
from SITTranslateLib.host.worker import NoRoomError, Teller
from SITTranslateLib.packages import find
from SITTranslateLib.translate.contrast import guess
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.model import LoadedModel, choose_device, load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.provenance import software_versions
from SITTranslateLib.translate.request import checked_request
from SITTranslateLib.translate.suitability import check_suitability
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation

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

    def run(self, message: dict[str, Any], tell: Teller) -> dict[str, Any]:
        """One request; its result as plain types, arrays in the folder.

        Raises:
            ProtocolError: it is no request of :mod:`SITTranslateLib.host.requests`.
            InputError: what was asked cannot be done, in one sentence.
        """
        request = received(message, self._folder, self._translation)
        result: dict[str, Any] = getattr(self, f"_{request.kind.value}")(request, tell)
        return result

    def _describe(self, request: DescribeRequest, tell: Teller) -> dict[str, Any]:
        return {"devices": available_devices(), "software": software_versions(), "warm": [n for n, _ in self._models]}

    def _examine(self, request: ExamineRequest, tell: Teller) -> dict[str, Any]:
        card = find(request.model).card
        contrast = card.source_of(checked_request(card, request.attributes))
        anatomy = locate_head(request.volume)
        tell.check()
        findings = [{"severity": str(f.severity.value), "code": f.code, "sentence": f.sentence}
                    for f in check_suitability(request.volume, anatomy, card, contrast)]  # fmt: skip
        seen = guess(anatomy)
        return {
            "findings": findings,
            "modality": None if seen is None else seen.name,
            "probability": None if seen is None else seen.probability,
            "skull": anatomy.skull,
        }

    def _translate(self, request: TranslateRequest, tell: Teller) -> dict[str, Any]:
        options = request.options
        tell.progress("loading the model", 0.0)

        def once(half: bool) -> Translation:
            loaded = self._model(request.model, options.device)
            return self._translator(
                request.volume, loaded, progress=tell.progress, attributes=request.attributes,
                options=options.changed(precision=_precision(loaded.device, options.precision, half)),
            )  # fmt: skip

        return self._described(self._with_retries(once, tell), tell)

    def _prescribe(self, request: PrescribeRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.translate.prescribing import prescribe

        made = prescribe(
            request.volume, changes=request.changes, years=request.years, lesions=request.lesions, seed=request.seed,
            progress=tell.progress,
        )  # fmt: skip
        return self._described(made, tell)

    def _forecast(self, request: ForecastRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.translate.forecasting import forecast

        found = forecast(
            request.first, request.second, days=request.days, years=request.years, preset=request.preset,
            age=request.age, progress=tell.progress,
        )  # fmt: skip
        return self._described(found.translation, tell)

    def _changes(self, request: ChangesRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.systems.prescribed.changes import read_table
        from SITTranslateLib.systems.prescribed.presets import preset_changes

        if request.file is not None:
            table = read_table(request.file)
            return {"changes": {name: str(change) for name, change in table.changes.items()}, "years": table.years}
        changes = preset_changes(request.preset, request.age, request.years or 0.0)
        return {"changes": {name: f"{value:+.1f} %" for name, value in changes.items()}, "years": None}

    def _recompose(self, request: RecomposeRequest, tell: Teller) -> dict[str, Any]:
        translation, strength = request.translation, float(request.strength)
        if not (np.isfinite(strength) and 0.0 <= strength <= 3.0):
            raise InputError(f"The strength {strength:g} is out of range: 0 to 3 (0 to 300 %).")
        answer: dict[str, Any] = {"strength": strength}
        tell.progress("recomposing", 0.1)
        changed = translation.at(strength, spatial=request.spatial, intensity=request.intensity)
        answer["translated"] = protocol.put(self._folder, changed)
        if request.fields and request.spatial and (motion := translation.motion_at(strength)) is not None:
            tell.progress("recomposing the motion", 0.6)
            answer["motion"] = protocol.put(self._folder, motion)
            answer["jacobian"] = protocol.put(self._folder, fields.jacobian(motion))
        return answer

    def _segments(self, request: SegmentsRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.traceability.segments import segment_table

        tell.progress("measuring the segments", 0.1)
        names = {int(label): str(name) for label, name in request.names.items()}
        table = segment_table(request.translation, request.labels, names, request.translated_labels)
        return {"table": table.to_dict()}

    def _structures(self, request: StructuresRequest, tell: Teller) -> dict[str, Any]:
        tell.progress("finding the structures", 0.1)
        from SITTranslateLib.translate.structures import structures_to_draw

        volumes, labels, names = structures_to_draw(request.translation)
        drawn = {} if labels is None else {"labels": protocol.put(self._folder, labels), "names": names}
        return {"structures": volumes.to_dict(), **drawn}

    def _trace(self, request: TraceRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.traceability.points import Direction, trace_points

        points = np.asarray(request.points, dtype=np.float64).reshape(-1, 3)
        traced = trace_points(request.translation, points, Direction(request.direction), request.labels)
        return {"points": [point._asdict() for point in traced]}

    def _estimate(self, request: EstimateRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.traceability.estimate import estimated_translation, translation_of_pair

        pair = request.translation
        if pair is None:
            if request.source is None or request.translated is None:
                raise InputError("A motion is estimated between two scans, and one is missing.")
            pair = translation_of_pair(request.source, request.translated)
        return self._described(estimated_translation(pair, finer=request.finer, progress=tell.progress), tell)

    def _restore(self, request: RestoreRequest, tell: Teller) -> dict[str, Any]:
        from SITTranslateLib.translate.reassembly import reassembled

        tell.progress("taking up the saved result", 0.1)
        translation = reassembled(
            source=request.source, translated=request.translated, change=request.change, within=request.within,
            velocity=request.velocity, sampling=request.sampling, origin=FieldOrigin(request.field_origin),
            recomposition_error=request.recomposition_error,
            provenance=Provenance.from_dict(dict(request.provenance)),
        )  # fmt: skip
        return self._described(translation, tell)

    def _described(self, translation: Translation, tell: Teller) -> dict[str, Any]:
        tell.check()
        self._count += 1
        # With the job's number: another worker may have counted before this one.
        key = f"{tell.job}-{self._count}"
        self._keep(key, translation)
        return {"translation": describe_translation(self._folder, key, translation)}

    def _forget(self, request: ForgetRequest, tell: Teller) -> dict[str, Any]:
        self._ready.pop(request.key, None)
        return {}

    def _unload(self, request: UnloadRequest, tell: Teller) -> dict[str, Any]:
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
