"""What every simulator's script shares: it waits on standard input and answers one JSON line with another.

    {"do": "prepare", "folder": ..., "inputs": ..., "batch": B, "threads": N, "training": false, "options": {...}}
    {"do": "rates", "samples": S}         mean rate of every layer over the first S samples, not timed
    {"do": "run", "seconds": S}           calls on successive batches until S seconds are timed; at least one call
    any other word                        a method of the simulator by that name

The folder holds workload.json and weights.npz; `inputs` is an npz of `spikes`, uint8 (samples, T, *shape), and
`labels`. Every call of `run` is given samples that the call before did not see. Needs numpy only; a waiting script
computes nothing. When standard input closes the script ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


class Task:
    """What `prepare` asked for.

    Attributes:
        folder: where the files lie.
        workload: the content of workload.json.
        layers: its layers.
        weights: layer name -> float32, outputs first.
        spikes: all samples; `labels` likewise.
        batch, threads, training, options: as asked for.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.folder = Path(request["folder"])
        self.workload = json.loads((self.folder / "workload.json").read_text())
        self.layers = self.workload["layers"]
        self.weights = load(self.folder / "weights.npz")
        given = load(Path(request["inputs"]))
        self.spikes, self.labels = given["spikes"], given["labels"]
        self.batch, self.threads = request["batch"], request["threads"]
        self.training, self.options = request["training"], request.get("options", {})

    @property
    def steps(self) -> int:
        """T."""
        return self.spikes.shape[1]

    def take(self, call: int) -> tuple[np.ndarray, np.ndarray]:
        """The samples and labels of a call; after the last sample the first come again."""
        at = np.arange(call * self.batch, (call + 1) * self.batch) % len(self.spikes)
        return self.spikes[at], self.labels[at]


class Simulator:
    """What a script overrides. One object for one `prepare`."""

    packages: tuple[str, ...] = ("numpy",)

    def __init__(self, task: Task) -> None:
        self.task = task

    def convert(self, spikes: np.ndarray, labels: np.ndarray) -> Any:
        """Samples as the simulator wants them; not timed."""
        return spikes

    def call(self, batch: Any) -> object:
        """What is timed."""
        raise NotImplementedError

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Mean rate of every layer on these samples; empty where there are no neurons."""
        raise NotImplementedError


def load(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


class _Server:
    """The state between requests."""

    def __init__(self, kind: type[Simulator]) -> None:
        self.kind = kind
        self.next = 0

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make the network; afterwards memory is counted from here."""
        self.simulator = self.kind(Task(request))
        self.next = 0
        self.base = _memory("VmRSS")
        _forget_peak()
        return {"versions": {name: version(name) for name in self.kind.packages}}

    def rates(self, request: dict[str, Any]) -> dict[str, Any]:
        """Rates on the first samples."""
        task, count = self.simulator.task, request["samples"]
        return {"rates": self.simulator.rates(task.spikes[:count], task.labels[:count])}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Mean seconds of a call, over calls on samples not seen since long."""
        spent, calls = 0.0, 0
        while not calls or spent < request["seconds"]:
            batch = self.simulator.convert(*self.simulator.task.take(self.next))
            begun = time.perf_counter()
            kept = self.simulator.call(batch)
            spent += time.perf_counter() - begun
            del kept
            self.next, calls = self.next + 1, calls + 1
        peak = _memory("VmHWM")
        return {"seconds": spent / calls, "calls": calls, "peak_bytes": peak - self.base, "process_bytes": peak}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request."""
        what = request["do"]
        if what in ("prepare", "rates", "run"):
            return dict(getattr(self, what)(request))
        return dict(getattr(self.simulator, what)(request))


def _memory(field: str) -> int:
    """A field of this process in bytes; 0 where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def _forget_peak() -> None:
    """Let the peak of the resident memory begin anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def serve(kind: type[Simulator], *, end: Any = None) -> None:
    """Answer until standard input closes; what the simulator prints goes to standard error.

    Args:
        kind: the simulator.
        end: called at the end, where more than this process must end.
    """
    request_fd, answer_fd = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    # Child processes of a simulator must find no pipe of ours here.
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    server = _Server(kind)
    with os.fdopen(request_fd, encoding="utf-8") as requests, os.fdopen(answer_fd, "w", encoding="utf-8") as answers:
        for line in requests:
            try:
                answer = {"ok": True, **server.answer(json.loads(line))}
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                answer = {"ok": False, "error": reason, "traceback": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    if end is not None:
        end()
