"""The files that ``SITTranslateLib/CMakeLists.txt`` must list, and the command that lists them.

Slicer installs only what is listed, so a forgotten file is a module that does not load. After adding or removing a
file::

    python Testing/Packaging/package_lists.py --write
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = "SITTranslateLib"
LIST_FILE = REPOSITORY / LIBRARY / "CMakeLists.txt"
_NOT_SHIPPED = {"CMakeLists.txt"}
#: Rooms for developers, which a pip installation has and Slicer has not: nothing trains or measures there.
NOT_IN_SLICER = ("training", "evaluation")


def tracked_files(folder: str = ".") -> list[str]:
    """Files of a folder below the repository as git has them (posix, relative to the repository), sorted.

    Where there is no git (a source archive), all files that are there, without caches.
    """
    answer = subprocess.run(
        ["git", "ls-files", "-z", "--", folder], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if answer.returncode == 0 and answer.stdout:
        names = [name for name in answer.stdout.split("\0") if name]
        return sorted(name for name in names if (REPOSITORY / name).is_file())
    found = (p.relative_to(REPOSITORY) for p in (REPOSITORY / folder).rglob("*") if p.is_file())
    hidden = {"__pycache__", "build", "dist", "demo", "runs", "site"}
    return sorted(p.as_posix() for p in found if not hidden & set(p.parts) and not p.parts[0].startswith("."))


def library_files() -> tuple[list[str], list[str]]:
    """Scripts and data files of the library that Slicer installs, relative to it."""
    names = [name.removeprefix(f"{LIBRARY}/") for name in tracked_files(LIBRARY)]
    names = [name for name in names if name.split("/")[0] not in NOT_IN_SLICER]
    scripts = [name for name in names if name.endswith(".py")]
    data = [name for name in names if not name.endswith(".py") and name not in _NOT_SHIPPED]
    return scripts, data


def rendered() -> str:
    """The text that ``SITTranslateLib/CMakeLists.txt`` should have."""
    scripts, data = library_files()

    def block(names: list[str]) -> str:
        return "\n".join(f"    {name}" for name in names)

    return (
        "# Written by `python Testing/Packaging/package_lists.py --write`; a test compares it with the tree.\n\n"
        "# WITH_SUBDIR: the library is a package of its own beside the module.\n"
        "slicerMacroBuildScriptedModule(\n"
        f"  NAME {LIBRARY}\n"
        f"  SCRIPTS\n{block(scripts)}\n"
        f"  RESOURCES\n{block(data)}\n"
        "  WITH_SUBDIR\n"
        "  )\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="rewrite the list (otherwise: say whether it is right)")
    text = rendered()
    if parser.parse_args().write:
        LIST_FILE.write_text(text, encoding="utf-8")
        return 0
    right = LIST_FILE.is_file() and LIST_FILE.read_text(encoding="utf-8") == text
    print("the list is right" if right else "the list is not that of the tree: run with --write")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
