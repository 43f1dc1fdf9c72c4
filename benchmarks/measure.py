"""One item, measured: every competitor is prepared, checked and warmed up once, then they take turns, round by round."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from typing import Any

from benchmarks.competitors import COMPETITORS, Competitor, Unavailable
from benchmarks.items import Effort, Item
from benchmarks.prepared import Prepared
from benchmarks.worker import Worker
from neuroprivacy.errors import WorkerFailed

_TIMEOUT_S = 900.0
#: The simulators whose rates are of a run that goes on from sample to sample.
_CONTINUED = {"lava"}
Tell = Callable[[str], None]


def measure(item: Item, chosen: tuple[str, ...], prepared: Prepared, effort: Effort, tell: Tell) -> dict[str, Any]:
    """Rows of an item by competitor: seconds of every round, rates, memory, versions; or why there are none.

    Args:
        item: what to measure.
        chosen: keys of the competitors.
        prepared: the files of its workload.
        effort: how long.
        tell: told what is going on.
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
                    row["peak_bytes"] = answer["peak_bytes"]
    finally:
        for worker in workers.values():
            worker.close()
    return {"item": item.describe(), "load_before": load, "expected_rates": expected, "rows": rows}


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
    request = {
        "do": "prepare", "folder": str(prepared.folder), "inputs": str(prepared.inputs(item, short)),
        "batch": item.batch, "threads": item.threads, "training": item.training, "options": options,
    }  # fmt: skip
    row["versions"] = worker.ask(request, timeout_s=_TIMEOUT_S)["versions"]
    if competitor.kind == "bound":
        row.update(worker.ask({"do": "work"}, timeout_s=_TIMEOUT_S))
    worker.ask({"do": "run", "seconds": 0}, timeout_s=_TIMEOUT_S)
    rates = worker.ask({"do": "rates", "samples": prepared.samples}, timeout_s=_TIMEOUT_S)["rates"]
    if rates:
        row["rates"] = rates
        row["continued"] = competitor.key in _CONTINUED
        row["rates_differ"] = max(abs(rates[name] - expected[name]) for name in expected)
    if competitor.kind == "ours" and not item.training and item.workload.name in effort.exact:
        samples, few = effort.exact[item.workload.name]
        row["exact"] = worker.ask({"do": "exact", "samples": samples, "steps": few}, timeout_s=_TIMEOUT_S)


def _plain(message: str) -> str:
    """The first line of a message, without folders."""
    line = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return re.sub(r"(?:/[\w.+-]+)+/", "", line)[:300]
