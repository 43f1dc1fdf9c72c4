"""Read many damaged files with `load_nir` and count the outcomes.

A failure is a crash or hang of this process, an exception that is no BadFile, or a graph that
was accepted and should not have been.
"""

from __future__ import annotations

import collections
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np

from neuroprivacy.core.errors import BadFile
from neuroprivacy.graph import load_nir
from neuroprivacy.graph.fault import Fault
from tools.fuzz import damage
from tools.fuzz.corpus import good_files
from tools.fuzz.edits import EDITS, Dice, edited
from tools.fuzz.judge import faults, same_graph

#: Seconds that one file may take.
LONGEST_S = 15.0
#: Content of a file beside the damaged ones, of which nothing may ever come back.
CANARY = b"SECRET-OF-ANOTHER-FILE;"
_BATCH = 100
#: Chosen: half of the files are broken bytes, half are whole HDF5 that says something else.
_WAYS = (*(f"flip {number}" for number in damage.FLIPS), "cut", "swap", *("edit",) * 7)


@dataclass(slots=True)
class Tally:
    """What became of the files.

    Attributes:
        same: accepted, and equal to the graph before the damage.
        changed: accepted, and a legal graph that says something else.
        refused: by the class of the reason.
        crashes: reading processes that crashed, by signal; they count as refused too.
        timeouts: reading processes that were stopped; they count as refused too.
        failures: what must never happen, with the number of the file.
        slowest_s: the longest that one file took, seconds.
        peak_rss_mib: the most memory that the parent had, MiB.
    """

    files: int = 0
    same: int = 0
    changed: int = 0
    refused: collections.Counter[str] = field(default_factory=collections.Counter)
    crashes: collections.Counter[str] = field(default_factory=collections.Counter)
    timeouts: int = 0
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_rss_mib: float = 0.0

    def add(self, other: Tally) -> None:
        """Count another tally's files too."""
        self.files += other.files
        self.same += other.same
        self.changed += other.changed
        self.refused += other.refused
        self.crashes += other.crashes
        self.timeouts += other.timeouts
        self.failures += other.failures
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.peak_rss_mib = max(self.peak_rss_mib, other.peak_rss_mib)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "files": self.files, "same": self.same, "changed": self.changed,
            "refused": dict(sorted(self.refused.items())), "crashes": dict(sorted(self.crashes.items())),
            "timeouts": self.timeouts, "failures": self.failures, "slowest_s": round(self.slowest_s, 3),
            "peak_rss_mib": round(self.peak_rss_mib, 1),
        }  # fmt: skip


def damaged(index: int, seed: int, files: dict[str, bytes], outside: str) -> tuple[str, str, bytes, bool]:
    """One damaged file: name of the good one, what was done, the bytes, and whether they must be refused."""
    rng = np.random.default_rng([seed, index])
    name = sorted(files)[int(rng.integers(len(files)))]
    way = _WAYS[index % len(_WAYS)]
    content = files[name]
    if way == "cut":
        return name, way, damage.cut(content, rng), False
    if way == "swap":
        return name, way, damage.swap(content, rng), False
    if way != "edit":
        return name, way, damage.flip(content, rng, int(way.split()[1])), False
    edit = EDITS[int(rng.integers(len(EDITS)))]
    return name, edit.name, edited(content, edit, Dice(rng, outside)), edit.forbidden


def run_here(first: int, count: int, seed: int) -> Tally:
    """Files `first` to `first + count` in this process."""
    tally = Tally()
    files = good_files()
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-fuzz-") as folder:
        good = {}
        for name, content in files.items():
            path = Path(folder) / f"{name}.nir"
            path.write_bytes(content)
            good[name] = load_nir(path)
        path, outside = Path(folder) / "damaged.nir", Path(folder) / "outside.txt"
        outside.write_bytes(CANARY * 100)
        for index in range(first, first + count):
            name, what, content, forbidden = damaged(index, seed, files, str(outside))
            path.write_bytes(content)
            _try_one(tally, f"file {index} ({name}, {what})", path, good[name], forbidden)
    tally.peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return tally


def run(count: int, seed: int) -> Tally:
    """`count` files in processes of their own, so that a crash of one is counted and not suffered."""
    tally = Tally()
    context = multiprocessing.get_context("spawn")
    first = 0
    while first < count:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                while first < count:
                    number = min(_BATCH, count - first)
                    tally.add(pool.submit(run_here, first, number, seed).result(number * LONGEST_S))
                    first += number
            except (BrokenProcessPool, TimeoutError) as error:
                what = "crashed" if isinstance(error, BrokenProcessPool) else "hung"
                tally.failures.append(f"files {first} to {first + number - 1}: the process that called load_nir {what}")
                first += number
                for process in list((pool._processes or {}).values()):
                    process.kill()
    return tally


def _try_one(tally: Tally, what: str, path: Path, good: Any, forbidden: bool) -> None:
    tally.files += 1
    start = time.perf_counter()
    try:
        graph = load_nir(path)
    except BadFile as error:
        _count_refusal(tally, what, error)
    except Exception as error:  # anything else is what this is looking for
        tally.failures.append(f"{what}: {type(error).__name__}: {error}")
    else:
        found = list(faults(graph))
        if forbidden:
            found.append("leads out of the file or in a circle")
        if _holds(graph, CANARY):
            found.append("holds text of another file")
        tally.failures += [f"{what}: accepted, but {fault}" for fault in found]
        if same_graph(graph, good):
            tally.same += 1
        else:
            tally.changed += 1
    took = time.perf_counter() - start
    tally.slowest_s = max(tally.slowest_s, took)
    if took > LONGEST_S:
        tally.failures.append(f"{what}: took {took:.1f} s")


def _holds(value: Any, secret: bytes) -> bool:
    """Whether a graph holds the bytes of another file, as text or as numbers."""
    if isinstance(value, dict):
        return any(_holds(below, secret) for below in value.values())
    if isinstance(value, (np.ndarray, np.generic)):
        with np.errstate(all="ignore"):
            return secret in np.asarray(value).tobytes() or secret in np.asarray(value).astype(np.uint8).tobytes()
    if isinstance(value, nir.NIRNode):
        return _holds(vars(value), secret)
    return secret in str(value).encode()


def _count_refusal(tally: Tally, what: str, error: BadFile) -> None:
    fault = error.__cause__
    kind = fault.kind if isinstance(fault, Fault) else "unforeseen"
    tally.refused[kind] += 1
    if kind == "unforeseen":
        tally.failures.append(f"{what}: is refused for a reason that no check foresaw: {error}")
    if kind == "crash":
        tally.crashes[error.reason.rpartition(", ")[2].rstrip(")")] += 1
    tally.timeouts += kind == "timeout"
    if "\n" in str(error) or not error.reason:
        tally.failures.append(f"{what}: is refused without one clear sentence: {error!r}")
