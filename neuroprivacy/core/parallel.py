"""Run tasks on processes of this machine, or on a Ray cluster; results do not depend on which.

A task is a call of one function with one argument; both travel pickled, between processes of one user. Each worker
computes on one thread, so that workers do not compete for cores. Not joblib: its worker processes outlive the call, and
it cannot set our own variable (NEUROPRIVACY_THREADS) before a worker's first import.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, Literal, TypeVar, get_args

from neuroprivacy.core.errors import BackendUnavailable, ConfigurationError

Engine = Literal["local", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)
Task = TypeVar("Task")
Done = TypeVar("Done")
_THREADS = ("NEUROPRIVACY_THREADS", "OMP_NUM_THREADS")


def run_tasks(
    function: Callable[[Task], Done], tasks: Sequence[Task], *, engine: Engine = "local", workers: int = 2
) -> Iterator[tuple[int, Done]]:
    """Yield (number of the task, result) in the order in which tasks finish.

    Args:
        function: defined in a module, so that workers can import it.
        tasks: arguments, one for each call.
        engine: "local" processes, or "ray" (a cluster if RAY_ADDRESS names one, else one started here).
        workers: number of processes; a cluster of RAY_ADDRESS uses its own number.

    Raises:
        BackendUnavailable: Ray is not installed.
        ConfigurationError: the engine is unknown, or there are no workers.
    """
    if engine not in ENGINES or workers < 1:
        raise ConfigurationError(
            f"engine: {engine!r} with {workers} workers; choose {' or '.join(ENGINES)}, at least 1"
        )
    if engine == "ray":
        yield from _on_ray(function, tasks, workers)
        return
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_alone) as pool:
        waiting = {pool.submit(function, task): i for i, task in enumerate(tasks)}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:  # after an interrupt or an error, tasks that wait are not started
            for future in waiting:
                future.cancel()


def _alone() -> None:
    """Restrict a worker process to one thread."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))


def _on_ray(function: Callable[[Task], Done], tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Done]]:
    try:
        import ray
    except ImportError as error:
        raise BackendUnavailable("engine: ray is not installed; pip install 'neuroprivacy[ray]'") from error
    started = not ray.is_initialized()
    if started:
        size: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
        ray.init(**size, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        remote = ray.remote(num_cpus=1, runtime_env={"env_vars": dict.fromkeys(_THREADS, "1")})(function)
        waiting = {remote.remote(task): i for i, task in enumerate(tasks)}
        while waiting:
            for reference in ray.wait(list(waiting), num_returns=1)[0]:
                yield waiting.pop(reference), ray.get(reference)
    finally:
        if started:
            ray.shutdown()
