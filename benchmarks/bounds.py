"""What the machine can do, measured beside the simulators: adding weight rows, and multiplying matrices.

Event adds: rows of int8 added to an accumulator, four in one pass, for the row lengths and list lengths of a workload;
every number of threads by itself. The bound of a workload is the adds of its events over that rate.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _add_rows(weights, length, lists, sums, rounds):  # type: ignore[no-untyped-def]
    """Add the rows of each list, four at a time."""
    size = np.uint64(length)
    for r in range(rounds):
        rows = lists[r % len(lists)]
        for k in range(0, rows.size - 3, 4):
            b0, b1 = np.uint64(rows[k] * length), np.uint64(rows[k + 1] * length)
            b2, b3 = np.uint64(rows[k + 2] * length), np.uint64(rows[k + 3] * length)
            for j in range(size):
                sums[j] += weights[b0 + j] + weights[b1 + j] + weights[b2 + j] + weights[b3 + j]


def event_rate(kind: str, *, rows: int, length: int, events: int, threads: int) -> float:
    """Adds per second: lists of `events` of `rows` rows of `length` int8, added to `kind`."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, rows * length).astype(np.int8)
    lists = np.stack([np.sort(rng.permutation(rows)[: events // 4 * 4]) for _ in range(256)])
    rounds = max(256, int(2e8 / (length * lists.shape[1])))

    def once() -> None:
        _add_rows(weights, length, lists, np.zeros(length, kind), rounds)

    once()
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(7):
            begun = time.perf_counter()
            for each in [pool.submit(once) for _ in range(threads)]:
                each.result()
            best = max(best, threads * rounds * length * lists.shape[1] / (time.perf_counter() - begun))
    return best


def gemm_rate(size: int = 1536) -> float:
    """Multiply-adds per second of a float32 product, on the threads that numpy's BLAS has."""
    a = np.ones((size, size), np.float32)
    a @ a
    best = 0.0
    for _ in range(7):
        begun = time.perf_counter()
        a @ a
        best = max(best, size**3 / (time.perf_counter() - begun))
    return best


#: Workload -> rows, row length and events of a list, as they stand in its largest layers: W1's first dense layer, and
#: a kernel row of 256 channels met by the events of one position.
SHAPES = {"W1": {"rows": 784, "length": 512, "events": 80}, "W2": {"rows": 768, "length": 768, "events": 16}}


def measure(threads: int) -> dict[str, float]:
    """Adds per second by name."""
    found = {"gemm fp32": gemm_rate()}
    for name, shape in SHAPES.items():
        for kind in ("int16", "int32"):
            found[f"{name} {kind}"] = event_rate(kind, threads=threads, **shape)
    return found
