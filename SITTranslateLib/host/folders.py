"""Private folders of this user, through which arrays pass between processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "sittranslate-host-"


def private_folder(prefix: str = PREFIX) -> Path:
    """A new temporary folder; those of processes that are gone are removed first."""
    remove_abandoned_folders(prefix)
    # mkdtemp makes it for this user alone (0700): scans lie in it.
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))


def remove_abandoned_folders(prefix: str = PREFIX) -> None:
    """Remove private folders whose owner is no longer running: scans must not stay behind after a crash."""
    if os.name != "posix":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError, ValueError):
            owner = int(folder.name.removeprefix(prefix).split("-")[0])
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            try:
                os.kill(owner, 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
