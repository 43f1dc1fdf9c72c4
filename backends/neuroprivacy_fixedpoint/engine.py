"""Runs a Program: samples in shares of bounded memory, spread over threads; long inputs in blocks of steps.

A share of samples is computed by one thread, layer by layer. Where there are fewer samples than threads and a sample is
much work, all threads compute parts of one layer. Kernels release Python's lock.
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
from neuroprivacy_fixedpoint.plan import Plan, plan_of
from neuroprivacy_fixedpoint.results import Results
from neuroprivacy_fixedpoint.share import Calls, Share

#: Spikes of a share of samples take about so many bytes, so that they stay near the core; one sample at most BLOCK.
SHARE_BYTES = 2 * 2**20
BLOCK_BYTES = 128 * 2**20
#: Weights that a run can touch, from which on threads are worth their start; and that one step of a sample can touch,
#: from which on a layer is worth being cut in parts.
_WORK_FOR_THREADS = 10**8
_WORK_FOR_PARTS = 2 * 10**6
#: Shares of at most so many bytes are kept for the next run of the same Program.
_KEPT_BYTES = 16 * 2**20


def threads() -> int:
    """Threads of the engine: NEUROPRIVACY_THREADS, OMP_NUM_THREADS, or the cores that this process may use."""
    for name in ("NEUROPRIVACY_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given.isdecimal() and int(given) > 0:
            return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_program(program: Program, inputs: Mapping[str, NDArray[Any]], record: Record) -> Results:
    """Run all samples.

    Args:
        program: what to run.
        inputs: port name -> integers (samples, T, values).
        record: what is kept beside the results.
    """
    samples, given = next(iter(inputs.values())).shape[:2]
    steps = given + program.latency
    plan = plan_of(program, steps)
    number = threads() if plan.work * steps * samples >= _WORK_FOR_THREADS else 1
    parts = number if samples < number and plan.work >= _WORK_FOR_PARTS else 1
    of_sample = (steps + plan.history) * (plan.width + 4 * plan.graded_width)
    size = 1 if parts > 1 else min(max(1, SHARE_BYTES // of_sample), -(-samples // number))
    rows = 1 if record.states else min(steps, max(plan.history, BLOCK_BYTES // (of_sample // steps + 1)))
    pool = _pool(number) if number > 1 else None
    results = Results(program, plan, samples, steps, record, at_once=size >= samples and rows >= steps)

    def compute(first: int) -> None:
        """One share."""
        here = slice(first, min(first + size, samples))
        share = _taken(plan, here.stop - first, rows, parts)
        for step in range(0, steps, rows):
            count = min(rows, steps - step)
            share.load(inputs, here, step, count)
            share.compute(count, _together if pool is None else partial(_apart, pool))
            results.add_block(share, here, step, count)
        results.add_end(share, here)
        _give_back(share)

    if pool is None or parts > 1 or size >= samples:
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
    """Run each call by a thread of its own."""
    others = [pool.submit(call) for call in calls[1:]]
    calls[0]()
    for other in others:
        other.result()


def _together(calls: Calls) -> None:
    """Run calls one after another."""
    for call in calls:
        call()


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    """Threads that wait for work."""
    return ThreadPoolExecutor(size, thread_name_prefix="neuroprivacy-fixedpoint")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads


def _taken(plan: Plan, samples: int, rows: int, parts: int) -> Share:
    """A share of that size: one that an earlier run gave back, or a new one."""
    for _ in range(len(plan.idle)):
        try:
            share: Share = plan.idle.popleft()
        except IndexError:
            break
        if (share.samples, share.rows, share.parts) == (samples, rows, parts):
            return share
    return Share(plan, samples, rows, parts)


def _give_back(share: Share) -> None:
    """Keep a small share for the next run."""
    if share.bytes <= _KEPT_BYTES:
        share.plan.idle.append(share)
