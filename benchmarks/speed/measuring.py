"""Ours and the peer's in turns, in one process; medians of CPU-seconds and wall, and how far the answers differ."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from SITTranslateLib.fields import set_threads


@dataclass
class Record:
    """One comparison.

    Attributes:
        name: what was done.
        peer: by whom else; empty where there is no peer.
        ours_cpu_s, peer_cpu_s: medians of CPU-seconds, all threads together.
        ours_system_s, peer_system_s: the part of them that the operating system took, mostly for fresh memory.
        ratio: the peer's CPU-seconds over ours.
        tolerance, max_error: how far the answers may differ and do, in ``unit``.
        goal: what the ratio (or figure) is meant to reach, in words.
        reached: whether it does; None where no goal is set.
        case: the name by which it is asked for.
    """

    name: str
    peer: str
    ours_cpu_s: float | None
    peer_cpu_s: float | None
    ratio: float | None
    tolerance: float | None
    max_error: float | None
    threads: int
    shape: tuple[int, ...]
    ours_wall_s: float | None = None
    peer_wall_s: float | None = None
    wall_ratio: float | None = None
    unit: str = ""
    goal: str = ""
    reached: bool | None = None
    moved_bytes: int | None = None
    bandwidth_share: float | None = None
    peak_mib: float | None = None
    ours_system_s: float | None = None
    peer_system_s: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    case: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Race:
    """Two ways to the same answer.

    Attributes:
        ours, peer: do the work; warmed up before they are timed.
        error: of our answer against the peer's, in ``unit``.
        moved_bytes: the least that must be read and written once.
    """

    name: str
    peer_name: str
    shape: tuple[int, ...]
    ours: Callable[[], Any]
    peer: Callable[[], Any]
    error: Callable[[Any, Any], float]
    tolerance: float
    unit: str
    goal: float | None = None
    moved_bytes: int | None = None
    details: Callable[[Any, Any], dict[str, Any]] | None = None


def run_race(race: Race, threads: int, repeats: int) -> Record:
    """Time both in turns; raises if the answers differ by more than the stated tolerance."""
    use_threads(threads)
    ours, peer = race.ours(), race.peer()
    error = race.error(ours, peer)
    details = race.details(ours, peer) if race.details else {}
    if not error <= race.tolerance:
        raise AssertionError(
            f"{race.name} against {race.peer_name}: error {error:g} above {race.tolerance:g} {race.unit}"
        )
    del ours, peer
    times: dict[str, list[Spent]] = {"ours": [], "peer": []}
    for _ in range(repeats):
        times["ours"].append(_timed(race.ours))
        times["peer"].append(_timed(race.peer))
    (ours_cpu, ours_wall, ours_system), (peer_cpu, peer_wall, peer_system) = map(_medians, times.values())
    ratio = peer_cpu / ours_cpu
    return Record(
        name=race.name,
        peer=race.peer_name,
        ours_cpu_s=ours_cpu,
        peer_cpu_s=peer_cpu,
        ratio=ratio,
        tolerance=race.tolerance,
        max_error=error,
        threads=threads,
        shape=race.shape,
        ours_wall_s=ours_wall,
        peer_wall_s=peer_wall,
        wall_ratio=peer_wall / ours_wall,
        unit=race.unit,
        goal="" if race.goal is None else f">= {race.goal:g}x",
        reached=None if race.goal is None else ratio >= race.goal,
        moved_bytes=race.moved_bytes,
        bandwidth_share=None
        if race.moved_bytes is None
        else race.moved_bytes / ours_cpu / copy_bandwidth(race.moved_bytes),
        details=details,
        ours_system_s=ours_system,
        peer_system_s=peer_system,
    )


class Spent(NamedTuple):
    """Seconds of all threads, of the clock, and of the operating system (part of the first)."""

    cpu: float
    wall: float
    system: float


def seconds_of(work: Callable[[], Any], repeats: int) -> Spent:
    """Medians of some work, after one call that is not counted."""
    work()
    return _medians([_timed(work) for _ in range(repeats)])


def _medians(times: Sequence[Spent]) -> Spent:
    return Spent(*(statistics.median(column) for column in zip(*times, strict=True)))


def use_threads(count: int) -> None:
    """The same number for us and for every peer."""
    import SimpleITK
    import torch

    set_threads(count)
    torch.set_num_threads(count)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


_BANDWIDTH: dict[int, float] = {}


def copy_bandwidth(moved_bytes: int) -> float:
    """Bytes per CPU-second of one thread that copies float32 into fresh memory, as much as ``moved_bytes`` in all.

    Fresh, since every result here is: the first touch of its pages is part of what must be paid.
    """
    half = max(1 << 20, moved_bytes // 2)
    if half not in _BANDWIDTH:
        source = np.ones(half // 4, np.float32)
        _BANDWIDTH[half] = 2 * half / max(seconds_of(source.copy, 5).cpu, 1e-9)
    return _BANDWIDTH[half]


def _timed(work: Callable[[], Any]) -> Spent:
    wall, cpu, system = time.perf_counter(), time.process_time(), os.times().system
    answer = work()
    spent = Spent(time.process_time() - cpu, time.perf_counter() - wall, os.times().system - system)
    del answer
    return spent


def figure_of(
    name: str,
    shape: tuple[int, ...],
    threads: int,
    cpu: float | None,
    wall: float | None,
    goal: str,
    reached: bool | None,
) -> Record:
    """A record of something that has no peer."""
    return Record(name, "", cpu, None, None, None, None, threads, shape, wall, goal=goal, reached=reached)


def run_apart(code: str) -> str:
    """Last line that Python code prints in a process of its own."""
    checkout = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    return answer.stdout.strip().splitlines()[-1]


def peak_apart(prepare: str, measured: str) -> tuple[int, int] | None:
    """Peak memory of some Python code in a process of its own.

    Args:
        prepare: what is done first, imports and inputs; it does not count.
        measured: what is measured.

    Returns:
        Bytes above what was there before, and the peak as a whole; None where there is no Linux ``/proc`` to ask.
    """
    code = (
        f"import json, resource\n{prepare}\n"
        "rss = int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        f"{measured}\n"
        "peak = next(int(l.split()[1]) * 1024 for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "print(json.dumps([peak - rss, peak]))"
    )
    try:
        extra, peak = json.loads(run_apart(code))
    except (subprocess.CalledProcessError, ValueError):
        return None
    return extra, peak
