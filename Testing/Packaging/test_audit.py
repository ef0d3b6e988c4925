"""An audit that looked nothing up is no good audit."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

spec = importlib.util.spec_from_file_location("audit_summary", Path(__file__).with_name("audit_summary.py"))
assert spec is not None and spec.loader is not None
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)


def package(name: str, *weaknesses: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [{"id": w} for w in weaknesses]}


def skipped(name: str) -> dict[str, Any]:
    return {"name": name, "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([package("a"), package("b")], 0, "2 of 2 packages were looked up; no weakness"),
        ([package("a"), package("b", "CVE-1")], 1, "b 1.0 (CVE-1)"),
        ([skipped("a"), skipped("b")], 2, "0 of 2 packages were looked up, too few"),
        ([package("a", "CVE-2"), skipped("b")], 1, "CVE-2"),
        ([*(package(f"p{n}") for n in range(19)), skipped("torch")], 0, "19 of 20"),
    ],
)
def test_what_an_audit_is_worth(packages: list[dict[str, Any]], code: int, said: str, tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    report.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    found = audit.summary(report)
    assert found[0] == code and said in found[1]


def test_no_report_is_no_good_audit(tmp_path: Path) -> None:
    assert audit.summary(tmp_path / "missing.json")[0] == 2
