"""The house: imports point down, the package imports light, files stay small, rooms are named for what they hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "SITTranslateLib"
#: Top to bottom; a room may import from those after it (and from itself). What is made is
#: checked by what traceability says, so that the room that makes translations stands above it.
ROOMS = [
    "ui", "app", "view", "report", "scene", "host", "training", "evaluation", "dicom", "translate", "traceability",
    "systems", "segmentation", "packages", "simulation", "translation", "structure_table", "fields", "files", "options",
    "volume", "interchange", "notebook", "arguments", "attributes", "children", "errors", "escaping", "steps",
]  # fmt: skip
FORBIDDEN_NAMES = {"utils", "helpers", "common", "core", "misc", "util"}
SOURCES = sorted(LIBRARY.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms a file imports, wherever in the file."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the room"
            names = [node.module or ""]
            if node.module == "SITTranslateLib":
                names = [f"SITTranslateLib.{alias.name}" for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("SITTranslateLib.")}
    return rooms


def modules_of(path: Path) -> dict[str, int]:
    """Modules that a file imports, wherever in the file, and the line of each."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found[node.module or ""] = node.lineno
            found |= {f"{node.module}.{alias.name}": node.lineno for alias in node.names}
    return found


def test_imports_point_down() -> None:
    upward = []
    for path in SOURCES:
        room = room_of(path)
        if room == "__init__":
            continue
        assert room in ROOMS, f"the room '{room}' has no place in the order; design it in"
        above = set(ROOMS[: ROOMS.index(room)])
        upward += [f"{path.relative_to(LIBRARY)} imports {name}" for name in imported_rooms(path) & above]
    assert not upward


def test_what_slicer_runs_does_not_need_training_or_evaluation() -> None:
    """They are not installed there; the commands that use them say so."""
    below = set(ROOMS) - {"app", "training", "evaluation"}
    rooms = {"SITTranslateLib.training", "SITTranslateLib.evaluation", "benchmarks"}
    needed = [
        f"{path.relative_to(LIBRARY)}:{line} imports {name}"
        for path in SOURCES
        if room_of(path) in below
        for name, line in modules_of(path).items()
        if any(name == room or name.startswith(f"{room}.") for room in rooms)
    ]
    assert not needed
    hidden = "class Hidden:\n    def find_spec(self, name, *_):\n        "
    hidden += f"if name in {sorted(rooms)}: raise ModuleNotFoundError(name, name=name)\n"
    for arguments in (["train", "x", "--labels", ".", "--out", "x"], ["evaluate", "sit", "--out", "x"]):
        code = f"import sys\n{hidden}sys.meta_path.insert(0, Hidden())\n"
        code += f"from SITTranslateLib.app.main import run\nsys.exit(run({arguments}))"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=LIBRARY.parent)
        assert answer.returncode == 2 and "not part of the Slicer extension" in answer.stderr, answer.stderr
        assert answer.stderr.count("\n") == 1


def test_a_recipe_uses_the_engine_and_no_other_recipe() -> None:
    prefix = "SITTranslateLib.training.recipes."
    wrong = []
    for path in (LIBRARY / "training").rglob("*.py"):
        part, *inner = path.relative_to(LIBRARY / "training").parts
        own = inner[0] if part == "recipes" and len(inner) > 1 else ""
        theirs = {name.removeprefix(prefix).split(".")[0] for name in modules_of(path) if name.startswith(prefix)}
        others = {name for name in theirs if (LIBRARY / "training" / "recipes" / name).is_dir()} - {own}
        wrong += [f"{path.relative_to(LIBRARY)} imports the recipe {name}" for name in others]
    assert not wrong


def test_rooms_are_named_for_what_they_hold() -> None:
    assert not [path for path in LIBRARY.rglob("*") if path.stem in FORBIDDEN_NAMES]


def test_no_file_is_long() -> None:
    long = {p.name: n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


def test_what_a_room_may_not_use() -> None:
    drawn = {"torch", "monai", "qt", "PySide6"}
    banned = {"scene": drawn, "view": drawn, "ui": {"torch", "monai"}, "fields": {"monai", "slicer", "vtk"}}
    used = [
        f"{path.relative_to(LIBRARY)}:{line} imports {name}"
        for room, names in banned.items()
        for path in (LIBRARY / room).rglob("*.py")
        for name, line in modules_of(path).items()
        if name.split(".")[0] in names
    ]
    assert not used


@pytest.mark.parametrize("module", ["SITTranslateLib", "SITTranslateLib.translation", "SITTranslateLib.host.client"])
def test_importing_is_light(module: str) -> None:
    heavy = "('torch', 'monai', 'slicer', 'vtk', 'lightning')"
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LIBRARY.parent
    )
    assert answer.stdout.strip() == "[]"
