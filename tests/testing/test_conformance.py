"""The kit as a judge: what it lets pass, what it calls refused, and that it cannot be fooled quietly."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroprivacy.core.errors import Issue, WorkerFailed
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult
from neuroprivacy.runtime.reference import ReferenceBackend
from neuroprivacy.testing import check_backend, conformance, hand_made_cases
from neuroprivacy.testing.__main__ import main


@dataclass
class Odd(ReferenceBackend):
    """The reference with a habit."""

    habit: str = ""

    def check(self, program: Program) -> tuple[Issue, ...]:
        if self.habit == "refuses int8" and program.target.name == "int8":
            return (Issue(where="target", what="int8 is not mine"),)
        return (Issue(where="target", what="nothing is mine"),) if self.habit == "refuses all" else ()

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        result = super().run(artifact, spikes, record)
        if self.habit == "crashes on delays" and any(e.delay > 1 for n in artifact.program.layers for e in n.edges):
            raise WorkerFailed("odd: the worker ended with code 9")
        if self.habit == "loses a spike" and result.layer_spikes is not None:
            name = next(iter(result.layer_spikes))
            return replace(result, layer_spikes={**result.layer_spikes, name: 0 * result.layer_spikes[name]})
        if self.habit == "sees nothing":
            return replace(result, states_u=None, states_v=None, final_u=None, final_v=None)
        return result


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Odd]:
    backend = Odd()
    monkeypatch.setattr(conformance, "load_backend", lambda name: backend)
    return backend


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reference", "fixedpoint"])
def test_our_backends_pass_without_exclusions(name: str) -> None:
    report = check_backend(name)
    assert report.failures == ()
    assert report.tally() == {"passed": len(hand_made_cases()), "failed": 0, "refused": 0, "excluded": 0}
    assert report.passed


def test_the_cases_have_names_rules_and_expectations() -> None:
    cases = hand_made_cases()
    assert len({case.name for case in cases}) == len(cases) >= 67
    assert all(case.rule and case.name.isidentifier() and case.name.islower() for case in cases)
    bare = [c.name for c in cases if not (c.expect_spikes or c.expect_v or c.expect_u)]
    assert bare == ["a_batch_equals_its_samples_alone"]


def test_every_expectation_covers_every_step() -> None:
    for case in hand_made_cases():
        steps = case.spikes.shape[1] + case.program.latency
        for expected in (case.expect_spikes, case.expect_u, case.expect_v):
            assert all(len(values) == steps for values in expected.values()), case.name


def test_a_batch_equals_its_samples_alone() -> None:
    (case,) = [c for c in hand_made_cases() if c.name == "a_batch_equals_its_samples_alone"]
    backend, record = ReferenceBackend(), Record(spikes=True, states=True)
    artifact = Artifact(backend="reference", folder=Path(), program=case.program)
    inputs = conformance.case_inputs(case)
    whole = backend.run(artifact, inputs, record)
    for i in range(len(case.spikes)):
        alone = backend.run(artifact, {port: array[i : i + 1] for port, array in inputs.items()}, record)
        for attribute in ("layer_spikes", "states_u", "states_v"):
            for name, array in getattr(alone, attribute).items():
                assert np.array_equal(array[0], getattr(whole, attribute)[name][i])


@pytest.mark.slow
def test_a_refusal_is_not_a_pass(odd: Odd) -> None:
    odd.habit = "refuses int8"
    report = check_backend("odd")
    refused = [o for o in report.outcomes if o.status == "refused"]
    assert {o.case for o in refused} == {c.name for c in hand_made_cases() if c.program.target.name == "int8"}
    assert {o.detail for o in refused} == {"target: int8 is not mine"}
    assert report.passed


def test_refusing_everything_does_not_pass(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.habit = "refuses all"
    assert not check_backend("odd").passed
    assert main(["--backend", "odd", "--random", "0"]) == 1
    assert "nothing passed" in capsys.readouterr().out


@pytest.mark.slow
def test_a_crash_is_a_failure_of_its_case_alone(odd: Odd) -> None:
    odd.habit = "crashes on delays"
    report = check_backend("odd")
    assert "delays_shift_whole_steps" in {o.case for o in report.failures}
    assert all("ended with code 9" in o.detail for o in report.failures)
    assert report.tally()["passed"] > 60


@pytest.mark.slow
def test_what_a_backend_cannot_see_is_not_compared(odd: Odd) -> None:
    odd.habit = "sees nothing"
    assert check_backend("odd", random_programs=3).passed


@pytest.mark.slow
def test_a_lost_spike_is_a_failure(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.habit = "loses a spike"
    assert main(["--backend", "odd", "--random", "1", "--steps", "10"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED    threshold_equality_does_not_fire: n: spikes differs in 1 values, first at (0, 2, 0)" in printed


@pytest.mark.slow
def test_exclusions_are_shown_and_must_be_needed(odd: Odd) -> None:
    odd.habit = "crashes on delays"
    excluded = {"delays_shift_whole_steps": "no delays yet", "silent_input": "a mistake"}
    found = {o.case: o for o in check_backend("odd", exclusions=excluded).outcomes}
    assert (found["delays_shift_whole_steps"].status, found["delays_shift_whole_steps"].detail) == (
        "excluded",
        "no delays yet",
    )
    assert found["silent_input"].status == "failed"
    assert found["silent_input"].detail == "is excluded (a mistake) but passes; remove the exclusion"


@pytest.mark.slow
def test_the_command_prints_a_tally(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--backend", "reference", "--random", "3", "--seed", "7", "--steps", "8"]) == 0
    number = len(hand_made_cases()) + 3
    assert capsys.readouterr().out.startswith(f"reference: {number} passed, 0 failed, 0 refused, 0 excluded;")


@pytest.mark.slow
def test_the_command_prints_json(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.habit = "refuses int8"
    assert main(["--backend", "odd", "--random", "3", "--steps", "8", "--json"]) == 0
    described: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert described["passed"] is True
    assert described["tally"]["failed"] == 0
    assert {entry["status"] for entry in described["not_passed"]} == {"refused"}


def test_the_command_names_the_backends_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--backend", "none"]) == 2
    assert "none is called 'none'; installed are c99, fixedpoint, lava, reference" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [("--random=-1", "--random must be at least 0"), ("--steps=0", "--steps must be at least 1")],
)
def test_the_command_refuses_senseless_numbers(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--backend", "reference", option])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
