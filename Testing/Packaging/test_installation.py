"""A wheel in an empty environment translates, and every command to install something that is told can work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import SITTranslateLib
from SITTranslateLib.files import write_volume

sys.path.insert(0, str(Path(__file__).parents[1] / "Unit" / "host"))
import tiny_package

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODELS = sorted(folder.name for folder in (REPOSITORY / "Resources" / "Models").iterdir())


def run(*command: str | Path, cwd: Path) -> str:
    """What a program prints, in the environment of a user who has set nothing."""
    # Without the compiled fields, which a new environment would first compile for half a minute.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["SITTRANSLATE_FIELDS"] = "torch"
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since setuptools leaves folders where it builds."""
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("source")
    subprocess.run(
        "git ls-files -z -co --exclude-standard -- SITTranslateLib Resources/Models pyproject.toml MANIFEST.in setup.py"
        f" LICENSE NOTICE README.md | xargs -0 cp --parents --target-directory '{copy}'",
        shell=True, cwd=REPOSITORY, check=True,
    )  # fmt: skip
    out = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
        "--wheel-dir", out, copy, cwd=out,
    )  # fmt: skip
    (built,) = out.glob("sittranslate-*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment with the wheel; what it depends on is borrowed from this one."""
    place = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place.parent)
    bin_folder = place / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=place,
    )  # fmt: skip
    # A plain path: what this environment links to (an editable checkout) is not followed.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return bin_folder


def test_the_wheel_holds_the_library_and_the_models_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "SITTranslateLib",
        f"sittranslate-{PROJECT['version']}.dist-info",
    }
    weights = {name.split("/")[2] for name in names if name.endswith(".safetensors") and "/Models/" in name}
    assert sorted(weights) == MODELS
    assert not any("__pycache__" in name for name in names)
    assert wheel.stat().st_size < 30e6


def test_the_installed_program_is_the_wheel_and_knows_its_models(programs: Path, tmp_path: Path) -> None:
    place = run(programs / "python", "-c", "import SITTranslateLib; print(SITTranslateLib.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(programs.parent)
    assert run(programs / "sittranslate", "--version", cwd=tmp_path) == f"sittranslate {PROJECT['version']}\n"
    listed = json.loads(run(programs / "sittranslate", "models", "--json", cwd=tmp_path))
    assert set(MODELS) <= {model["name"] for model in listed}


def test_the_installed_program_translates(programs: Path, tmp_path: Path) -> None:
    package = tiny_package.write(tmp_path)
    write_volume(tiny_package.head(), tmp_path / "head.nii.gz")
    said = run(
        programs / "sittranslate", "translate", "head.nii.gz", "--model", package, "--set", "age=10", "--force",
        "--out", "result", cwd=tmp_path,
    )  # fmt: skip
    assert "Field: model" in said
    sidecar = json.loads((tmp_path / "result" / "provenance.json").read_text(encoding="utf-8"))
    assert sidecar["SITTranslate"]["provenance"]["software"]["sittranslate"] == PROJECT["version"]
    assert (tmp_path / "result" / "translated.nii.gz").stat().st_size > 10_000


def test_the_version_is_the_same_everywhere() -> None:
    assert SITTranslateLib.__version__ == PROJECT["version"]


def commands_in(text: str) -> list[str]:
    """What every ``pip install`` in a text asks for: its options, and the first thing after them."""
    return [match.strip() for match in re.findall(r"pip install((?: --?[\w-]+)*(?: '[^'\n]+'| [\w+:/.]+))", text)]


SAID = sorted(
    {
        (path.relative_to(REPOSITORY).as_posix(), command)
        for path in [
            *REPOSITORY.glob("*.md"),
            *(REPOSITORY / "docs").glob("*.md"),
            *(REPOSITORY / "SITTranslateLib").rglob("*.py"),
            *(REPOSITORY / "Testing").rglob("*.py"),
        ]
        if path != Path(__file__).resolve()
        for command in commands_in(path.read_text(encoding="utf-8"))
    }
)


def test_there_are_commands_to_try() -> None:
    assert len(SAID) > 5
    assert commands_in("write pip install 'sittranslate[demo]'. Then") == ["'sittranslate[demo]'"]


@pytest.mark.parametrize(("page", "command"), SAID)
def test_every_pip_install_that_is_told_can_work(page: str, command: str) -> None:
    """Extras exist; ``sittranslate[...]`` is told only where the program is there already, which pip then takes."""
    words = [word.strip("'") for word in command.split() if not word.startswith("-")]
    for word in words:
        name, _, rest = word.partition("[")
        extras = [extra for extra in rest.rstrip("]").split(",") if extra]
        assert set(extras) <= set(PROJECT["optional-dependencies"]), f"{page}: {command}"
        if name == "sittranslate":
            assert extras, f"{page}: 'pip install sittranslate' finds nothing before the project is published"


def test_pip_takes_the_installed_program_when_an_extra_is_asked_for(programs: Path, tmp_path: Path) -> None:
    answer = run(
        sys.executable, "-m", "pip", "--python", programs / "python", "install", "--dry-run", "--no-index",
        "sittranslate[speed]", cwd=tmp_path,
    )  # fmt: skip
    assert "Would install" not in answer
