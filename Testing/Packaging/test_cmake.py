"""The CMake files run by CMake, with stand-ins that keep the contract of Slicer's macros: what would be installed?"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import package_lists

REPOSITORY = package_lists.REPOSITORY
pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not on this machine")

#: ``SlicerConfig.cmake`` in ten lines: refuses unknown keywords and files that do not exist, installs what is listed,
#: a module's files at the top of qt-scripted-modules, with WITH_SUBDIR in a folder named like the source folder.
SLICER_CONFIG = """
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer/qt-scripted-modules)
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/macros.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
"""
MACROS = """
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME OR NOT MY_SCRIPTS)
    message(FATAL_ERROR "unknown or missing: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  set(to ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
  if(MY_WITH_SUBDIR)
    get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    set(to ${to}/${folder})
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "there is no file '${file}'")
    endif()
    configure_file(${CMAKE_CURRENT_SOURCE_DIR}/${file} ${to}/${file} COPYONLY)
  endforeach()
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
    message(FATAL_ERROR "there is no test '${MY_SCRIPT}'")
  endif()
endmacro()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What CMake puts into qt-scripted-modules."""
    folder = tmp_path_factory.mktemp("cmake")
    slicer, build = folder / "slicer", folder / "build"
    slicer.mkdir()
    (slicer / "SlicerConfig.cmake").write_text(SLICER_CONFIG)
    (slicer / "macros.cmake").write_text(MACROS)
    (slicer / "nothing.cmake").write_text("")
    answer = subprocess.run(
        ["cmake", "-S", str(REPOSITORY), "-B", str(build), f"-DSlicer_DIR={slicer}", "-DBUILD_TESTING=ON",
         "-DCMAKE_C_COMPILER_WORKS=1", "-DCMAKE_CXX_COMPILER_WORKS=1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "CMAKE_C_COMPILER" in answer.stderr or "CMAKE_CXX_COMPILER" in answer.stderr:
        pytest.skip("project() asks for a compiler, as Slicer's template does, and there is none here")
    assert answer.returncode == 0, answer.stderr
    return build / "lib" / "Slicer" / "qt-scripted-modules"


def test_the_installed_tree_is_whole(installed: Path) -> None:
    found = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
    wanted = {"SITTranslate.py"}
    scripts, data = package_lists.library_files()
    wanted |= {f"SITTranslateLib/{name}" for name in (*scripts, *data)}
    wanted |= {n for n in package_lists.tracked_files("Resources") if "/Screenshots/" not in n}
    assert wanted <= found
    strangers = {n for n in found - wanted if not n.startswith("Resources/")}
    assert not strangers


def test_the_installed_library_imports_without_the_checkout(installed: Path) -> None:
    code = "import SITTranslateLib, SITTranslateLib.packages; print(SITTranslateLib.__file__)"
    answer = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[str(installed), *site_packages()]!r}; {code}"],
        capture_output=True, text=True, check=True, cwd=installed,
    )  # fmt: skip
    assert Path(answer.stdout.strip()).is_relative_to(installed)


def site_packages() -> list[str]:
    return [p for p in sys.path if p.endswith("site-packages")]
