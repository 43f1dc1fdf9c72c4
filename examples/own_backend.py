"""A backend of your own in 20 lines, compared with the reference by the conformance kit.

A real one is named in its package's `pyproject.toml`, and `neuroprivacy backend check mine` finds it:

    [project.entry-points."neuroprivacy.backends"]
    mine = "my_package:MyBackend"
"""

from pathlib import Path

import neuroprivacy as npv


class MyBackend:
    """Refuses what it cannot do, by name; runs the rest. Put your simulator, compiler or chip into `run`."""

    def check(self, program: npv.Program) -> tuple[npv.Issue, ...]:
        """Only chips whose edges cost a step."""
        if program.target.edge_delay_min == 1:
            return ()
        return (npv.Issue(where="target", what=f"{program.target.name} has no latency", hint="lower for loihi2"),)

    def build(self, program: npv.Program, folder: Path) -> npv.Artifact:
        """Everything that a run needs."""
        return npv.Artifact(backend="mine", folder=npv.save_program(program, folder), program=program)

    def run(self, artifact: npv.Artifact, spikes: npv.Inputs, record: npv.Record) -> npv.RunResult:
        """Here the definition itself computes; whatever stands here must equal it in every integer."""
        return npv.run_reference(artifact.program, spikes, record=record)


def main(random_programs: int = 20) -> dict[str, int]:
    """Run the conformance kit: every hand-made case and some random networks; returns how many ended in which way."""
    report = npv.check_backend(MyBackend(), random_programs=random_programs)
    for outcome in report.failures:
        print(f"{outcome.case}: {outcome.detail}")
    print(report.tally())
    return report.tally()


if __name__ == "__main__":
    main()
