"""The lock file: every package by version and hash, the same versions that were tested, and no address in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")


def named(text: str) -> dict[str, str]:
    """Versions by normalised name."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_every_package_has_its_hashes() -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", LOCK.split("\n", 1)[1])
    assert len(entries) > 80
    for entry in entries:
        assert re.match(r"[A-Za-z0-9_.-]+==\S+", entry), entry[:80]
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry[:80]
    assert "://" not in LOCK and "index" not in LOCK


def test_the_versions_are_those_that_were_tested() -> None:
    lock, tested = named(LOCK), named((REPOSITORY / "constraints.txt").read_text(encoding="utf-8"))
    assert {name: version for name, version in lock.items() if tested.get(name, version) != version} == {}


def test_everything_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.search(r"^EXTRAS := (\S+)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert extras is not None
    wanted = [*project["dependencies"]]
    for extra in extras[1].split(","):
        wanted += project["optional-dependencies"][extra]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=!~; \[]", one)[0]).lower() for one in wanted}
    assert names <= named(LOCK).keys()


def test_the_pages_environment_differs_in_the_core_of_slicer_alone() -> None:
    """Its own constraints come on top of the usual ones; two versions of a package would leave pip without a choice."""
    view = named((REPOSITORY / "constraints-view.txt").read_text(encoding="utf-8"))
    tested = named((REPOSITORY / "constraints.txt").read_text(encoding="utf-8"))
    assert {name for name in view if tested.get(name, view[name]) != view[name]} == {"slicer-core", "vtk"}
    assert {"trame-slicer", "slicer-layer-dm", "playwright"} <= view.keys()
