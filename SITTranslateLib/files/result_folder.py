"""The folder of a result: claimed before the computation, filled under another name, and replaced as a whole.

The folder that is being filled is called ``.NAME.part`` and lies beside the result (inside it where the result's folder
is a mount point or its parent may not be written). Making it is the claim: a second run to the same place finds it and
is refused; one whose owner has died is swept away.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from SITTranslateLib.errors import InputError
from SITTranslateLib.files.writing import reason_of

#: In a folder that is being filled: whose it is.
OWNER_FILE = ".owner.json"
#: What this process has claimed; a claim within a claim is the same one.
_CLAIMS: dict[Path, ResultFolder] = {}
#: Seconds after which a folder of another machine, or without an owner, counts as left behind.
LONGEST_RUN, LONGEST_START = 7 * 24 * 3600, 60


class ResultFolder:
    """A claimed place for a result.

    Attributes:
        target: where the result will stand.
        part: where it is written until :meth:`commit`.
    """

    def __init__(self, target: Path, part: Path) -> None:
        self.target, self.part = target, part

    def commit(self, is_ours: Callable[[str], bool]) -> None:
        """Put what was written in its place.

        Args:
            is_ours: whether a file of that name in an earlier result belonged to it; what else lies there is kept.

        Raises:
            InputError: somebody put something there meanwhile, or the disk refuses.
        """
        try:
            (self.part / OWNER_FILE).unlink(missing_ok=True)
            if self.part.parent == self.target:
                self._move_in(is_ours)
            elif not self.target.exists():
                self.part.rename(self.target)
            elif not any(self.target.iterdir()):
                self._onto_empty()
            else:
                self._exchange(is_ours)
        except OSError as error:
            raise InputError(f"The folder '{self.target.name}' cannot be written: {reason_of(error)}.") from error

    def _onto_empty(self) -> None:
        if sys.platform == "win32":
            self.target.rmdir()
        # Fails if somebody filled it meanwhile.
        self.part.replace(self.target)

    def _exchange(self, is_ours: Callable[[str], bool]) -> None:
        """The new folder for the old one, in one step where the system has one; the user's own files come along."""
        new = {entry.name for entry in self.part.iterdir()}
        kept = [entry for entry in self.target.iterdir() if entry.name not in new and not is_ours(entry.name)]
        if not exchanged(self.part, self.target):
            old = self.target.with_name(f".{self.target.name}.old")
            self.target.rename(old)
            try:
                self.part.rename(self.target)
            except OSError:
                old.rename(self.target)
                raise
            self.part = old
        for entry in kept:
            (self.part / entry.name).rename(self.target / entry.name)
        shutil.rmtree(self.part, ignore_errors=True)

    def _move_in(self, is_ours: Callable[[str], bool]) -> None:
        """File by file, where the folder itself cannot be replaced; what makes it count as a result goes last."""
        new = {entry.name for entry in self.part.iterdir()}
        old = [e for e in self.target.iterdir() if e != self.part and (e.name in new or is_ours(e.name))]
        for entry in sorted(old, key=lambda p: p.suffix != ".json"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        for entry in sorted(self.part.iterdir(), key=lambda p: p.suffix == ".json"):
            entry.rename(self.target / entry.name)
        self.part.rmdir()


@contextlib.contextmanager
def claimed(target: Path) -> Iterator[ResultFolder]:
    """A place for a result that is this process's until it ends; without a commit, nothing stays.

    Raises:
        InputError: another run writes there, or the place cannot be written.
    """
    key = target.absolute()
    if key in _CLAIMS:
        yield _CLAIMS[key]
        return
    name = target.name
    is_inside = target.is_dir() and (os.path.ismount(target) or not os.access(target.absolute().parent, os.W_OK))
    part = target / ".sittranslate.part" if is_inside else target.with_name(f".{name}.part")
    made = [p for p in target.absolute().parents if not p.exists()]
    owned = False
    try:
        _recover(target)
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.mkdir()
        except FileExistsError:
            if not _is_left_behind(part):
                raise InputError(f"Another run is writing to '{name}'; wait for it, or give another folder.") from None
            _sweep(part)
            part.mkdir()
        owned = True
        owner = {"host": socket.gethostname(), "process": os.getpid()}
        (part / OWNER_FILE).write_text(json.dumps(owner), encoding="utf-8")
        _CLAIMS[key] = ResultFolder(target, part)
        yield _CLAIMS[key]
    except OSError as error:
        raise InputError(f"The folder '{name}' cannot be written: {reason_of(error)}.") from error
    finally:
        _CLAIMS.pop(key, None)
        if owned:
            shutil.rmtree(part, ignore_errors=True)
        for parent in made:
            # Stays where something lies in it.
            with contextlib.suppress(OSError):
                parent.rmdir()


def exchanged(first: Path, second: Path) -> bool:
    """Whether two folders could be exchanged in one step (Linux, on most file systems)."""
    if sys.platform != "linux":
        return False
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2
    return bool(function(here, os.fsencode(first.absolute()), here, os.fsencode(second.absolute()), exchange) == 0)


def _is_left_behind(part: Path) -> bool:
    """Whether the run that fills a folder is over."""
    try:
        age = time.time() - part.stat().st_mtime
        owner = json.loads((part / OWNER_FILE).read_text(encoding="utf-8"))
        host, process = str(owner["host"]), int(owner["process"])
    except FileNotFoundError:
        return part.is_dir() and time.time() - part.stat().st_mtime > LONGEST_START
    except (OSError, ValueError, KeyError, TypeError):
        return True
    if host != socket.gethostname() or sys.platform == "win32":
        return age > LONGEST_RUN
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _sweep(part: Path) -> None:
    """Away under another name first, so that two runs do not sweep one folder."""
    away = part.with_name(f".{secrets.token_hex(6)}.part")
    with contextlib.suppress(OSError):
        part.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def _recover(target: Path) -> None:
    """The earlier result back in its place, where a run was killed between taking it away and putting the new one."""
    old = target.with_name(f".{target.name}.old")
    if old.is_dir() and not target.exists():
        old.rename(target)
