"""Every simulator on the same networks, in one interleaved run: `python benchmarks/run.py` (or `make bench`).

Each peer is a process of its own, in its own environment, that holds its network and waits; a round asks one after
another for one timed call, so that what else happens on the machine meets them all. Results are kept as JSON, from
which `page.py` makes docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "hw_tests" / "interop")]

from bounds import measure  # noqa: E402
from environments import EnvironmentMissing, clean_environment, prepare  # noqa: E402
from workloads import WORKLOADS, Workload, make_weights, program_of, write  # noqa: E402

from neuroprivacy.program import save_program  # noqa: E402
from neuroprivacy.provenance import machine, versions  # noqa: E402
from neuroprivacy.storage import write_json  # noqa: E402
from neuroprivacy_lava.interpreter import find_python, uv_program  # noqa: E402
from neuroprivacy_lava.worker_process import environment, worker_script  # noqa: E402

#: Peers in the order of the rounds; the last two columns of a row are against the fastest peer on torch.
PEERS = ("neuroprivacy", "manual", "snntorch", "spikingjelly", "norse", "sinabs", "lava")
TORCH = ("snntorch", "spikingjelly", "norse", "sinabs")
BATCHES = {"W1": (1, 128), "W2": (1, 16)}
TRAINING = {"W1": (128, 32), "W2": (8, 16)}
TRAINERS = ("neuroprivacy", "snntorch", "spikingjelly", "norse")
#: Calls of one timed measurement: the median of so many, so that short calls are not the clock's.
CALLS = {("W1", 1): 30, ("W1", 128): 3, ("W2", 1): 3, ("W2", 16): 1}
#: Steps that Lava really runs; its time grows with them and is scaled to the workload's.
LAVA_STEPS = {"W1": 32, "W2": 2}


@dataclass
class Process:
    """A peer that is running."""

    name: str
    popen: subprocess.Popen[str]
    versions: dict[str, str] = field(default_factory=dict)

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(json.dumps(request) + "\n")
        self.popen.stdin.flush()
        for line in self.popen.stdout:  # libraries print things of their own
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer
        raise RuntimeError(f"the process ended ({self.popen.wait()})")


def start(name: str, folder: Path, workload: str, threads: int) -> Process:
    """Start a peer and have it load the workload.

    Raises:
        RuntimeError: it cannot be had, or fails.
    """
    script = HERE / "peers" / f"{name}_peer.py"
    variables = {**clean_environment(), "OMP_NUM_THREADS": str(threads), "NEUROPRIVACY_THREADS": str(threads)}
    if name == "lava":
        python = find_python()
        command = [
            uv_program(), "run", "--no-project", "--no-config", "--quiet", "--python", str(python or "3.10"),
            "--with-requirements", str(worker_script().with_name("worker.lock.txt")), "python",
        ]  # fmt: skip
        variables = {**environment(python), "OMP_NUM_THREADS": str(threads), "LAVA_STEPS": str(LAVA_STEPS[workload])}
    elif name in ("neuroprivacy", "manual"):
        command = [sys.executable]
    else:
        try:
            command = [str(prepare(name))]
        except EnvironmentMissing as error:
            raise RuntimeError(str(error)) from error
    popen = subprocess.Popen(
        [*command, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=variables, cwd=script.parent, start_new_session=True,
    )  # fmt: skip
    process = Process(name, popen)
    process.versions = process.ask(do="load", folder=str(folder), threads=threads)["versions"]
    return process


def compare(workload: Workload, *, peers: Sequence[str], rounds: int, threads: int, train: bool) -> dict[str, Any]:
    """One workload: all peers, all batches, and training."""
    found: dict[str, Any] = {"peers": {}, "inference": {}, "training": {}, "memory": {}}
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-bench-") as scratch:
        folder = Path(scratch)
        write(folder, workload)
        program = program_of(workload, make_weights(workload))
        save_program(program, folder / "program")
        integers = {f"weight{i}": layer.edges[0].map.weight for i, layer in enumerate(program.layers)}
        integers |= {f"threshold{i}": layer.threshold[0] for i, layer in enumerate(program.layers)}
        np.savez(folder / "integers.npz", count=len(program.layers), **integers)
        running: list[Process] = []
        for name in peers:
            try:
                running.append(start(name, folder, workload.name, threads))
                rates = [] if name == "lava" else running[-1].ask(do="rates")["rates"]
                found["peers"][name] = {"versions": running[-1].versions, "rates": rates}
            except RuntimeError as error:
                found["peers"][name] = {"missing": str(error)[:300]}
                running = [process for process in running if process.name != name]
        for batch in BATCHES[workload.name]:
            fit = [p for p in running if not (p.name == "lava" and (batch > 1 or workload.name != "W1"))]
            found["inference"][str(batch)] = dict(_rounds(fit, workload.name, batch, rounds))
        if train:
            batch, steps = TRAINING[workload.name]
            fit = [p for p in running if p.name in TRAINERS]
            times: dict[str, list[float]] = {p.name: [] for p in fit}
            for round_ in range(-1, rounds):
                for process in fit:
                    seconds = process.ask(do="train", batch=batch, steps=steps)["seconds"]
                    times[process.name] += [seconds] if round_ >= 0 else []
            found["training"] = {"batch": batch, "steps": steps, "seconds": times}
            found["memory"] = {p.name: p.ask(do="memory")["bytes"] for p in fit}
        for process in running:
            process.popen.kill()
    layers = program.layers
    result = _events(workload, program)
    return {**found, "adds_per_sample": result, "dense_per_sample": _dense(layers) * 32}


def _rounds(running: list[Process], workload: str, batch: int, rounds: int) -> Iterator[tuple[str, list[float]]]:
    """Seconds per call of each peer, one value per round; the first round warms up and does not count."""
    times: dict[str, list[float]] = {process.name: [] for process in running}
    first = 0
    for round_ in range(-1, rounds):
        for process in running:
            calls = CALLS[workload, batch] if process.name in ("neuroprivacy", "manual") or batch > 1 else 3
            seconds = [
                process.ask(do="run", first=first + i * batch, batch=batch)["seconds"]
                for i in range(1 if process.name == "lava" else calls)
            ]
            if round_ >= 0:
                scale = 32 / LAVA_STEPS[workload] if process.name == "lava" else 1.0
                times[process.name].append(float(np.median(seconds)) * scale)
        first += CALLS[workload, batch] * batch
    yield from times.items()


def _events(workload: Workload, program: Any) -> float:
    """Weights that the events of one sample touch, mean of two samples."""
    from neuroprivacy.backend import build, run

    with tempfile.TemporaryDirectory() as scratch:
        artifact = build(program, backend="fixedpoint", folder=Path(scratch))
        counts = run(artifact, spikes=workload.inputs(2)).counts
    return float(sum(layer.operations.mean() for layer in counts.layers.values()))


def _dense(layers: Any) -> float:
    return float(sum(edge.map.fan_out().sum() for layer in layers for edge in layer.edges))


def scaling(threads: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """How our own cost grows on W1: firing rate, steps, batch, threads."""
    from dataclasses import replace
    from time import perf_counter

    from neuroprivacy.backend import build, run

    base = WORKLOADS["W1"]
    found: dict[str, list[dict[str, float]]] = {"rate": [], "steps": [], "batch": [], "threads": []}

    def timed(workload: Workload, weights: list[np.ndarray], batch: int, steps: int, number: int) -> float:
        os.environ["NEUROPRIVACY_THREADS"] = str(number)
        inputs = workload.inputs(batch, steps)
        with tempfile.TemporaryDirectory() as scratch:
            artifact = build(program_of(workload, weights), backend="fixedpoint", folder=Path(scratch))
            run(artifact, spikes=inputs)
            seconds = []
            for _ in range(max(rounds, 5)):
                begun = perf_counter()
                run(artifact, spikes=inputs)
                seconds.append(perf_counter() - begun)
        return float(np.median(seconds)) / batch

    for rate in (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5):
        workload = replace(base, rate=rate, input_rate=rate)
        found["rate"].append({"x": rate, "seconds": timed(workload, make_weights(workload), 64, 32, threads)})
    weights = make_weights(base)
    for steps in (8, 32, 128, 512):
        found["steps"].append({"x": steps, "seconds": timed(base, weights, 16, steps, threads)})
    for batch in (1, 4, 16, 64, 256):
        found["batch"].append({"x": batch, "seconds": timed(base, weights, batch, 32, threads)})
    for number in range(1, threads + 1):
        found["threads"].append({"x": number, "seconds": timed(base, weights, 128, 32, number)})
    return found


def main() -> None:
    """Measure what was asked for, add it to the results, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("runs/bench/results.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/performance.md"))
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--page-only", action="store_true", help="make the page of the results that are there")
    options = parser.parse_args()
    found = json.loads(options.results.read_text()) if options.results.exists() else {}
    if not options.page_only:
        found |= {"machine": machine(), "versions": versions(), "threads": options.threads, "rounds": options.rounds}
        found["bounds"] = measure(options.threads)
        for name in options.only:
            found.setdefault("workloads", {})[name] = compare(
                WORKLOADS[name], peers=options.peers, rounds=options.rounds, threads=options.threads,
                train=not options.no_training,
            )  # fmt: skip
            write_json(options.results, found)
        found["scaling"] = scaling(options.threads, options.rounds)
        write_json(options.results, found)
    from page import write_page

    write_page(found, options.page)


if __name__ == "__main__":
    main()
