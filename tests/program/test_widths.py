"""What is proved of membranes, against the reference driven as hard as the weights allow."""

import numpy as np
import pytest

from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program import fits_32_bits, membrane_bound
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.case import edge, layer, network

STEPS = 60


@pytest.mark.parametrize("dv", [0, 3, 410, 4095])
def test_membranes_stay_below_their_bound_and_come_near_it(dv: int) -> None:
    made = layer(
        "n", [edge("input", [[100, 27], [-128, -128]], delay=0)], threshold=2**30, dv=dv, bias=[7, -9],
        v_init=[50, -70],
    )  # fmt: skip
    program = network([made], target="int8")
    bound = membrane_bound(made, 256 + 9, steps=STEPS)
    driven = run_reference(program, {"input": np.ones((1, STEPS, 2), np.int64)}, record=Record(states=True))
    assert driven.states_v is not None
    reached = np.abs(driven.states_v["n"]).max()
    assert 0.9 * bound <= reached <= bound
    assert membrane_bound(made, 256 + 9) >= bound


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("threshold", [0, 1, 90, 3000])
def test_resets_take_no_membrane_beyond_its_bound(threshold: int, reset: Reset) -> None:
    """Also before the reset, which the counts have seen."""
    made = layer("n", [edge("input", [[100, -30]], delay=0)], threshold=threshold, dv=50, v_init=-9, reset=reset)
    given = np.random.default_rng(threshold).integers(0, 2, (5, STEPS, 2))
    seen = run_reference(network([made], target="int8"), {"input": given}).counts.layers["n"].observed
    assert seen is not None
    assert seen.max_membrane.max() <= membrane_bound(made, 100, steps=STEPS)


def test_a_membrane_that_begins_far_away_is_bounded_by_where_it_begins() -> None:
    made = layer("n", [edge("input", [[1]], delay=0)], threshold=5, dv=2048, v_init=10_000)
    assert membrane_bound(made, 1) == 10_000


def test_leaking_membranes_fit_32_bits_for_any_number_of_steps() -> None:
    """Where nothing leaks only the number of steps bounds them: int8 clips at 32 bits."""
    leaking, keeping = (layer("n", [edge("input", [[127]], delay=0)], threshold=9, dv=dv) for dv in (1, 0))
    assert fits_32_bits(network([leaking], target="int8"), leaking)
    assert not fits_32_bits(network([keeping], target="int8"), keeping)
    assert fits_32_bits(network([keeping], target="int8"), keeping, steps=1000)
