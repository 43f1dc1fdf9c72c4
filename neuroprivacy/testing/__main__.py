"""Compare an installed backend with the reference: `python -m neuroprivacy.testing --backend NAME`."""

from __future__ import annotations

import argparse
import json
import sys

from neuroprivacy.core.errors import EXIT_CHECK_FAILED, EXIT_OK, NeuroPrivacyError
from neuroprivacy.testing.conformance import ConformanceReport, check_backend


def main(arguments: list[str] | None = None) -> int:
    """Run the kit; returns the exit code: 0 if nothing failed, 1 if something did."""
    parser = argparse.ArgumentParser(prog="python -m neuroprivacy.testing", description=__doc__)
    parser.add_argument("--backend", required=True, help="name of an installed backend")
    parser.add_argument("--random", type=int, default=100, metavar="N", help="random Programs (default 100)")
    parser.add_argument("--graphs", type=int, default=0, metavar="N", help="random graphs, lowered (default 0)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the first one (default 0)")
    parser.add_argument("--steps", type=int, default=40, metavar="T", help="input steps of each (default 40)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    for name, least in (("random", 0), ("graphs", 0), ("seed", 0), ("steps", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    try:
        report = check_backend(
            options.backend,
            random_programs=options.random,
            random_graphs=options.graphs,
            first_seed=options.seed,
            steps=options.steps,
        )
    except NeuroPrivacyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(_as_json(report) if options.json else _as_text(report))
    return EXIT_OK if report.passed else EXIT_CHECK_FAILED


def _as_json(report: ConformanceReport) -> str:
    notable = [
        {"case": o.case, "status": o.status, "detail": o.detail} for o in report.outcomes if o.status != "passed"
    ]
    described = {
        "backend": report.backend,
        "passed": report.passed,
        "tally": report.tally(),
        "random_programs": report.random_programs,
        "random_graphs": report.random_graphs,
        "lively": report.lively,
        "not_passed": notable,
    }
    return json.dumps(described, indent=2)


def _as_text(report: ConformanceReport) -> str:
    tally = ", ".join(f"{number} {status}" for status, number in report.tally().items())
    drawn = f"{report.random_programs} random Programs and {report.random_graphs} random graphs"
    lines = [f"{report.backend}: {tally}; {drawn}, {report.lively} of them lively"]
    lines += [f"  not run   {o.case}: {o.detail}" for o in report.outcomes if o.status in ("refused", "excluded")]
    lines += [f"  FAILED    {o.case}: {o.detail}" for o in report.failures]
    if not any(o.status == "passed" for o in report.outcomes):
        lines.append("  FAILED    nothing passed")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
