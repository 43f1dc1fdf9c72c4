"""One item, measured: every competitor is prepared, checked and warmed up once; then they take turns."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.competitors import COMPETITORS, Competitor, Unavailable
from benchmarks.items import Effort, Item
from benchmarks.prepared import Prepared, load_arrays
from benchmarks.worker import Worker
from neuroprivacy.core.errors import WorkerFailed
from neuroprivacy.program import load_program
from neuroprivacy.runtime.backend import Record, build, run

_TIMEOUT_S = 900.0
#: Whose state goes on from sample to sample: what is compared are all spikes since the start, as integers.
_CONTINUED = {"lava"}
#: The item of which ours is taken apart, and the calls that this takes.
SHORT_RUN, _PARTS = "w1_batch1", 1000
Tell = Callable[[str], None]


def measure(item: Item, chosen: tuple[str, ...], prepared: Prepared, effort: Effort, tell: Tell) -> dict[str, Any]:
    """Rows of an item by competitor: seconds of every round, rates, memory, versions; or why there are none.

    Args:
        item: what to measure.
        chosen: keys of the competitors.
        prepared: the files of its workload.
        effort: how long.
        tell: receives a line of progress.
    """
    rows: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}
    expected = prepared.rates(prepared.inputs(item, item.workload.steps))
    load = os.getloadavg()[0]
    try:
        for key in chosen:
            rows[key] = {"title": COMPETITORS[key].title, "kind": COMPETITORS[key].kind, "seconds": []}
            with _failing(key, rows, workers, tell):
                _begin(COMPETITORS[key], item, prepared, effort, workers, rows[key], expected)
        for turn in range(effort.rounds):
            tell(f"{item.key}: round {turn + 1} of {effort.rounds}")
            running = list(workers)
            first = turn % max(1, len(running))
            for key in running[first:] + running[:first]:
                with _failing(key, rows, workers, tell):
                    answer = workers[key].ask({"do": "run", "seconds": effort.seconds}, timeout_s=_TIMEOUT_S)
                    row = rows[key]
                    row["seconds"].append(answer["seconds"] * row.get("extrapolated", {}).get("factor", 1))
                    row["calls"] = row.get("calls", 0) + answer["calls"]
                    row["peak_bytes"], row["process_bytes"] = answer["peak_bytes"], answer["process_bytes"]
        for key in list(workers) if item.training else []:
            with _failing(key, rows, workers, tell):
                rows[key].update(workers[key].ask({"do": "tensors"}, timeout_s=_TIMEOUT_S))
        if "ours" in workers and item.key == SHORT_RUN:
            with _failing("ours", rows, workers, tell):
                rows["ours"].update(workers["ours"].ask({"do": "parts", "calls": _PARTS}, timeout_s=_TIMEOUT_S))
        for key in _CONTINUED & workers.keys():
            with _failing(key, rows, workers, tell):
                answer = workers[key].ask({"do": "fired"}, timeout_s=_TIMEOUT_S)
                rows[key]["carried"] = _carried(answer, prepared, _inputs(COMPETITORS[key], item, prepared))
                rows[key]["rates"] = rows[key]["carried"]["rates"]
    finally:
        for worker in workers.values():
            worker.close()
    return {
        "item": item.describe(), "load_before": load, "expected_rates": expected, "rate_samples": prepared.samples,
        "rows": rows,
    }  # fmt: skip


class _failing(contextlib.AbstractContextManager[None]):
    """What fails becomes the reason in its row; the others go on."""

    def __init__(self, key: str, rows: dict[str, dict[str, Any]], workers: dict[str, Worker], tell: Tell) -> None:
        self.key, self.rows, self.workers, self.tell = key, rows, workers, tell

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Unavailable | WorkerFailed):
            return False
        self.tell(f"{self.key}: {error}")
        self.rows[self.key]["error"] = _plain(str(error))
        worker = self.workers.pop(self.key, None)
        if worker is not None:
            worker.close()
        return True


def _begin(
    competitor: Competitor,
    item: Item,
    prepared: Prepared,
    effort: Effort,
    workers: dict[str, Worker],
    row: dict[str, Any],
    expected: dict[str, float],
) -> None:
    """Start a competitor, compare its rates, and let it run once."""
    steps = item.workload.steps
    short = competitor.short_steps.get(item.workload.name, steps)
    if short < steps:
        row["extrapolated"] = {"steps": short, "factor": steps / short}
    command, variables = competitor.command(item.threads)
    worker = workers[competitor.key] = Worker(competitor.key, command, variables)
    options = dict(competitor.options)
    if competitor.program is not None:
        options["program"] = str(prepared.folder / competitor.program)
    request: dict[str, Any] = {
        "do": "prepare", "folder": str(prepared.folder), "inputs": str(_inputs(competitor, item, prepared)),
        "batch": item.batch, "threads": item.threads, "training": item.training, "options": options,
    }  # fmt: skip
    row["versions"] = worker.ask(request, timeout_s=_TIMEOUT_S)["versions"]
    if competitor.kind == "bound":
        row.update(worker.ask({"do": "work"}, timeout_s=_TIMEOUT_S))
    worker.ask({"do": "run", "seconds": 0}, timeout_s=_TIMEOUT_S)
    if competitor.key in _CONTINUED:
        return
    rates = worker.ask({"do": "rates", "samples": prepared.samples}, timeout_s=_TIMEOUT_S)["rates"]
    if rates:
        row["rates"] = rates
        row["rates_differ"] = max(abs(rates[name] - expected[name]) for name in expected)
    if competitor.kind == "ours" and not item.training and item.workload.name in effort.exact:
        samples, few = effort.exact[item.workload.name]
        row["exact"] = worker.ask({"do": "exact", "samples": samples, "steps": few}, timeout_s=_TIMEOUT_S)


def _inputs(competitor: Competitor, item: Item, prepared: Prepared) -> Path:
    """The samples that a competitor is given: of fewer steps, if its time is extrapolated."""
    steps = item.workload.steps
    return prepared.inputs(item, competitor.short_steps.get(item.workload.name, steps))


def _carried(answer: dict[str, Any], prepared: Prepared, inputs: Path) -> dict[str, Any]:
    """All spikes since the start against those of our backend on the same Program and one long sample.

    A pool is a process of its own in Lava and costs one more step; the Program is given the same delay.
    """
    program = load_program(prepared.folder / "loihi2")
    pooled = {shape.name for shape in prepared.workload.layers if shape.pool}
    layers = tuple(
        replace(layer, edges=tuple(replace(edge, delay=edge.delay + 1) for edge in layer.edges))
        if layer.name in pooled
        else layer
        for layer in program.layers
    )
    program = replace(program, layers=layers, latency=program.latency + len(pooled))
    spikes = load_arrays(inputs)["spikes"]
    steps = int(answer["steps"])
    long = spikes.reshape(1, -1, *spikes.shape[2:])[:, :steps]
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-bench-") as folder:
        artifact = build(program, backend="fixedpoint", folder=Path(folder))
        found = run(artifact, spikes=long, record=Record(spikes=True)).layer_spikes
    assert found is not None
    ours = {name: int(array[:, :steps].sum()) for name, array in found.items()}
    rates = {name: count / (steps * program.sizes[name]) for name, count in answer["fired"].items()}
    return {"equal": ours == answer["fired"], "steps": steps, "spikes": sum(ours.values()), "rates": rates}


def _plain(message: str) -> str:
    """The first line of a message, without folders."""
    line = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return re.sub(r"(?:/[\w.+-]+)+/", "", line)[:300]
