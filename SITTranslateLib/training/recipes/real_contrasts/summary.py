"""The tables of real contrasts as documents show them: means over subjects, differences with intervals, lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from SITTranslateLib.evaluation.table import interval, write_json
from SITTranslateLib.training.recipes.real_contrasts.table import (
    CURVE,
    METHODS,
    NETWORK,
    NOT_ALIGNED,
    ORACLE,
    PARTS,
    SAME_SCANNER,
    Row,
)

FEWEST_SUBJECTS = 3
"""For an interval of a mean."""
Key = tuple[str, str, str, str]
"""Scanner, source, target and method."""


def mean_rows(rows: Sequence[Row]) -> dict[Key, dict[str, float]]:
    """Means over subjects, visits of one averaged first."""
    found: dict[Key, dict[str, float]] = {}
    for key in dict.fromkeys((r.scanner, r.source, r.target, r.method) for r in rows):
        chosen = [r for r in rows if (r.scanner, r.source, r.target, r.method) == key]
        by_subject = [[r for r in chosen if r.subject == s] for s in dict.fromkeys(r.subject for r in chosen)]
        values: dict[str, float] = {}
        for name in ("ssim", "psnr", "sharpness", "auc", "lesion_contrast", "jitter"):
            each = [float(np.mean([getattr(r.scores, name) for r in one])) for one in by_subject]
            values[name] = float(np.mean(each))
            if name in ("ssim", "psnr"):
                values |= {f"{name}_low": min(each), f"{name}_high": max(each)}
        for name in ("truth_auc", "source_auc", "truth_jitter"):
            values[name] = float(np.mean([getattr(r, name) for r in chosen]))
        for part in PARTS:
            changes = [r.volumes[part] for r in chosen if part in r.volumes]
            values[part] = float(np.mean(changes)) if changes else float("nan")
        values["subjects"] = float(len(by_subject))
        found[key] = values
    return found


def as_markdown(rows: Sequence[Row]) -> str:
    """Similarity by method; differences from the curves over all subjects; lesions, slices and volumes."""
    means = mean_rows(rows)
    keys = list(dict.fromkeys(key[:3] for key in means))
    return (
        "\n\n".join((_similarity(means, keys), differences(rows), _lesions(means, keys), _volumes(means, keys))) + "\n"
    )


def _similarity(means: dict[Key, dict[str, float]], keys: list[tuple[str, str, str]]) -> str:
    lines = ["| scanner (subjects) | direction | " + " | ".join(METHODS) + " |", "|---|---|" + "---|" * len(METHODS)]
    for scanner, source, target in keys:
        each = {m: means[scanner, source, target, m] for m in METHODS if (scanner, source, target, m) in means}
        cells = {m: f"{v['ssim']:.3f} / {v['psnr']:.1f}" for m, v in each.items()}
        best = max((m for m in each if m != NOT_ALIGNED), key=lambda m: each[m]["ssim"])
        cells[best] = f"**{cells[best]}**"
        if each[NETWORK]["subjects"] > 1:
            cells[NETWORK] += f" ({each[NETWORK]['ssim_low']:.3f} to {each[NETWORK]['ssim_high']:.3f})"
        text = " | ".join(cells.get(m, "") for m in METHODS)
        lines.append(f"| {scanner} ({each[NETWORK]['subjects']:.0f}) | {source} to {target} | {text} |")
    return "\n".join(lines)


def differences(rows: Sequence[Row]) -> str:
    """Network less curve over all subjects, each subject once, with the bootstrap interval of the mean."""
    lines = [
        "| direction | subjects | network less curve of others: SSIM | dB | less curve of the same scanner: SSIM "
        "| dB | less curve of the same pair: SSIM | dB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for source, target in dict.fromkeys((r.source, r.target) for r in rows):
        mine = [r for r in rows if (r.source, r.target) == (source, target)]
        subjects = list(dict.fromkeys(r.subject for r in mine))
        cells = []
        for method in (CURVE, SAME_SCANNER, ORACLE):
            for name in ("ssim", "psnr"):
                gains = []
                for subject in subjects:
                    one, other = (
                        [getattr(r.scores, name) for r in mine if r.subject == subject and r.method == m]
                        for m in (NETWORK, method)
                    )
                    if one and other:
                        gains.append(float(np.mean(one) - np.mean(other)))
                digits = 3 if name == "ssim" else 1
                cells.append(f"{np.mean(gains):+.{digits}f}" if gains else "")
                if len(gains) >= FEWEST_SUBJECTS:
                    low, high = interval(gains)
                    cells[-1] += f" ({low:+.{digits}f} to {high:+.{digits}f})"
        lines.append(f"| {source} to {target} | {len(subjects)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _lesions(means: dict[Key, dict[str, float]], keys: list[tuple[str, str, str]]) -> str:
    lines = [
        "| scanner | direction | lesion AUC: truth | source | curve | network | lesion contrast in % of the truth's: "
        "curve | network | sharpness: network | jitter: truth | network |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scanner, source, target in keys:
        curve, network = (means[scanner, source, target, m] for m in (CURVE, NETWORK))
        lines.append(
            f"| {scanner} | {source} to {target} | {_text(network['truth_auc'])} | {_text(network['source_auc'])} "
            f"| {_text(curve['auc'])} | {_text(network['auc'])} | {_text(curve['lesion_contrast'], 0)} "
            f"| {_text(network['lesion_contrast'], 0)} | {network['sharpness']:.2f} | {network['truth_jitter']:.3f} "
            f"| {network['jitter']:.3f} |"
        )
    return "\n".join(lines)


def _volumes(means: dict[Key, dict[str, float]], keys: list[tuple[str, str, str]]) -> str:
    lines = [
        "| scanner | direction | " + " | ".join(f"{part}, %" for part in PARTS) + " |",
        "|---|---|" + "---|" * len(PARTS),
    ]
    for scanner, source, target in keys:
        network = means[scanner, source, target, NETWORK]
        if not np.isnan(network[next(iter(PARTS))]):
            cells = " | ".join(f"{network[part]:+.0f}" for part in PARTS)
            lines.append(f"| {scanner} | {source} to {target} | {cells} |")
    return "\n".join(lines)


def _text(value: float, digits: int = 2) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def write(rows: Sequence[Row], out: Path, name: str = "contrasts") -> None:
    """``NAME.md`` and ``NAME.json`` below a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(as_markdown(rows), encoding="utf-8")
    write_json(out / f"{name}.json", [asdict(row) for row in rows])
