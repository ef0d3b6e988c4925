"""ALDM's tables: every direction with its baselines, steps against quality and time, and the cost per head.

Metrics are inside the brain (the head for CT) with a fixed range; CT in HU, the rest in network units.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import torch

from SITTranslateLib.evaluation import metrics as quality
from SITTranslateLib.evaluation.baselines import baselines
from SITTranslateLib.evaluation.cases import SPANS, Case, Method
from SITTranslateLib.evaluation.table import Column, Prediction, Table, Unit, measure
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.translate.normalisation import from_own_units

#: Cases of heads that are known, in a direction: source, target.
CasesOf = Callable[[str, str], Sequence[Case]]
COLUMNS = {"psnr": Column("PSNR (dB)", 1), "nmse": Column("NMSE", 3), "ssim": Column("SSIM", 3)}
STEPS = (0, 1, 2, 3, 5, 10, 20)
#: Grid of a whole head at 1 mm, for what it costs.
AT_1_MM = (160, 192, 160)


def directions(contrasts: Sequence[str]) -> list[tuple[str, str]]:
    """Every ordered pair."""
    return list(permutations(contrasts, 2))


def figures_of(case: Case, given: Prediction) -> dict[str, float]:
    """The three columns of the paper."""
    image = given.measured(case.target)
    mask, span = (case.head if case.target == "CT" else case.brain), SPANS[case.target]
    air = np.float32(-1000.0 if case.target == "CT" else 0.0)
    return {
        "psnr": quality.psnr(image, case.truth, mask, span),
        "nmse": quality.normalised_error(image - air, case.truth - air, mask),
        "ssim": quality.ssim(image, case.truth, mask, span),
    }


def by_request(network: Any, request: Mapping[str, float], seed: int = 0) -> Method:
    """A network between any contrasts as a method; the target is the case's."""

    def method(case: Case) -> Prediction:
        requested = {**request, "target": float(network.targets.index(case.target))}
        image = torch.from_numpy(np.ascontiguousarray(case.source))[None, None]
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = network.translate(image, requested, np.eye(4)).translated[0, 0].numpy()
        return Prediction(made, Unit.NETWORK)

    return method


def codec_alone(network: ALDMNetwork) -> Method:
    """The target itself through the codec: what no translation through it can be better than, detail aside."""

    def method(case: Case) -> Prediction:
        truth = from_own_units(case.truth, case.target)
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(truth, dtype=np.float32))[None, None]
            made = network.codec.decode(network.codec.encode(image))[0, 0].numpy()
        return Prediction(made, Unit.NETWORK)

    return method


def by_tissue_mapping(network: ALDMNetwork) -> Method:
    """A transfer curve for each tissue, the contrast recognised: what ALDM begins with."""

    def method(case: Case) -> Prediction:
        assert network.painter is not None
        image = torch.from_numpy(np.ascontiguousarray(case.source))[None, None]
        with torch.inference_mode():
            shares = network.painter.shares(image)
            belief = network.painter.source_of(image, shares)
            made = network.painter(image, shares, belief, network.contrasts.index(case.target))[0, 0].numpy()
        return Prediction(made, Unit.NETWORK)

    return method


def without_detail(network: ALDMNetwork, request: Mapping[str, float]) -> Method:
    """The paper's: nothing of the source but what went through the codec."""

    def method(case: Case) -> Prediction:
        detail_network, network.detail = network.detail, None
        try:
            return by_request(network, request)(case)
        finally:
            network.detail = detail_network

    return method


def methods_of(network: ALDMNetwork, regression: Any | None) -> dict[str, Method]:
    """ALDM, its parts, and the regression if there is one."""
    begun = {} if network.painter is None else {"transfer curve of each tissue": by_tissue_mapping(network)}
    methods: dict[str, Method] = {
        **begun,
        "codec alone (target given)": codec_alone(network),
        "preview": by_request(network, {"steps": 0}),
        "ALDM without detail": without_detail(network, {}),
        "ALDM": by_request(network, {}),
    }
    return methods if regression is None else {**methods, "regression U-Net": by_request(regression, {})}


def direction_table(
    training: CasesOf, held_out: CasesOf, ways: Iterable[tuple[str, str]], methods: Mapping[str, Method]
) -> Table:
    """Every method on every direction, with the identity, the best transfer curve and the mean image.

    Args:
        training: cases in a direction, of heads that may be learned from.
        held_out: cases in a direction, of the heads that the figures are of.
    """
    rows = []
    for source, target in ways:
        every = {**baselines(training(source, target)), **methods}
        rows += measure(
            held_out(source, target),
            every,
            figures_of,
            lambda case, way=f"{source} to {target}": (way, case.name),  # type: ignore[misc]
        )
    return Table(COLUMNS, rows)


