"""The house: imports point down, the package imports light, files stay small, rooms are named for what they hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "SITTranslateLib"
#: Top to bottom; a room may import from those after it (and from itself). Traceability reads translations, so it
#: stands above the room that makes them.
ROOMS = [
    "ui", "app", "view", "report", "scene", "host", "training", "evaluation", "dicom", "traceability", "translate",
    "systems", "segmentation", "packages", "simulation", "translation", "fields", "files", "options", "volume",
    "interchange", "notebook", "errors", "escaping",
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in ROOMS, f"the room '{room}' has no place in the order; design it in"
    allowed = set(ROOMS[ROOMS.index(room) :])
    upward = {name for name in imported_rooms(path) if name in ROOMS and name not in allowed}
    assert not upward, f"{path.relative_to(LIBRARY)} imports upwards from {sorted(upward)}"


def test_rooms_are_named_for_what_they_hold() -> None:
    for path in LIBRARY.rglob("*"):
        assert path.stem not in FORBIDDEN_NAMES, path


def test_no_file_is_long() -> None:
    long = {p.name: n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    ("room", "banned"),
    [
        ("scene", {"torch", "monai", "qt", "PySide6"}),
        ("view", {"torch", "monai", "qt", "PySide6"}),
        ("ui", {"torch", "monai"}),
        ("fields", {"monai", "slicer", "vtk"}),
    ],
)
def test_what_a_room_may_not_use(room: str, banned: set[str]) -> None:
    for path in (LIBRARY / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & banned, f"{path}:{node.lineno}"


@pytest.mark.parametrize("module", ["SITTranslateLib", "SITTranslateLib.volume", "SITTranslateLib.host.client"])
def test_importing_is_light(module: str) -> None:
    heavy = "('torch', 'monai', 'slicer', 'vtk', 'lightning')"
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LIBRARY.parent
    )
    assert answer.stdout.strip() == "[]"
