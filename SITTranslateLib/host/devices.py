"""The devices of this machine that torch can use, with their memory."""

from __future__ import annotations

import os
from typing import Any

import torch


def available_devices() -> list[dict[str, Any]]:
    """One entry a device, the best first: name for torch, title, free and total bytes (None where not known)."""
    devices: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            on_gpu, of_gpu = torch.cuda.mem_get_info(index)
            title = torch.cuda.get_device_name(index)
            devices.append({"name": f"cuda:{index}", "title": title, "free": int(on_gpu), "total": int(of_gpu)})
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "title": "Apple GPU", "free": None, "total": None})
    free, total = main_memory()
    devices.append({"name": "cpu", "title": f"CPU, {os.cpu_count() or 1} cores", "free": free, "total": total})
    return devices


def main_memory() -> tuple[int | None, int | None]:
    """Free and total bytes of main memory, where the system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:  # noqa: PTH123
            lines = dict(line.split(":", 1) for line in stream)
        return int(lines["MemAvailable"].split()[0]) * 1024, int(lines["MemTotal"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return None, int(page * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None, None