def as_markdown(table: Table) -> str:
    """A table a figure: directions down, methods across, their mean at the end."""
    summary = table.summary()
    methods = list(dict.fromkeys(row.method for row in table.rows))
    lines = []
    for name, column in table.columns.items():
        lines += [f"**{column.title}**", "", f"| from, to | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
        for way, figures in summary.items():
            lines.append(f"| {way} | " + " | ".join(column.text(figures[m][name]) for m in methods) + " |")
        means = (float(np.mean([figures[m][name] for figures in summary.values()])) for m in methods)
        lines += [f"| *mean* | {' | '.join(column.text(v) for v in means)} |", ""]
    return "\n".join(lines)


def better_than_the_curve(table: Table) -> dict[str, bool]:
    """By direction: whether ALDM has a higher PSNR and SSIM than the best global transfer curve."""
    return {
        way: all(figures["ALDM"][f] > figures["best global transfer curve"][f] for f in ("psnr", "ssim"))
        for way, figures in table.summary().items()
    }


# -------------------------------------------------------------------- steps and cost
def step_table(network: ALDMNetwork, cases: Sequence[Case], steps: Sequence[int] = STEPS) -> list[dict[str, Any]]:
    """Quality and CPU-seconds by sampler, start and number of steps; then means of several samples."""
    settings: list[dict[str, Any]] = [{"sampler": "ddim", "start": 1.0, "steps": n, "samples": 1} for n in steps]
    settings += [{"sampler": "dpm", "start": 1.0, "steps": n, "samples": 1} for n in steps if n >= 3]
    settings += [{"sampler": "ddim", "start": 0.5, "steps": n, "samples": 1} for n in steps if n in (1, 2, 3)]
    settings += [{"sampler": "ddim", "start": 1.0, "steps": 3, "samples": 4}]
    usual = network.sampler, network.start
    table = []
    for setting in settings:
        network.sampler, network.start = setting["sampler"], setting["start"]
        method = by_request(network, {"steps": setting["steps"], "samples": setting["samples"]})
        began = time.process_time()
        images = [method(case) for case in cases]
        seconds = (time.process_time() - began) / len(cases)
        found = [figures_of(case, image) for case, image in zip(cases, images, strict=True)]
        table.append(setting | {f: float(np.mean([v[f] for v in found])) for f in COLUMNS} | {"cpu_s": seconds})
    network.sampler, network.start = usual
    return table


def steps_as_markdown(table: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| sampler | start | steps | samples | PSNR (dB) | NMSE | SSIM | CPU-s a head |", "|---" * 8 + "|"]
    lines += [
        f"| {'preview' if r['steps'] == 0 else r['sampler']} | {r['start']:g} | {r['steps']} | {r['samples']} | "
        f"{r['psnr']:.2f} | {r['nmse']:.4f} | {r['ssim']:.3f} | {r['cpu_s']:.2f} |"
        for r in table
    ]
    return "\n".join(lines) + "\n"


def cost(network: ALDMNetwork, shape: tuple[int, int, int] = AT_1_MM) -> dict[str, float]:
    """CPU-seconds of each part on a volume of that shape, and the most memory the process has had (GB)."""
    image = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, float] = {}

    def timed(name: str, do: Callable[[], Any]) -> Any:
        began = time.process_time()
        made = do()
        seconds[name] = time.process_time() - began
        return made

    with torch.inference_mode():
        shares = None
        if network.painter is not None:
            # Tissues are found at 2 mm, whatever the grid.
            painter, half = network.painter, torch.nn.functional.avg_pool3d(image, 2)
            found = timed("find tissues", lambda: painter.shares(half))
            shares = torch.nn.functional.interpolate(found, scale_factor=2.0)
        view = timed("paint and encode", lambda: network.view(image, 1, shares))
        like = timed("preview", lambda: network.preview(view, 1))
        timed("one step", lambda: network.denoise(like, torch.ones(1), view.latent, like, 1))
        lost = timed("what the codec loses", lambda: network.lost(view))
        timed("decode with detail", lambda: network.image_of(like, view, 1, lost))
    seconds["translate, 3 steps"] = sum(seconds.values()) + 2.0 * seconds["one step"]
    return seconds | {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
