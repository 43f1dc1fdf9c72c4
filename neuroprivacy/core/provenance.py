"""Origin of a result: versions, machine class, seed, threads, command; no paths and no host names."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("neuroprivacy", "torch", "numpy", "numba", "nir", "snntorch", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The class of the machine: architecture, processor model, usable cores."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
        model = names[0] if names else model
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"system": platform.system(), "architecture": platform.machine(), "processor": model, "cores": cores}


def provenance(*, command: str, seed: int, threads: int, **more: Any) -> dict[str, Any]:
    """The provenance that is stored with a result."""
    return {
        "command": command, "seed": seed, "threads": threads, "versions": versions(), "machine": machine(), **more
    }  # fmt: skip
