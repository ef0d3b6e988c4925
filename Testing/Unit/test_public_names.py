"""The public names: what is offered, documented and typed is one list."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import SITTranslateLib as sit

REPOSITORY = Path(__file__).resolve().parents[2]
#: What was offered before; more may be added, none of these may go.
BEFORE = {
    "FieldOrigin", "Grid", "InputError", "PackageError", "Provenance", "Translation", "VectorField", "Volume",
    "load_model", "models", "read_translation", "read_volume", "save_translation", "translate", "write_field",
    "write_volume",
}  # fmt: skip


def test_what_the_project_is_for_is_offered() -> None:
    new = {"trace", "segment_table", "verify", "reproduce", "TranslationOptions", "__version__"}
    assert BEFORE | new <= set(sit.__all__)
    assert [name for name in sit.__all__ if not hasattr(sit, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sit.nonsense  # type: ignore[attr-defined]


def test_type_checkers_see_what_python_gives() -> None:
    """The imports for type checkers name the objects that are given when the program runs."""
    tree = ast.parse((REPOSITORY / "SITTranslateLib" / "__init__.py").read_text(encoding="utf-8"))
    typed: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("SITTranslateLib"):
            module = import_module(node.module or "")
            typed |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    assert typed.keys() == set(sit.__all__) - {"__version__"}
    # The package `translate` stands for its function and passes every call on.
    assert [n for n, value in typed.items() if n != "translate" and getattr(sit, n) is not value] == []
    assert (REPOSITORY / "SITTranslateLib" / "py.typed").is_file()
    assert '"py.typed"' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


def test_the_documentation_has_these_names_and_no_others() -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### `sit\.(\w+)`$", page, re.M)) == set(sit.__all__) - {"__version__"}
    assert "sit.__version__" in page
