"""A backend of your own, in 20 lines, held against the definition by the conformance kit.

A real one is named in its package's `pyproject.toml`, and `neuroprivacy backend check mine` finds it:

    [project.entry-points."neuroprivacy.backends"]
    mine = "my_package:MyBackend"
"""

import tempfile
from pathlib import Path

from neuroprivacy.core.errors import Issue
from neuroprivacy.program import Program, save_program
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing import random_case
from neuroprivacy.testing.conformance import hold_case, hold_random
from neuroprivacy.testing.hand_made import hand_made_cases


class MyBackend:
    """Refuses what it cannot do, by name; runs the rest. Put your simulator, compiler or chip into `run`."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        """Only chips whose edges cost a step."""
        if program.target.edge_delay_min == 1:
            return ()
        return (Issue(where="target", what=f"{program.target.name} has no latency", hint="lower for loihi2"),)

    def build(self, program: Program, folder: Path) -> Artifact:
        """Everything that a run needs."""
        return Artifact(backend="mine", folder=save_program(program, folder), program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Here the definition itself computes; whatever stands here must equal it in every integer."""
        return run_reference(artifact.program, spikes, record=record)


def main(random_programs: int = 20) -> dict[str, int]:
    """Hold the backend against every hand-made case and some random networks; returns how they ended."""
    tally: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = [hold_case(MyBackend(), case, Path(scratch)) for case in hand_made_cases()]
        outcomes += [hold_random(MyBackend(), random_case(i), Path(scratch)) for i in range(random_programs)]
    for outcome in outcomes:
        tally[outcome.status] = tally.get(outcome.status, 0) + 1
        if outcome.status == "failed":
            print(f"{outcome.case}: {outcome.detail}")
    print(tally)
    return tally


if __name__ == "__main__":
    main()
