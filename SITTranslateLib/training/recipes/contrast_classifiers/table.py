"""Table of the suitability check: ROC curves for scans that do not suit a model, and the cost of its thresholds.

Three scores of one thing, "this is the kind of scan that the model translates": by the histogram alone, by the small
network alone, and by both together, as the suitability check uses them. Without a check every scan passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.metrics import area_under_curve
from SITTranslateLib.evaluation.table import Column, Row, Table
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.simulation.clinical import KINDS, clinical_head, clinical_scan
from SITTranslateLib.simulation.labels import read_label_map
from SITTranslateLib.translate.contrast import by_histogram, by_picture, combined
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.suitability import Finding, Severity, check_suitability
from SITTranslateLib.volume import Volume

SCORES = ("histogram", "network", "both")
COLUMNS = {
    "scans": Column("scans", 0, "sum"),
    **{score: Column(f"AUC: {score}", 3, "area") for score in SCORES},
    "pass": Column("passed", 0, "sum"),
    "warn": Column("warned", 0, "sum"),
    "refuse": Column("refused", 0, "sum"),
    "told apart": Column("for its kind", 0, "sum"),
}
#: Score of a scan that cannot be scored: no evidence that it suits the model.
UNKNOWN = 0.0
HELD_OUT = (13, 14, 15, 16)
ALONE = ("T1w", "T2w", "FLAIR")
"""Contrasts that models of one source are tried with on real scans."""
AVERAGES = "templates"
"""Folder whose files come from a source each."""


@dataclass(frozen=True)
class Checked:
    """One scan and its result of the suitability check.

    Attributes:
        name, kind: what it is.
        good: whether the model asks for it; None for what is neither (T1w after a contrast agent).
        scores: probability of the kind asked for, by each score.
        verdict: of the whole gate: ``pass``, ``warn`` or ``refuse``.
        codes: of the findings that warn or refuse.
        source: where it comes from.
        alone: verdict on its contrast of a model of one contrast, by that contrast.
    """

    name: str
    kind: str
    good: bool | None
    scores: dict[str, float]
    verdict: str
    codes: tuple[str, ...]
    source: str = ""
    alone: dict[str, str] = field(default_factory=dict)


def check(volume: Volume, kind: str, card: ModelCard, name: str = "", source: str = "") -> Checked:
    """Check a scan for a model, and its contrast for models of T1w, T2w and FLAIR alone."""
    anatomy = locate_head(volume)
    histogram, picture = by_histogram(anatomy), by_picture(anatomy)
    both = combined(histogram, picture)
    found = check_suitability(volume, anatomy, card)
    codes = tuple(f.code for f in found if f.severity is not Severity.NOTE)
    probabilities = {"histogram": histogram, "network": picture, "both": both}
    scores = {
        s: UNKNOWN if p is None else sum(p.get(c, UNKNOWN) for c in card.sources) for s, p in probabilities.items()
    }
    # T1w after a contrast agent is neither what a T1w model asks for nor wrong.
    after_agent = kind.endswith("Gd") and kind.removesuffix("Gd") in card.sources
    good = True if kind in card.sources else None if after_agent else False
    alone = {}
    if source:
        for contrast in ALONE:
            of_one = check_suitability(volume, anatomy, replace(card, source=contrast, further_sources=()))
            alone[contrast] = _verdict([f for f in of_one if f.code in ("modality", "units")])
    return Checked(name or volume.name, kind, good, scores, _verdict(found), codes, source, alone)


def _verdict(found: Sequence[Finding]) -> str:
    if any(f.refuses for f in found):
        return "refuse"
    return "warn" if any(f.severity is Severity.WARN for f in found) else "pass"


def simulated_scans(folder: Path, heads: int, draws: int, seed: int = 1) -> Iterator[tuple[Volume, str]]:
    """Every kind of scan of the label maps that nothing was fitted or chosen on."""
    for number in HELD_OUT:
        (path,) = folder.glob(f"*_{number:02d}.nii.gz")
        for index in range(heads):
            rng = np.random.default_rng([seed, number, index])
            head = clinical_head(read_label_map(path), rng)
            for kind in KINDS:
                for _ in range(draws * (3 if kind == "T1w" else 1)):
                    yield clinical_scan(head, kind, rng), kind


def kind_of_file(name: str) -> str | None:
    """The kind of scan named in a file; None where there is none, or for a label map (reading refuses these)."""
    words = name.lower().replace("-", "_").replace(".", "_").split("_")
    labels = ("labels", "aseg", "aparc", "mask", "brainmask", "lesion", "lesions", "tumour", "seg", "change", "tissue")
    kinds = {"t1w": "T1w", "t1": "T1w", "t2w": "T2w", "t2": "T2w", "pdw": "PD", "pd": "PD"}
    kinds |= {"flair": "FLAIR", "dwi": "DWI", "adc": "ADC", "ct": "CT"}
    found = [kinds[word] for word in words if word in kinds]
    if not found or any(word in labels for word in words):
        return None
    return f"{found[0]}Gd" if "gd" in words else found[0]


def real_scans(folder: Path) -> list[tuple[Path, str]]:
    """Scans below a folder with their kind in the name, and DICOM series in folders named CT.

    Raises:
        InputError: there are none.
    """
    found = [(path, kind) for path in sorted(folder.rglob("*.nii.gz")) if (kind := kind_of_file(path.name)) is not None]
    if not found:
        raise InputError(f"There are no scans in '{folder.name}' whose names say what they are (*_T1w.nii.gz).")
    series = [(path, "CT") for path in sorted(folder.iterdir()) if path.is_dir() and "ct" in path.name.split("_")]
    return [*found, *series]


def source_of_file(path: Path, folder: Path) -> str:
    """Where a scan comes from: the folder below the whole collection, or the file of an average of many heads."""
    parts = path.relative_to(folder).parts
    if len(parts) == 1:
        return folder.name
    return path.name.split(".")[0] if parts[0] == AVERAGES else "/".join(parts[:-1])


def by_source(rows: Iterable[Checked]) -> str:
    """Verdicts on the contrast by source and kind: of models of that kind, and of models of other kinds."""
    lines = [
        "| source | kind | scans | models of its contrast: passed | warned | refused | of another: passed | warned "
        "| refused |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Checked]] = {}
    for row in rows:
        groups.setdefault((row.source, row.kind), []).append(row)
    totals = np.zeros(7, int)
    for (source, kind), members in [*groups.items(), (("", ""), [])]:
        own = [r.alone[kind.removesuffix("Gd")] for r in members if kind.removesuffix("Gd") in r.alone]
        others = [v for r in members for contrast, v in r.alone.items() if contrast != kind.removesuffix("Gd")]
        counts = [len(members), *(part.count(v) for part in (own, others) for v in ("pass", "warn", "refuse"))]
        totals += counts
        cells = " | ".join(str(n) for n in (counts if members else totals))
        lines.append(f"| {source or '**all**'} | {kind} | {cells} |")
    return "\n".join(lines)


def strange_things(seed: int = 0) -> Iterator[tuple[Volume, str]]:
    """Images that are not heads: trunks in HU and in grey, a phantom, noise, a wedge."""
    rng = np.random.default_rng(seed)
    for number in range(4):
        shape = (60, 90, 110)
        k, j, i = np.indices(shape, dtype=np.float32)
        wide, deep = rng.uniform(40, 52), rng.uniform(26, 36)
        trunk = ((i - 55) / wide) ** 2 + ((j - 45) / deep) ** 2 < 1
        lung = ((np.abs(i - 55) - 22) / 14) ** 2 + ((j - 43) / 18) ** 2 + ((k - 35) / 26) ** 2 < 1
        spine = ((i - 55) / 6) ** 2 + ((j - 66) / 6) ** 2 < 1
        values = np.select([spine, lung, trunk], [500.0, -800.0, 40.0], -1000.0)
        if number % 2:
            values = np.select([spine, lung, trunk], [350.0, 20.0, 500.0], 5.0)
        noisy = values + rng.normal(0, 12, shape)
        affine = np.diag([3.5, 3.5, 5.0, 1.0])
        yield Volume(noisy.astype(np.float32), affine, "trunk"), "trunk"
    k, j, i = np.indices((100, 100, 100), dtype=np.float32)
    for radius in (34.0, 40.0):
        ball = (k - 50) ** 2 + (j - 50) ** 2 + (i - 50) ** 2 < radius**2
        values = 800.0 * ball + np.abs(rng.normal(0, 10, ball.shape))
        yield Volume(values.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "phantom"), "phantom"
    yield Volume(rng.normal(100, 20, (90, 90, 90)).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "noise"), "noise"
    yield Volume((i * 10).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "wedge"), "wedge"


def curve(good: Sequence[float], wrong: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of good scans that are stopped, and of wrong ones, for every threshold."""
    cuts = np.concatenate([[-np.inf], np.unique([*good, *wrong]), [np.inf]])
    return (
        np.array([(np.asarray(good) < c).mean() for c in cuts]),
        np.array([(np.asarray(wrong) < c).mean() for c in cuts]),
    )


