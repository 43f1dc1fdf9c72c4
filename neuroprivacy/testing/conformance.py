"""Run the conformance kit on a backend: hand-made cases, random Programs and graphs, compared exactly.

A case that a backend refuses by `check` is "refused", with its reason; one that the caller excludes is
"excluded"; an exclusion that passes is a failure. Nothing that did not run counts as passed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from neuroprivacy.core.errors import CheckFailed, WorkerFailed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Backend, Record, RunResult, check_inputs, load_backend
from neuroprivacy.runtime.compare import compare, first_difference
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.case import Case
from neuroprivacy.testing.hand_made import hand_made_cases
from neuroprivacy.testing.random_programs import RandomCase, random_case

Status = Literal["passed", "failed", "refused", "excluded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one case; `detail` is the reason why it did not pass."""

    case: str
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceReport:
    """All outcomes of one backend."""

    backend: str
    outcomes: tuple[Outcome, ...]
    lively: int
    random_programs: int
    random_graphs: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing failed and something passed."""
        return any(o.status == "passed" for o in self.outcomes) and not self.failures

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that failed."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    def tally(self) -> dict[str, int]:
        """Status -> number of outcomes."""
        return {s: sum(o.status == s for o in self.outcomes) for s in ("passed", "failed", "refused", "excluded")}


def case_inputs(case: Case) -> dict[str, Int64]:
    """A case's input by port; ports beyond the first are silent."""
    first, *others = case.program.inputs
    silent = {p.name: np.zeros((*case.spikes.shape[:2], *p.shape), np.int64) for p in others}
    return check_inputs(case.program, {first.name: case.spikes, **silent})


def expectation_faults(case: Case, result: RunResult) -> Iterator[str]:
    """Where a result differs from the case's own hand-made integers (sample 0)."""
    for quantity, wanted, found in (
        ("spikes", case.expect_spikes, result.layer_spikes),
        ("u", case.expect_u, result.states_u),
        ("v", case.expect_v, result.states_v),
    ):
        for name, values in wanted.items():
            if found is None:
                continue
            got = np.asarray(found[name][:1], np.int64)
            expected = np.asarray(values, np.int64).reshape(1, len(values), -1)
            difference = first_difference(quantity, name, expected, got)
            if difference is not None:
                yield str(difference)


def check_backend(
    name: str | Backend,
    *,
    random_programs: int = 0,
    random_graphs: int = 0,
    first_seed: int = 0,
    steps: int = 40,
    targets: tuple[str, ...] = ("loihi2", "loihi2-soft", "int8"),
    states: bool = True,
    exclusions: Mapping[str, str] | None = None,
) -> ConformanceReport:
    """Run the conformance kit on a backend.

    Args:
        name: of an installed backend, or a backend that is not installed (yet).
        random_programs: how many, spread over `targets` in turn; likewise `random_graphs`, which are lowered first.
        first_seed: seed of the first one.
        steps: input steps of each.
        targets: for what is random.
        states: whether u and v are compared after every step, else only after the last.
        exclusions: case -> reason, for what the backend is known not to do.
    """
    backend = load_backend(name) if isinstance(name, str) else name
    excluded = dict(exclusions or {})
    outcomes: list[Outcome] = []
    lively = 0
    draws: list[tuple[Callable[..., RandomCase], int, str]] = [(random_case, random_programs, "random")]
    if random_graphs:
        from neuroprivacy.testing.random_graphs import random_graph_case  # needs nir

        draws.append((random_graph_case, random_graphs, "graph"))
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-kit-") as scratch:
        for case in hand_made_cases():
            outcomes.append(hold_case(backend, case, Path(scratch), states=states, exclusion=excluded.get(case.name)))
        for draw, number, kind in draws:
            for i in range(number):
                drawn = draw(first_seed + i, target=targets[i % len(targets)], steps=steps)
                lively += drawn.lively
                exclusion = excluded.get(random_name(drawn, kind))
                outcomes.append(
                    hold_random(backend, drawn, Path(scratch), states=states, exclusion=exclusion, kind=kind)
                )
    return ConformanceReport(
        backend=name if isinstance(name, str) else type(name).__name__,
        outcomes=tuple(outcomes),
        lively=lively,
        random_programs=random_programs,
        random_graphs=random_graphs,
    )


def random_name(drawn: RandomCase, kind: str = "random") -> str:
    """The name of a random Program ("random") or graph ("graph") in a report."""
    return f"{kind}-{drawn.seed}-{drawn.program.target.name}"


def hold_case(
    backend: Backend, case: Case, folder: Path, *, states: bool = True, exclusion: str | None = None
) -> Outcome:
    """One hand-made case: a backend against the reference and against the integers written in the case."""
    return _hold(backend, case.name, case.program, case_inputs(case), folder, states, exclusion, case)


def hold_random(
    backend: Backend,
    drawn: RandomCase,
    folder: Path,
    *,
    states: bool = True,
    exclusion: str | None = None,
    kind: str = "random",
) -> Outcome:
    """One random Program: a backend against the reference."""
    return _hold(backend, random_name(drawn, kind), drawn.program, drawn.spikes, folder, states, exclusion, None)


def _hold(
    backend: Backend,
    name: str,
    program: Program,
    inputs: dict[str, Int64],
    folder: Path,
    states: bool,
    exclusion: str | None,
    given: Case | None,
) -> Outcome:
    refusals = [str(issue) for issue in backend.check(program) if issue.fatal]
    if refusals:
        return Outcome(case=name, status="refused", detail="; ".join(refusals))
    record = Record(spikes=True, final=True, states=states)
    try:
        got = backend.run(backend.build(program, folder / name), inputs, record)
    except WorkerFailed as error:
        return _judge(name, [str(error)], exclusion)
    faults = [str(d) for d in compare(run_reference(program, inputs, record=record), got)]
    if given is not None:
        faults += expectation_faults(given, got)
    return _judge(name, faults, exclusion)


def try_backend(name: str) -> str:
    """Run one small network on a backend: whether it has everything that it needs.

    Returns:
        Versions of what ran.

    Raises:
        CheckFailed: it ran and differs from the reference, or refuses every case.
        NeuroPrivacyError: whatever keeps it from running.
    """
    backend = load_backend(name)
    for case in hand_made_cases():
        if backend.check(case.program):
            continue
        inputs = case_inputs(case)
        with tempfile.TemporaryDirectory(prefix="neuroprivacy-kit-") as scratch:
            got = backend.run(backend.build(case.program, Path(scratch)), inputs, Record())
        differences = compare(run_reference(case.program, inputs), got)
        if differences:
            raise CheckFailed(f"{name}: {case.name}: {differences[0]}")
        return ", ".join(f"{package} {version}" for package, version in got.versions.items())
    raise CheckFailed(f"{name}: refuses every case of the kit")


def _judge(case: str, faults: list[str], exclusion: str | None) -> Outcome:
    if exclusion is not None:
        if faults:
            return Outcome(case=case, status="excluded", detail=exclusion)
        return Outcome(case=case, status="failed", detail=f"is excluded ({exclusion}) but passes; remove the exclusion")
    return Outcome(case=case, status="failed" if faults else "passed", detail="; ".join(faults))
