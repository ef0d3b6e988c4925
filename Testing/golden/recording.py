"""What the golden files hold, computed by the code that is here.

``python Testing/golden/recording.py --write`` records it again, which is done on purpose only: the files say what
results, cards, sidecars, nodes, the lines of the host and the command line were before the library was rearranged.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
RECORD, VALUES, HEADS = FOLDER / "golden.json", FOLDER / "values.npz", FOLDER / "heads.npz"
MODELS = FOLDER.parents[1] / "Resources" / "Models"
#: The networks run on a coarse grid: the weights are the shipped ones, the cost is a hundredth.
SPACING_MM, SHAPE = 4.0, (48, 64, 48)
#: Attributes that a package is asked for; those of the others are the card's defaults.
REQUESTS: dict[str, dict[str, float]] = {
    "brain-ageing-t1w": {"age": 20.0, "lesions": 10.0},
    "brain-contrasts": {"target": 1.0, "source": 0.0, "steps": 2.0, "samples": 1.0},
    "plasticine-t1w-t2w": {"age": 10.0, "intermediate": 1.0},
}
SEED = 3
#: Values that are kept of each part.
SAMPLES = 300
PARTS = ("translated", "velocity", "motion", "sampling", "jacobian", "intensity_change")
#: Where a line or a sidecar differs from run to run.
_VOLATILE = {
    "created", "seconds", "device", "software", "sha256", "pid", "seconds_left", "fraction", "bytes", "file", "key",
    "about", "forced", "warnings", "recomposition_error", "warm",
}  # fmt: skip


def heads() -> dict[str, Any]:
    """The two scans that are translated: T1w with its skull and T2w without, 4 mm."""
    from SITTranslateLib.volume import Volume

    with np.load(HEADS) as kept:
        affine = kept["affine"]
        return {name: Volume(kept[name].astype(np.float32), affine, name) for name in ("T1w", "T2w")}


def make_heads() -> None:
    """Simulate the two scans; they are kept as files, since the simulation may change."""
    from SITTranslateLib.simulation.head import procedural_head
    from SITTranslateLib.simulation.scan import simulate_contrasts

    labels = procedural_head(0, spacing=4.0)
    scans = {
        name: simulate_contrasts(labels, [name], 0, grid=labels.grid, skull_strip=stripped).scans[name]
        for name, stripped in (("T1w", False), ("T2w", True))
    }
    whole = {name: np.round(1000 * v.array / v.array.max()).clip(0).astype(np.uint16) for name, v in scans.items()}
    np.savez_compressed(HEADS, affine=scans["T1w"].affine, **whole)


def translated(folder: Path, scans: dict[str, Any]) -> Any:
    """One pass of a shipped package on its coarse grid."""
    import SITTranslateLib as sit
    from SITTranslateLib.packages import find

    loaded = sit.load_model(find(folder), "cpu")
    card = replace(loaded.card, grid=replace(loaded.card.grid, spacing_mm=SPACING_MM, shape=SHAPE))
    loaded = replace(loaded, package=replace(loaded.package, card=card))
    return sit.translate(
        scans[card.source], loaded, device="cpu", seed=SEED, force=True, attributes=REQUESTS.get(card.name)
    )


def sampled(translation: Any) -> dict[str, np.ndarray]:
    """A few hundred values of each part, always at the same voxels."""
    values = {}
    images = {name: part.array for name in PARTS if (part := getattr(translation, name)) is not None}
    images |= {f"extra {name}": volume.array for name, volume in translation.extras.items()}
    for name, array in images.items():
        flat = array.reshape(-1)
        chosen = np.random.default_rng(0).choice(flat.size, min(SAMPLES, flat.size), replace=False)
        values[name] = flat[np.sort(chosen)].astype(np.float32)
    return values


def card_of(folder: Path) -> dict[str, Any]:
    """What a card promises to programs; its prose may be written better."""
    from SITTranslateLib.packages import read_card

    raw = read_card(folder).to_dict()
    kept = {key: raw[key] for key in ("schema_version", "name", "system", "source", "targets", "grid", "normalisation")}
    kept["attributes"] = [{k: v for k, v in a.items() if k not in ("title", "description")} for a in raw["attributes"]]
    kept["target_scale"] = raw.get("target_scale")
    return kept | {"keys": sorted(raw), "weights": [f["sha256"] for f in raw["files"] if "weights" in f["path"]]}


def stable(value: Any) -> Any:
    """Without what differs from run to run and from processor to processor: numbers to three digits."""
    if isinstance(value, dict):
        return {k: f"<{k}>" if k in _VOLATILE else stable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [stable(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return "<sha256>"
    return value


def sidecar_of(translation: Any) -> dict[str, Any]:
    """The sidecar as it is written, without what differs from run to run."""
    import SITTranslateLib as sit

    with tempfile.TemporaryDirectory() as temporary:
        folder = sit.save_translation(translation, Path(temporary) / "result")
        raw = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        about = raw["SITTranslate"]
        about.pop("source_affine")
        raw["GeneratedBy"][0]["Version"] = "<version>"
        names = {part: entry["file"] for part, entry in about["files"].items()}
        present = sorted(file.name for file in folder.iterdir())
    return {"sidecar": stable(raw), "files": names, "folder": present}


class _Lines:
    """A worker whose lines are written down."""

    def __init__(self, worker: Any, sent: list[str], received: list[str]) -> None:
        self._worker, self._sent, self._received = worker, sent, received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def send(self, line: str) -> Any:
        self._sent.append(line)
        return self._worker.send(line)

    @property
    def lines(self) -> Any:
        return _Heard(self._worker.lines, self._received)


class _Heard:
    def __init__(self, lines: SimpleQueue[str | None], received: list[str]) -> None:
        self._lines, self._received = lines, received

    def empty(self) -> bool:
        return bool(self._lines.empty())

    def get(self) -> str | None:
        line = self._lines.get()
        if line is not None:
            self._received.append(line)
        return line


def wire_lines(package: Path, scan: Any) -> dict[str, list[Any]]:
    """What client and worker said to each other for a description and a translation by a real process."""
    from SITTranslateLib.host.client import HostClient
    from SITTranslateLib.host.process import WorkerProcess
    from SITTranslateLib.host.requests import DescribeRequest, RecomposeRequest, TraceRequest, TranslateRequest
    from SITTranslateLib.options import TranslationOptions

    sent: list[str] = []
    received: list[str] = []
    start: Callable[[Path], Any] = lambda folder: _Lines(WorkerProcess(folder, idle_seconds=60.0), sent, received)  # noqa: E731
    with HostClient(start) as host:
        host.run(DescribeRequest())
        options = TranslationOptions(device="cpu", force=True)
        result = host.run(TranslateRequest(scan, str(package), {"age": 5.0}, options))
        host.run(RecomposeRequest(result, 0.5, fields=True))
        host.run(TraceRequest(result, [[5.0, -12.0, 30.0]]))
    events: list[Any] = []
    for line in received:
        message = json.loads(line)
        # How often progress is told depends on the machine.
        if message.get("event") not in ("progress", "stage"):
            events.append(message)
    return {"sent": [_line(json.loads(s)) for s in sent], "received": [_line(e) for e in events]}


def _line(message: dict[str, Any]) -> Any:
    """Of a description only the keys, which depend on no machine; of a path its end."""
    if isinstance(message.get("model"), str):
        message["model"] = Path(message["model"]).name
    result = message.get("result")
    if isinstance(result, dict) and "devices" in result:
        message["result"] = dict.fromkeys(sorted(result), "<any>")
    if isinstance(result, dict) and "points" in result:
        result["points"] = [sorted(point) for point in result["points"]]
    return stable(message)


def commands() -> dict[str, Any]:
    """Arguments and options of every command: names, default, whether needed and how often."""
    import typer

    from SITTranslateLib.app.main import COMMANDS, build

    kept: dict[str, Any] = {}
    for command in COMMANDS:
        group = typer.main.get_command(build(command.name))
        parameters = group.commands[command.name].params  # type: ignore[attr-defined]
        kept[command.name] = {
            p.name: {
                "names": [*p.opts, *p.secondary_opts], "required": p.required, "nargs": p.nargs,
                "multiple": bool(getattr(p, "multiple", False)), "default": _default(p.default),
            }
            for p in parameters if p.name != "help"
        }  # fmt: skip
    return kept


def _default(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, (list, tuple)) else "<other>"


def tiny_translation(folder: Path) -> tuple[Path, Any]:
    """A package of some kilobytes in the folder, and what it makes of a small head."""
    import tiny_model

    import SITTranslateLib as sit

    package = tiny_model.write_tiny_package(folder / "tiny")
    scan = tiny_model.head(spacing=(6.0, 6.0, 6.0))
    return package.folder, sit.translate(scan, package, device="cpu", force=True, attributes={"age": 5.0})


def scene_nodes() -> dict[str, Any]:
    """Class, attributes and parameter references of the nodes of a result, by role."""
    from synthetic_translation import synthetic_translation

    from SITTranslateLib.scene.headless.application import application
    from SITTranslateLib.scene.result import add_translation

    app = application()
    app.clear()
    made = add_translation(synthetic_translation(), scene=app.scene)
    nodes = {}
    for node in made.nodes:
        names = [node.GetAttributeNames()] if isinstance(node.GetAttributeNames(), str) else node.GetAttributeNames()
        attributes = {name: node.GetAttribute(name) for name in names if name.startswith("SITTranslate.")}
        record = json.loads(attributes.pop("SITTranslate.Provenance"))
        role = attributes["SITTranslate.Role"]
        nodes[role] = {"class": node.GetClassName(), "attributes": attributes, "provenance": stable(record)}
    app.clear()
    return nodes


def write() -> None:
    """Record everything."""
    make_heads()
    scans = heads()
    packages = sorted(p for p in MODELS.iterdir() if (p / "model.json").is_file())
    values = {
        f"{folder.name}|{part}": array
        for folder in packages
        for part, array in sampled(translated(folder, scans)).items()
    }
    np.savez_compressed(VALUES, **values)
    with tempfile.TemporaryDirectory() as temporary:
        package, translation = tiny_translation(Path(temporary))
        record = {
            "cards": {folder.name: card_of(folder) for folder in packages},
            "result": sidecar_of(translation),
            "wire": wire_lines(package, translation.source),
            "commands": commands(),
            "scene": scene_nodes(),
        }
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__" and "--write" in sys.argv:
    sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parents[1])]
    write()
    # VTK's wrappers abort while the interpreter is taken down.
    os._exit(0)
