"""Reading DICOM in a process of its own, which may crash, hang or run out of memory without harm to this one.

``python -m SITTranslateLib.files.isolated`` reads a request as one JSON line and answers with one JSON line and the
voxels. They pass through pipes, so nothing is left on a disk whoever dies first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError

#: A reader that takes longer hangs.
LONGEST_SECONDS = 120.0
#: Memory beyond which a reader is stopped: more than four times the largest scan in double precision.
MOST_BYTES = 24 << 30
_LIBRARY_PARENT = Path(__file__).resolve().parents[2]


def read_elsewhere(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]] | None:
    """Voxels ``(T, K, J, I, C)`` and the affine to RAS mm, read by another process.

    Returns:
        None where no other process can be started; the caller then reads for itself.

    Raises:
        InputError: the reader refused the file, crashed, or did not end.
    """
    about = f"The folder '{path.name}'" if path.is_dir() else f"'{path.name}'"
    request = json.dumps({"path": str(path.absolute())})
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_LIBRARY_PARENT), variables.get("PYTHONPATH", "")]))
    command = [_python(), "-P", "-m", "SITTranslateLib.files.isolated"]
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables
        )
    except OSError:
        return None
    late = threading.Event()

    def stop() -> None:
        late.set()
        child.kill()

    alarm = threading.Timer(LONGEST_SECONDS, stop)
    alarm.daemon = True
    alarm.start()
    try:
        assert child.stdin is not None and child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(request.encode() + b"\n")
            child.stdin.close()
        return answer_of(child.stdout, about)
    except InputError as error:
        if late.is_set():
            raise InputError(f"{about} takes longer to read than any scan; it is damaged.") from error
        raise
    finally:
        alarm.cancel()
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def answer_of(stream: IO[bytes], about: str) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """What a reading process answered; nothing, or half an answer, means that it crashed.

    Raises:
        InputError: it refused the file, or crashed.
    """
    try:
        said: dict[str, Any] = json.loads(stream.readline(1 << 20))
        if "refusal" in said:
            raise InputError(str(said["refusal"]))
        array = np.empty(said["shape"], dtype=np.dtype(said["kind"]))
        if array.size and stream.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]
            raise ValueError("the voxels end early")
        affine = np.array(said["affine"], dtype=np.float64)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{about} needs more memory than this machine has.") from error
    except (ValueError, KeyError, TypeError) as error:
        text = f"{about} cannot be read: it is so damaged that the program that tried to read it crashed."
        raise InputError(text) from error
    return array, affine


def _python() -> str:
    """This Python; inside Slicer, whose own executable is none, PythonSlicer."""
    launcher = shutil.which("PythonSlicer") if "slicer" in sys.modules else None
    return launcher or sys.executable


def main() -> int:
    """The reading process: one request from standard input, one answer to standard output."""
    request = json.loads(sys.stdin.readline())
    # Libraries write to standard output past Python: from here on that goes nowhere.
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    serve(request, answers)
    # Without tearing down: a library whose memory the file has damaged would crash now.
    os._exit(0)


def serve(request: dict[str, Any], answers: int) -> None:
    """Read what is asked for, within bounds, and write the answer to a file descriptor."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from SITTranslateLib.files.dicom import read_here

    path, content = Path(request["path"]), memoryview(b"")
    try:
        array, affine = read_here(path)
        said: dict[str, Any] = {"kind": array.dtype.str, "shape": array.shape, "affine": affine.tolist()}
        voxels = np.ascontiguousarray(array)
        content = voxels.reshape(-1).view(np.uint8).data
    except InputError as error:
        said = {"refusal": str(error)}
    except MemoryError:
        said = {"refusal": f"'{path.name}' needs more memory than this machine has."}
    with os.fdopen(answers, "wb") as stream:
        stream.write(json.dumps(said).encode() + b"\n")
        stream.write(content)


if __name__ == "__main__":
    sys.exit(main())
