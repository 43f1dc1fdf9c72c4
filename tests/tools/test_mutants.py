"""Every seeded fault of the reference is found by a hand-made case."""

import sys

import pytest

from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.conformance import case_inputs
from neuroprivacy.testing.hand_made import hand_made_cases
from tools.mutants import MUTANTS, Mutant, kill, mutated_reference, source_text


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_killed(mutant: Mutant) -> None:
    assert kill(mutant) is not None, f"no hand-made case notices {mutant.name}"


def test_there_are_enough_and_they_differ() -> None:
    assert len(MUTANTS) >= 24
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.file for mutant in MUTANTS} == {
        "kernels/formats.py",
        "kernels/neuron.py",
        "kernels/linear.py",
        "runtime/reference.py",
    }


def test_the_unchanged_source_survives() -> None:
    """Compiling anew changes nothing by itself, in any of the files."""
    for file in ("kernels/formats.py", "kernels/neuron.py", "kernels/linear.py", "runtime/reference.py"):
        text = source_text(file)
        assert kill(Mutant(name="none", file=file, old=text, new=text)) is None


def test_a_mutant_leaves_nothing_behind() -> None:
    case = hand_made_cases()[0]
    inputs = case_inputs(case)
    before = {name: module for name, module in sys.modules.items() if name.startswith("neuroprivacy")}
    truth = run_reference(case.program, inputs)
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "no_threshold_shift")
    assert compare(truth, mutated_reference(mutant)(case.program, inputs))
    assert before == {name: module for name, module in sys.modules.items() if name.startswith("neuroprivacy")}
    assert not compare(truth, run_reference(case.program, inputs))


def test_text_that_is_not_there_once_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"mutant typo: its text occurs 0 times in runtime/reference\.py"):
        mutated_reference(Mutant(name="typo", file="runtime/reference.py", old="no such text", new=""))
