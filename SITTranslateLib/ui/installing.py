"""Installation of the models' dependencies: on request only, confirmed once, without changes when declined.

PyTorch comes through Slicer's PyTorch extension, which picks the build that fits the computer's GPU; the rest by pip.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, NoReturn

import slicer
from slicer.i18n import tr as _

TORCH = ">=2.5"


class Declined(Exception):  # noqa: N818 - not an error, an answer
    """The user does not want to install anything now."""


def missing_packages(requirements: Path) -> list[str]:
    """Names of packages that are not installed, torch first; nothing is imported."""
    names = ["torch", *(line.split(">=")[0] for line in wanted_lines(requirements))]
    importlib.invalidate_caches()
    return [name for name in names if importlib.util.find_spec(name) is None]


def wanted_lines(requirements: Path) -> list[str]:
    """The requirements file without comments."""
    lines = (line.strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def install(requirements: Path) -> None:
    """Install PyTorch and the rest, after asking once.

    Raises:
        Declined: the user said no, or must restart Slicer first.
    """
    missing = missing_packages(requirements)
    if not missing:
        return
    question = _(
        "The models need Python packages that are not installed yet: {names}. "
        "They are downloaded now, which may take some minutes. Install them?"
    ).format(names=", ".join(missing))
    if not slicer.util.confirmOkCancelDisplay(question, _("SITTranslate")):
        raise Declined(_("Nothing was installed."))
    if "torch" in missing:
        _install_torch()
    _install_rest(requirements)
    importlib.invalidate_caches()


def _install_torch() -> None:
    try:
        utilities = importlib.import_module("PyTorchUtils")
    except ImportError:
        _install_extension()
    logic = utilities.PyTorchUtilsLogic()
    if not logic.torchInstalled():
        # Asked already; the extension need not ask again.
        logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH)


def _install_extension() -> NoReturn:
    manager = slicer.app.extensionsManagerModel()
    if manager is None:
        raise Declined(_("Install the extension 'PyTorch' with the Extensions Manager, then restart Slicer."))
    # Asked already: left interactive, Slicer would ask whether to install, and offer a restart with the scene unsaved.
    interactive = manager.interactive
    manager.interactive = False
    try:
        installed = manager.installExtensionFromServer("PyTorch", False)
    finally:
        manager.interactive = interactive
    if not installed:
        raise Declined(_("The extension 'PyTorch' could not be installed: try the Extensions Manager."))
    raise Declined(_("The extension 'PyTorch' was installed: restart Slicer, then press Install again."))


def _install_rest(requirements: Path) -> None:
    lines = wanted_lines(requirements)
    packaging: Any = None
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        # Slicer 5.10 and before.
        absent = [line for line in lines if not _is_satisfied(line)]
        if absent:
            slicer.util.pip_install(absent)
        return
    packaging.pip_ensure(lines, requester="SITTranslate", prompt_install=False)


def _is_satisfied(line: str) -> bool:
    # Here, because it brings half of the e-mail package along, and a module should open at once.
    from importlib import metadata

    name, _sign, lowest = line.partition(">=")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())

    return numbers(found) >= numbers(lowest)
