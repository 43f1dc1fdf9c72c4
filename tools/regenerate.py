"""Record the golden files with Lava, or check them: `python -m tools.regenerate [--check]`.

Run it from the root of the repository. `--check` runs everything in Lava again, compares, and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from neuroprivacy.core.errors import EXIT_CHECK_FAILED, EXIT_OK, ConfigurationError, NeuroPrivacyError
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Artifact, Backend, Record, RunResult, load_backend
from neuroprivacy.testing.conformance import case_inputs
from tools import golden

DEFAULT_FOLDER = Path("tests/golden") / golden.VERSION


def run_live(backend: Backend, program: Program, inputs: dict[str, Int64], *, states: bool) -> RunResult:
    """Run one Program in a scratch folder."""
    record = Record(spikes=True, final=True, states=states)
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-golden-") as scratch:
        artifact: Artifact = backend.build(program, Path(scratch) / "built")
        return backend.run(artifact, inputs, record)


def regenerate(folder: Path) -> int:
    """Record everything anew with Lava; returns how many runs that were.

    Raises:
        ConfigurationError: the installed Lava is not the one that the folder is named after.
    """
    backend = load_backend("lava")
    cases = {
        case.name: run_live(backend, case.program, case_inputs(case), states=True) for case in golden.golden_cases()
    }
    versions = next(iter(cases.values())).versions
    if f"lava-{versions.get('lava-nc')}" != golden.VERSION:
        raise ConfigurationError(f"golden: lava-nc is {versions.get('lava-nc')}, these files are of {golden.VERSION}")
    networks = [
        (name, program, inputs, run_live(backend, program, inputs, states=False))
        for name, program, inputs in golden.golden_networks()
    ]
    golden.write_single_rules(folder, cases)
    for name, program, inputs, result in networks:
        golden.write_network(folder, name, program, inputs, result)
    return len(cases) + len(networks)


def check_live(folder: Path) -> tuple[int, tuple[str, ...]]:
    """How many golden runs there are, and where Lava today leaves them."""
    backend = load_backend("lava")
    runs = golden.read_golden(folder)
    found: list[str] = []
    for run in runs:
        states = any(key.startswith("u.") for key in run.recorded)
        result = run_live(backend, run.program, run.inputs, states=states)
        found += [f"{run.name}: {text}" for text in golden.differences(run, result)]
    return len(runs), tuple(found)


def main(arguments: list[str] | None = None) -> int:
    """Record or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.regenerate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with Lava, write nothing")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help=f"default: {DEFAULT_FOLDER}")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            print(f"{regenerate(options.folder)} runs of Lava recorded in {options.folder}")
            return EXIT_OK
        number, found = check_live(options.folder)
    except NeuroPrivacyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for text in found:
        print(text, file=sys.stderr)
    print(f"{number} golden runs, {len(found)} differences")
    return EXIT_CHECK_FAILED if found else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
