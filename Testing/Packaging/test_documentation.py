"""The documentation builds strictly, its links lead somewhere, and what it says about the repository is so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *REPOSITORY.glob(".github/*.md")])
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.parent.name for page in (tmp_path / "site").glob("*/index.html")}
    assert {"tutorial", "reading-a-result", "architecture", "api", "contributing", "limits"} <= pages
    interface = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    # The docstring of translate, below its public name.
    assert "sit.translate" in interface and "Translate a scan." in interface and ":func:" not in interface
    for page in (tmp_path / "site").rglob("index.html"):
        for address in re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', page.read_text("utf-8")):
            pytest.fail(f"{page.parent.name} fetches {address}: the site must work without a network")
        assert 'data-md-component="source"' not in page.read_text("utf-8"), "the theme would ask GitHub"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor and target.suffix == ".md" and target.name != "api.md":
            assert anchor in anchors(target), f"{page.name} links to {link}"


def names_of_tests() -> set[str]:
    """Test files without their ending, and the functions in them."""
    files = list((REPOSITORY / "Testing").rglob("test_*.py"))
    functions = [re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE) for file in files]
    return {file.stem for file in files}.union(*functions)


@pytest.mark.parametrize("page", ["threat-model.md", "reliability.md"])
def test_the_tests_that_a_page_names_are_there(page: str) -> None:
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(test_\w+)", text))
    assert len(named) > 8
    assert named - names_of_tests() == set()


def test_every_row_of_the_threat_model_names_its_test_and_its_figures_are_those_of_the_code() -> None:
    text = (REPOSITORY / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 15
    assert [row for row in rows if not re.search(r"test_\w+", row.rstrip("| ").rpartition(" | ")[2])] == []
    from SITTranslateLib.packages.card import LARGEST_GRID
    from SITTranslateLib.systems.onnx import process
    from SITTranslateLib.view import access

    for words, value, in_code in (
        ("2^25 voxels", 2**25, LARGEST_GRID),
        ("ten minutes end", 600, process.LONGEST_SECONDS),
        ("12 GB at most", 12 << 30, process.MOST_BYTES),
        ("within a minute", 60, access.ONCE_SECONDS),
        ("closed after ten seconds", 10, access.REQUEST_SECONDS),
        ("192 bits", 192, 6 * len(access.new_token())),
    ):
        assert words in text and value == in_code, words


def test_every_make_target_is_documented_and_every_documented_one_is_there() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `make ([a-z]+)`", guide, flags=re.MULTILINE))
    assert documented == targets - {"debian"}
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"run: make ([a-z]+)", workflow)) <= targets


def test_the_version_is_one_and_semantic() -> None:
    version = PROJECT["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert f"\nversion: {version}\n" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased" in changes or f"## {version}" in changes


def test_the_readme_has_what_reviewers_of_the_extension_index_look_for() -> None:
    start = README[:1500]
    assert re.search(r"!\[[^\]]+\]\(Resources/Screenshots/\w+\.png\)", start), "a picture near the top"
    assert len(re.split(r"(?<=\.)\s", start.split("\n\n")[1])) <= 3, "a summary of a sentence or two"
    for wanted in ("module *SITTranslate*", "docs/tutorial.md", "## Limits", "## Cite", "research", "Apache-2.0"):
        assert wanted in README, wanted
    assert "Sample" in (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8"), "sample data"


def test_what_is_built_upon_is_cited() -> None:
    """The same DOIs in the README as in CITATION.cff, and a credit for each data set in NOTICE."""
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
    cited = set(re.findall(r"^    doi: (10\.\S+)$", citation, flags=re.MULTILINE))
    shown = set(re.findall(r"doi\.org/(10\.[^)\s]+)", README))
    assert len(shown) >= 6 and shown <= cited
    for name in ("Wang", "Liu", "CS230", "Tomar", "Kim", "Plasticine", "SynthSeg", "Lesjak", "OASIS", "TCGA-LGG"):
        assert name in citation, name
    for name in ("SynthSeg", "open_ms_data", "OASIS", "Neuromorphometrics", "TCGA-LGG", "ICBM152"):
        assert name in notice, name
    assert "[yyyy]" not in (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


def test_the_extras_bring_nothing_into_the_base_installation() -> None:
    base = " ".join(PROJECT["project"]["dependencies"])
    for optional in ("dask", "distributed", "onnx", "mkdocs", "lightning", "slicer", "jinja2", "pillow"):
        assert optional not in base
    assert {"batch", "onnx", "docs"} <= set(PROJECT["project"]["optional-dependencies"])
