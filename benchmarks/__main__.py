"""The command: `python -m benchmarks` measures what has not been measured yet and makes the page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.competitors import COMPETITORS
from benchmarks.deep_memory import measure_memory
from benchmarks.items import FULL, QUICK, Item, items
from neuroprivacy.core.provenance import machine, versions

_DOCS = Path("docs/results")
_RUNS = Path("runs")
_DEEP = "deep_memory.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, collect, write the page."""
    options = _options(arguments)
    runs = options.runs or _RUNS / ("benchmarks-quick" if options.quick else "benchmarks")
    docs = options.docs or (runs if options.quick else _DOCS)
    docs.mkdir(parents=True, exist_ok=True)
    if not options.page_only:
        _measure(options, runs)
        (docs / "performance.json").write_text(json.dumps(_collect(runs), indent=1) + "\n")
    from benchmarks.page import write_page

    write_page(json.loads((docs / "performance.json").read_text()), docs)
    print(docs / "performance.md")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds for each item, to try it; not into docs/results/"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="W1, W2, scaling, memory, or the key of an item"
    )
    parser.add_argument("--competitors", metavar="A,B", help=f"some of {', '.join(COMPETITORS)}")
    parser.add_argument("--rounds", type=int, help="rounds of each item")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    parser.add_argument("--page-only", action="store_true", help="remake the page from performance.json")
    parser.add_argument("--runs", type=Path, help="folder of weights and results; runs/benchmarks")
    parser.add_argument("--docs", type=Path, help="folder of the page; docs/results")
    options = parser.parse_args(arguments)
    unknown = set((options.competitors or "ours").split(",")) - COMPETITORS.keys()
    if unknown:
        parser.error(f"--competitors: {', '.join(sorted(unknown))} is none of {', '.join(COMPETITORS)}")
    return options


def _measure(options: argparse.Namespace, runs: Path) -> None:
    """All items that are asked for and not yet there."""
    from dataclasses import replace

    from benchmarks.measure import measure
    from benchmarks.prepared import Prepared

    effort = QUICK if options.quick else FULL
    effort = replace(effort, rounds=options.rounds or effort.rounds)
    (runs / "results").mkdir(parents=True, exist_ok=True)
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    wanted = options.competitors.split(",") if options.competitors else list(COMPETITORS)
    for item in items(effort):
        if options.only and not {item.group, item.key} & set(options.only):
            continue
        path = runs / "results" / f"{item.key}.json"
        chosen = tuple(key for key in item.competitors if key in wanted)
        kept = json.loads(path.read_text()) if path.exists() else None
        named = options.competitors is not None
        if not chosen or (kept and not options.fresh and _has(kept, chosen, effort.rounds, failures=not named)):
            continue
        started = time.monotonic()
        result = measure(item, chosen, Prepared(item.workload, runs / "workloads", effort), effort, _tell)
        result |= _about(item, effort.rounds, effort.seconds, begun)
        for row in result["rows"].values():
            row["run"] = begun
        if kept is not None:
            result["rows"] = {**kept["rows"], **result["rows"]}
        result["took_s"] = time.monotonic() - started
        path.write_text(json.dumps(result, indent=1))
    path = runs / _DEEP
    if not (options.only and "memory" not in options.only) and (options.fresh or not path.exists()):
        _tell("memory of VGG16")
        found = measure_memory(steps=4, batches=(1, 2)) if options.quick else measure_memory()
        path.write_text(json.dumps({**found, "run": begun}, indent=1))


def _has(kept: dict[str, Any], chosen: tuple[str, ...], rounds: int, *, failures: bool) -> bool:
    """Whether a result holds all of these, as many rounds of each, or if `failures` the reason why there are none."""

    def holds(row: dict[str, Any]) -> bool:
        return failures if "error" in row else len(row["seconds"]) >= rounds

    return all(key in kept["rows"] and holds(kept["rows"][key]) for key in chosen)


def _about(item: Item, rounds: int, seconds: float, begun: str) -> dict[str, Any]:
    """Where and how a result was measured."""
    return {"machine": machine(), "versions": versions(), "rounds": rounds, "turn_seconds": seconds, "run": begun}


def _collect(runs: Path) -> dict[str, Any]:
    """All results as one."""
    found = [json.loads(path.read_text()) for path in sorted((runs / "results").glob("*.json"))]
    collected = {"format": 1, "results": {result["item"]["key"]: result for result in found}}
    deep = runs / _DEEP
    return {**collected, "deep_memory": json.loads(deep.read_text())} if deep.exists() else collected


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
