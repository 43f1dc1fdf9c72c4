"""Runs a Program in batches of samples, spread over threads. Long inputs are computed in time blocks.

One thread computes a batch, layer by layer. If there are fewer samples than threads and a sample is expensive, every
thread computes one partition of each layer. Kernels release Python's global lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from typing import Any

from numpy.typing import NDArray

from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Record
from neuroprivacy_fixedpoint.batch import Batch, Calls
from neuroprivacy_fixedpoint.plan import Plan, plan_of
from neuroprivacy_fixedpoint.results import Results

#: Bytes of the spikes of a batch, chosen to fit the L2 cache; and of a time block of one sample.
BATCH_BYTES = 2 * 2**20
TIME_BLOCK_BYTES = 128 * 2**20
#: Least synaptic operations of a run that justify threads, and of one time step of a sample that justify partitions.
_WORK_FOR_THREADS = 10**8
_WORK_FOR_PARTITIONS = 2 * 10**6
#: Buffers of batches up to so many bytes are kept for the next run of the same Program.
_KEPT_BYTES = 16 * 2**20


def threads() -> int:
    """Threads of the engine: NEUROPRIVACY_THREADS, OMP_NUM_THREADS, or the cores that this process may use."""
    for name in ("NEUROPRIVACY_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given.isdecimal() and int(given) > 0:
            return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_program(program: Program, inputs: Mapping[str, NDArray[Any]], record: Record) -> Results:
    """Run all samples, in batches on several threads.

    Args:
        program: what to run.
        inputs: port name -> integers (samples, T, values).
        record: what is kept beside the results.
    """
    samples, given = next(iter(inputs.values())).shape[:2]
    steps = given + program.latency
    plan = plan_of(program, steps)
    number = threads() if plan.work * steps * samples >= _WORK_FOR_THREADS else 1
    partitions = number if samples < number and plan.work >= _WORK_FOR_PARTITIONS else 1
    of_sample = (steps + plan.history) * (plan.width + 4 * plan.graded_width)
    size = 1 if partitions > 1 else min(max(1, BATCH_BYTES // of_sample), -(-samples // number))
    rows = 1 if record.states else min(steps, max(plan.history, TIME_BLOCK_BYTES // (of_sample // steps + 1)))
    pool = _pool(number) if number > 1 else None
    results = Results(program, plan, samples, steps, record, at_once=size >= samples and rows >= steps)

    def compute(first: int) -> None:
        """Compute one batch."""
        here = slice(first, min(first + size, samples))
        batch = _taken(plan, here.stop - first, rows, partitions)
        for step in range(0, steps, rows):
            count = min(rows, steps - step)
            batch.load(inputs, here, step, count)
            batch.compute(count, _together if pool is None else partial(_apart, pool))
            results.add_time_block(batch, here, step, count)
        results.add_end(batch, here)
        _give_back(batch)

    if pool is None or partitions > 1 or size >= samples:
        for first in range(0, samples, size):
            compute(first)
        return results
    futures = [pool.submit(compute, first) for first in range(0, samples, size)]
    try:
        for future in futures:
            future.result()
    finally:  # after an interrupt or a fault, what has not begun does not begin
        for future in futures:
            future.cancel()
        wait(futures)
    return results


def _apart(pool: ThreadPoolExecutor, calls: Calls) -> None:
    """Run each call in its own thread."""
    others = [pool.submit(call) for call in calls[1:]]
    calls[0]()
    for other in others:
        other.result()


def _together(calls: Calls) -> None:
    """Run several calls one after another, as one task of the thread pool."""
    for call in calls:
        call()


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    """The thread pool, kept from run to run."""
    return ThreadPoolExecutor(size, thread_name_prefix="neuroprivacy-fixedpoint")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads


def _taken(plan: Plan, samples: int, rows: int, partitions: int) -> Batch:
    """A batch of that size: reused from an earlier run, or new."""
    for _ in range(len(plan.idle)):
        try:
            batch: Batch = plan.idle.popleft()
        except IndexError:
            break
        if (batch.samples, batch.rows, batch.partitions) == (samples, rows, partitions):
            return batch
    return Batch(plan, samples, rows, partitions)


def _give_back(batch: Batch) -> None:
    """Keep a small batch for the next run."""
    if batch.bytes <= _KEPT_BYTES:
        batch.plan.idle.append(batch)
