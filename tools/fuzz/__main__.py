"""Damage good NIR files in many ways and read them: `python -m tools.fuzz --count 10000 --seed 0`."""

from __future__ import annotations

import argparse
import json
import sys
import time

from neuroprivacy.core.errors import EXIT_CHECK_FAILED, EXIT_OK
from tools.fuzz.campaign import Tally, run


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit code: 0 if nothing failed, 1 if something did."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="damaged files (default 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the damage (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    for name, least in (("count", 1), ("seed", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    start = time.perf_counter()
    tally = run(options.count, options.seed)
    seconds = time.perf_counter() - start
    described = {"seed": options.seed, **tally.as_dict(), "seconds": round(seconds, 1)}
    print(json.dumps(described, indent=2) if options.json else _as_text(tally, seconds))
    return EXIT_CHECK_FAILED if tally.failures else EXIT_OK


def _as_text(tally: Tally, seconds: float) -> str:
    reasons = ", ".join(f"{number} {kind}" for kind, number in sorted(tally.refused.items()))
    crashes = ", ".join(f"{number} {name}" for name, number in sorted(tally.crashes.items())) or "none"
    lines = [
        f"{tally.files} files in {seconds:.0f} s: {tally.same} read as before, {tally.changed} read as another legal"
        f" graph, {tally.refused.total()} refused",
        f"  reasons            {reasons}",
        f"  crashed children   {crashes}",
        f"  stopped children   {tally.timeouts}",
        f"  slowest file       {tally.slowest_s:.2f} s",
        f"  memory of parent   {tally.peak_rss_mib:.0f} MiB",
        f"  failures           {len(tally.failures)}",
    ]
    return "\n".join(lines + [f"    {failure}" for failure in tally.failures])


if __name__ == "__main__":
    sys.exit(main())
