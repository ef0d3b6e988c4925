"""What the extension index and Slicer's build ask of the repository, without Slicer."""

from __future__ import annotations

import ast
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import package_lists

REPOSITORY = package_lists.REPOSITORY
TOP = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
#: What a clone with all its history may weigh, and what one file may.
CLONE_BYTES, FILE_BYTES = 100_000_000, 26_000_000


def cmake_value(name: str) -> str:
    """The value that the extension index's own kind of pattern finds: one line, quoted."""
    found = re.findall(rf'^set\({name} "([^"\n]*)"\)$', TOP, flags=re.MULTILINE)
    assert len(found) == 1, f"{name} is not set once, on one line"
    return str(found[0])


def s4ext() -> dict[str, str]:
    lines = (REPOSITORY / "SITTranslate.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" ", 1) for line in lines if line.strip() and not line.startswith("#")]
    assert len({key for key, _ in pairs}) == len(pairs), "a keyword occurs twice"
    return {key: value.strip() for key, value in pairs}


def catalogue_entry() -> dict[str, object]:
    raw = (REPOSITORY / "SITTranslate.json").read_bytes()
    assert b"\r" not in raw
    return dict(json.loads(raw))


def test_every_file_of_the_library_is_listed_for_installation() -> None:
    assert package_lists.LIST_FILE.read_text(encoding="utf-8") == package_lists.rendered(), (
        "run: python Testing/Packaging/package_lists.py --write"
    )


def test_the_listed_files_exist() -> None:
    scripts, data = package_lists.library_files()
    assert "host/worker.py" in scripts
    assert "traceability/rules.json" in data
    for name in scripts + data:
        assert (REPOSITORY / "SITTranslateLib" / name).is_file()


def test_slicer_gets_no_room_in_which_nothing_runs_there() -> None:
    scripts, data = package_lists.library_files()
    assert not {name.split("/")[0] for name in scripts + data} & set(package_lists.NOT_IN_SLICER)
    everything = package_lists.tracked_files("SITTranslateLib/training")
    assert any(name.endswith("recipes/sit/recipe.py") for name in everything), "they are part of the library by pip"


def test_the_list_notices_a_forgotten_file(monkeypatch: pytest.MonkeyPatch) -> None:
    right = package_lists.rendered()
    scripts, data = package_lists.library_files()
    monkeypatch.setattr(package_lists, "library_files", lambda: ([*scripts, "ui/forgotten.py"], data))
    assert package_lists.rendered() != right


def test_descriptions_of_the_extension_agree() -> None:
    words, entry = s4ext(), catalogue_entry()
    for keyword, variable in {
        "homepage": "HOMEPAGE",
        "category": "CATEGORY",
        "contributors": "CONTRIBUTORS",
        "description": "DESCRIPTION",
        "iconurl": "ICONURL",
        "screenshoturls": "SCREENSHOTURLS",
        "depends": "DEPENDS",
        "build_subdirectory": "BUILD_SUBDIRECTORY",
    }.items():
        assert words[keyword] == cmake_value(f"EXTENSION_{variable}"), keyword
    assert entry["category"] == words["category"]
    assert entry["scm_url"] == words["scmurl"]
    assert entry["scm_revision"] == words["scmrevision"]
    assert entry["build_subdirectory"] == words["build_subdirectory"]
    assert entry["build_dependencies"] == words["depends"].split()
    assert words["scmurl"] == cmake_value("EXTENSION_HOMEPAGE") + ".git"


def test_the_catalogue_entry_has_the_keys_of_its_schema_and_no_others() -> None:
    entry = catalogue_entry()
    assert str(entry.pop("$schema")).endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert set(entry) == {
        "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier",
    }  # fmt: skip
    assert isinstance(entry["tier"], int)
    assert 1 <= entry["tier"] <= 5


def test_names_are_those_the_index_asks_for() -> None:
    assert re.search(r"^project\(SITTranslate\)$", TOP, flags=re.MULTILINE)
    assert cmake_value("EXTENSION_CATEGORY") == "Image Synthesis"
    assert cmake_value("EXTENSION_HOMEPAGE").rsplit("/", 1)[1] == "SlicerSITTranslate"
    assert (REPOSITORY / "LICENSE").is_file()
    assert "## NEXT_MODULE" in TOP


@pytest.mark.parametrize("variable", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_pictures_named_in_the_description_are_in_the_tree(variable: str) -> None:
    for address in cmake_value(variable).split():
        assert address.startswith("https://")
        path = REPOSITORY / address.split("/main/", 1)[1]
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", path


def test_the_icon_has_the_size_the_index_asks_for() -> None:
    head = (REPOSITORY / "Resources" / "Icons" / "SITTranslate.png").read_bytes()[:24]
    assert struct.unpack(">II", head[16:24]) == (128, 128)


def test_no_file_is_too_large_and_the_clone_is_light() -> None:
    sizes = {name: (REPOSITORY / name).stat().st_size for name in package_lists.tracked_files()}
    assert not {name: size for name, size in sizes.items() if size > FILE_BYTES}
    assert sum(sizes.values()) < CLONE_BYTES
    # Every object that the history reaches, packed or not: what a clone fetches.
    reached = subprocess.run(
        ["git", "rev-list", "--objects", "--disk-usage", "HEAD"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if reached.returncode == 0:
        assert 0 < int(reached.stdout) < CLONE_BYTES


def test_requirements_leave_torch_to_the_pytorch_extension() -> None:
    lines = (REPOSITORY / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    assert not any(line.startswith("torch") for line in wanted)
    assert all(re.fullmatch(r"[a-z]+>=\d+(\.\d+)*", line) for line in wanted), "a lower bound, no exact pin"


def test_the_module_imports_nothing_at_file_scope_that_slicer_does_not_bring() -> None:
    """A reviewer of the extension index asks; at start, Slicer runs this file for every user."""
    tree = ast.parse((REPOSITORY / "SITTranslate" / "SITTranslate.py").read_text(encoding="utf-8"))
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"slicer", "vtk"}
    calls = [
        ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    assert calls == [], "nothing runs when the file is read"


def test_installed_files_hold_no_program() -> None:
    """Nothing that a machine runs without Python: no library, no executable, no archive but of plain arrays."""
    scripts, data = package_lists.library_files()
    resources = [str(path) for path in (REPOSITORY / "Resources").rglob("*") if path.is_file()]
    kinds = {Path(name).suffix for name in [*scripts, *data, *resources]}
    assert kinds <= {".py", ".json", ".toml", ".html", ".css", ".png", ".ui", ".txt", ".safetensors", ".typed", ".npz"}
    for name in resources:
        if name.endswith(".npz"):
            with np.load(name, allow_pickle=False) as arrays:
                assert all(arrays[part].dtype.kind in "uif" for part in arrays.files)
