"""Landmark files: Slicer markups (``.mrk.json``) and CSV, read and written. RAS mm inside; LPS only in the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import csv_cell
from SITTranslateLib.traceability.points import TracedPoint
from SITTranslateLib.traceability.table import rounded

MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_LPS = np.array([-1.0, -1.0, 1.0])


def read_landmarks(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Labels and RAS points ``(N, 3)`` of a markups or CSV file.

    A CSV has a header with ``r``, ``a``, ``s`` (mm) and, if it likes, ``label``.

    Raises:
        InputError: the file cannot be read, or holds no point.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        labels, points = _from_markups(text) if path.name.lower().endswith(".json") else _from_csv(text)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path.name} cannot be read as landmarks; give Slicer markups (.mrk.json) or a CSV with the columns "
            "label, r, a, s in mm."
        ) from error
    if not labels:
        raise InputError(f"{path.name} holds no point; place at least one landmark.")
    return labels, np.array(points, dtype=np.float64).reshape(-1, 3)


def write_markups(path: Path, labels: list[str], points: NDArray[np.floating]) -> None:
    """Write RAS points as a Slicer point list."""
    control_points = [
        {
            "id": str(index + 1),
            "label": label,
            "position": [rounded(float(value)) for value in np.asarray(point, dtype=np.float64) * _LPS],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for index, (label, point) in enumerate(zip(labels, points, strict=True))
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "controlPoints": control_points,
    }
    document = {"@schema": MARKUPS_SCHEMA, "markups": [markup]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_pairs_csv(path: Path, traced: list[TracedPoint]) -> None:
    """Write traced points, one row a pair: both places (RAS mm), residual, and why one cannot be relied on."""
    columns = ["label"]
    columns += [f"{side}_{axis}_mm" for side in ("source", "translated") for axis in "ras"]
    columns += ["motion_mm", "residual_mm", "jacobian", "traceable", "reason"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for point in traced:
            row = point._asdict()
            places = [rounded(value) for value in (*point.source, *point.translated)]
            rest = [rounded(row[key]) for key in ("motion_mm", "residual_mm", "jacobian")]
            label, reason = csv_cell(point.label), csv_cell(point.reason)
            writer.writerow([label, *places, *rest, "yes" if point.traceable else "no", reason])


def _from_markups(text: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    labels: list[str] = []
    points: list[NDArray[np.float64]] = []
    for markup in json.loads(text)["markups"]:
        # Files before Slicer 5 may say "RAS"; the schema's default is LPS.
        signs = np.ones(3) if str(markup.get("coordinateSystem", "LPS")).upper() == "RAS" else _LPS
        for control in markup["controlPoints"]:
            if control.get("positionStatus", "defined") != "defined":
                continue
            labels.append(str(control.get("label", f"P-{len(labels) + 1}")))
            points.append(_three(control["position"]) * signs)
    return labels, points


def _from_csv(text: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    labels: list[str] = []
    points: list[NDArray[np.float64]] = []
    reader = csv.DictReader(text.splitlines())
    for row in reader:
        named: dict[str, str] = {(key or "").strip().lower(): value for key, value in row.items()}
        labels.append((named.get("label") or f"P-{len(labels) + 1}").strip())
        points.append(_three([named["r"], named["a"], named["s"]]))
    return labels, points


def _three(values: list[str] | list[float]) -> NDArray[np.float64]:
    point = np.array([float(value) for value in values])
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ValueError("a point is three finite numbers")
    return point