def table_of(parts: dict[str, list[Checked]]) -> Table:
    """For each kind of scan: how many, AUC of each score against the suitable ones, and the results of the check."""
    rows: list[Row] = []
    for part, scans in parts.items():
        ordered = sorted(scans, key=lambda scan: (not scan.good, scan.good is None))
        wrong = [scan for scan in ordered if scan.good is False]
        if len({scan.kind for scan in wrong}) == 1:
            wrong = []
        rows += [_row(part, scan.kind, scan, number) for number, scan in enumerate(ordered)]
        rows += [_row(part, "all that is wrong", scan, number) for number, scan in enumerate(wrong)]
    suitable = next((scan.kind for scans in parts.values() for scan in scans if scan.good), "")
    return Table(COLUMNS, rows, reference=suitable)


def _row(part: str, kind: str, scan: Checked, number: int) -> Row:
    counted = {verdict: float(scan.verdict == verdict) for verdict in ("pass", "warn", "refuse")}
    apart = float(scan.verdict != "pass" and "modality" in scan.codes)
    return Row(kind, part, f"{number} {scan.name}", {"scans": 1.0, **scan.scores, **counted, "told apart": apart})


def write(parts: dict[str, list[Checked]], out: Path) -> str:
    """Write the table with every scan, and that by source, and return their Markdown."""
    table = table_of(parts)
    table.write(out, "gate", scans={name: [asdict(scan) for scan in scans] for name, scans in parts.items()})
    text = table.markdown()
    real = [scan for scans in parts.values() for scan in scans if scan.alone]
    if real:
        sources = by_source(real)
        (out / "gate-by-source.md").write_text(sources + "\n", encoding="utf-8")
        text += "\n\n" + sources
    return text


