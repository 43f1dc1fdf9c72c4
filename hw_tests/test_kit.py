"""Every hand-made case and random Programs, exactly as the reference computes them."""

from pathlib import Path

import pytest

from neuroprivacy.backend import Backend
from neuroprivacy.testing import Case, hand_made_cases, random_case
from neuroprivacy.testing.conformance import Outcome, hold_case, hold_random

#: Target -> targets whose arithmetic it has; a Program of another one is refused, and must be.
ARITHMETIC = {"fixedpoint": ("loihi2", "loihi2-soft", "int8"), "lava": ("loihi2", "loihi2-soft")}


def settle(outcome: Outcome, *, expected: bool) -> None:
    """Passed is passed; a refusal is "not run" where it is expected, and a failure where it is not."""
    if outcome.status == "refused" and not expected:
        pytest.skip(f"not run: {outcome.detail}")
    assert (outcome.status, outcome.detail) == ("passed", "")
    assert expected, "should have been refused"


@pytest.mark.parametrize("case", hand_made_cases(), ids=lambda case: case.name)
def test_hand_made(case: Case, backend: Backend, target: str, tmp_path: Path) -> None:
    settle(hold_case(backend, case, tmp_path), expected=case.program.target.name in ARITHMETIC[target])


def test_random(seed: int, backend: Backend, target: str, tmp_path: Path) -> None:
    arithmetic = ARITHMETIC[target]
    drawn = random_case(seed, target=arithmetic[seed % len(arithmetic)], steps=40)
    settle(hold_random(backend, drawn, tmp_path), expected=True)
