"""What a run cost, as commands print it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from SITTranslateLib.app.terminal import Stopwatch


def cpu_seconds() -> float:
    found = re.search(r"([\d.]+) CPU s", Stopwatch().report())
    assert found is not None
    return float(found[1])


def test_the_cost_of_a_run_counts_finished_children() -> None:
    before, started = cpu_seconds(), os.times()
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    ended = os.times()
    used = sum(ended[:4]) - sum(started[:4])
    assert used > 0.5 and cpu_seconds() - before == pytest.approx(used, abs=0.3)


def test_the_cost_of_a_run_counts_imports() -> None:
    program = "import time\nwhile time.process_time() < 0.6: pass\n"
    program += "from SITTranslateLib.app.terminal import Stopwatch\nprint(Stopwatch().report())"
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    found = re.search(r"([\d.]+) CPU s", answer)
    assert found is not None and float(found[1]) >= 0.6
