"""The output as a BIDS derivative dataset: its description, the validator's ignore list, a running batch's folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from SITTranslateLib import __version__
from SITTranslateLib.app.batch.job import WORK_FOLDER
from SITTranslateLib.app.batch.names import path_from
from SITTranslateLib.app.batch.scans import DESCRIPTION_FILE
from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import Package

BIDS_VERSION = "1.10.0"
#: Seconds after which a batch of another machine counts as ended.
LONGEST_BATCH = 7 * 24 * 3600
#: Names that BIDS does not know (yet), and the batch's own tables.
IGNORED = ("*_jacobian.*", "*_change.*", "*_velocity.*", "*_xfm.*", "*_extra*.*", "*.seq.nrrd", "summary.*", "figures/")


def check_output(out: Path, place: Path) -> None:
    """Refuse an output that is the input itself or someone else's.

    Raises:
        InputError: a file, the input, a folder with other things in it, or one that may not be written.
    """
    if out.resolve() == place.resolve():
        raise InputError("The results cannot go into the folder of the scans itself; give another folder.")
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out.name}' exists and is not a folder; give a folder for the results.")
    if out.is_dir() and any(out.iterdir()) and not _is_ours(out):
        raise InputError(f"The folder '{out.name}' holds other things than results of a batch; give a new folder.")
    above = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    if not os.access(above, os.W_OK):
        raise InputError(f"The folder '{out.name}' cannot be made: '{above.name or above}' may not be written.")


def start(out: Path, place: Path, package: Package) -> str:
    """Describe the dataset, sweep away what stopped batches left aside, and make this one's folder: its ticket.

    Other batches may be running into the same dataset.

    Raises:
        InputError: the folder cannot be written.
    """
    ticket = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        for left in (out / WORK_FOLDER).glob("*-*-*"):
            if _is_over(left):
                shutil.rmtree(left, ignore_errors=True)
        (out / WORK_FOLDER / ticket).mkdir(parents=True)
        _write(out / DESCRIPTION_FILE, json.dumps(_description(out, place, package), indent=2) + "\n")
        _write(out / ".bidsignore", "\n".join(IGNORED) + "\n")
    except OSError as error:
        raise InputError(f"The folder '{out.name}' cannot be written: it is read-only or the disk is full.") from error
    return ticket


def end(out: Path, ticket: str) -> None:
    """Take the batch's own hidden folder away."""
    shutil.rmtree(out / WORK_FOLDER / ticket, ignore_errors=True)
    with contextlib.suppress(OSError):
        (out / WORK_FOLDER).rmdir()


def _is_over(left: Path) -> bool:
    """Whether the batch that a folder belongs to has ended; on another machine this is assumed after a week."""
    host, process, _ = left.name.rsplit("-", 2)
    if host == socket.gethostname() and process.isdigit() and sys.platform != "win32":
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    return time.time() - left.stat().st_mtime > LONGEST_BATCH


def _is_ours(out: Path) -> bool:
    try:
        made_by = json.loads((out / DESCRIPTION_FILE).read_text(encoding="utf-8"))["GeneratedBy"]
        return any(entry["Name"] == "SITTranslate" for entry in made_by)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _description(out: Path, place: Path, package: Package) -> dict[str, Any]:
    raw = path_from(place, out)
    makers: list[dict[str, Any]] = [{"Name": "SITTranslate", "Version": __version__}]
    if _is_ours(out):
        makers = json.loads((out / DESCRIPTION_FILE).read_text(encoding="utf-8"))["GeneratedBy"]
    model = {"Name": package.name, "Version": package.card.version, "Description": package.card.title}
    return {
        "Name": "Scans translated by SITTranslate: synthetic, not acquired",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "as the source scans and the model's card say",
        "GeneratedBy": [*makers, *([] if model in makers else [model])],
        "SourceDatasets": [{"URL": raw}],
        "DatasetLinks": {"raw": raw},
    }


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