def draw(parts: dict[str, list[Checked]], warned_below: float, refused_below: float, out: Path) -> bool:
    """The ROC curves beside each other; False where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(parts), figsize=(4.6 * len(parts), 4.4), squeeze=False)
    colours = {"histogram": "#8c6d1f", "network": "#2a6fb0", "both": "#111111"}
    for panel, (name, rows) in zip(panels[0], parts.items(), strict=True):
        good, wrong = [r for r in rows if r.good], [r for r in rows if r.good is False]
        for score in SCORES:
            ours, others = [r.scores[score] for r in good], [r.scores[score] for r in wrong]
            lost, caught = curve(ours, others)
            label = f"{score}, AUC {area_under_curve(ours, others):.3f}"
            panel.step(lost, caught, where="post", color=colours[score], label=label, lw=2 if score == "both" else 1.3)
        for threshold, mark, title in ((warned_below, "o", "warned below"), (refused_below, "s", "refused below")):
            x = np.mean([r.scores["both"] < threshold for r in good])
            y = np.mean([r.scores["both"] < threshold for r in wrong])
            panel.plot(x, y, mark, color="#c0392b", ms=7, label=f"{title} {threshold:g}", clip_on=False, zorder=5)
        panel.set(xlim=(-0.01, 0.5), ylim=(0.5, 1.005), xlabel="share of good scans stopped")
        panel.set_title(f"{name}: {len(good)} good, {len(wrong)} wrong", fontsize=10)
        panel.legend(loc="lower right", fontsize=8)
        panel.grid(alpha=0.25)
    panels[0][0].set_ylabel("share of wrong scans caught")
    figure.tight_layout()
    figure.savefig(out / "gate_roc.png", dpi=110)
    pyplot.close(figure)
    return True
