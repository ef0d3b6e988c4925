"""Check for off-screen OpenGL, without which VTK crashes the process instead of raising an exception."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

from SITTranslateLib.errors import InputError

PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri"
WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
_PROBE = """
import vtkmodules.vtkRenderingOpenGL2, vtkmodules.vtkRenderingFreeType
from vtkmodules.vtkRenderingCore import vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
window.Render()
assert "OpenGL version" in window.ReportCapabilities()
"""


def choose_offscreen_window() -> None:
    """Have VTK draw through EGL, which needs no display; an existing choice of the user is kept."""
    if sys.platform.startswith("linux"):
        os.environ.setdefault(WINDOW_VARIABLE, "vtkEGLRenderWindow")


@cache
def opengl_missing() -> str:
    """Why pictures cannot be drawn here, in one sentence; empty if they can. Asks a second process, once."""
    choose_offscreen_window()
    try:
        probe = subprocess.run([sys.executable, "-P", "-c", _PROBE], capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "Pictures cannot be drawn: off-screen OpenGL did not answer within two minutes."
    if probe.returncode == 0:
        return ""
    return f"Pictures cannot be drawn: off-screen OpenGL is missing; on Debian or Ubuntu install {PACKAGES}."


def require_opengl() -> None:
    """Raise an :class:`InputError` naming what to install where pictures cannot be drawn."""
    if sentence := opengl_missing():
        raise InputError(sentence)
