"""Every hand-made case and random Programs, exactly as the reference computes them."""

from pathlib import Path

import pytest
from targets import Target

from neuroprivacy.runtime.backend import Backend
from neuroprivacy.testing import Case, hand_made_cases, random_case
from neuroprivacy.testing.conformance import Outcome, hold_case, hold_random


def settle(outcome: Outcome, target: Target, *, expected: bool) -> None:
    """Passed is passed; a refusal is "not run" where it is expected, and a failure where it is not."""
    if outcome.status == "refused" and (not expected or target.bounded):
        pytest.skip(f"not run: {outcome.detail}")
    assert (outcome.status, outcome.detail) == ("passed", "")
    assert expected, "should have been refused"


@pytest.mark.parametrize("case", hand_made_cases(), ids=lambda case: case.name)
def test_hand_made(case: Case, backend: Backend, target: Target, tmp_path: Path) -> None:
    settle(hold_case(backend, case, tmp_path), target, expected=case.program.target.name in target.arithmetic)


def test_random(seed: int, backend: Backend, target: Target, tmp_path: Path) -> None:
    drawn = random_case(seed, target=target.arithmetic[seed % len(target.arithmetic)], steps=40)
    settle(hold_random(backend, drawn, tmp_path), target, expected=True)
