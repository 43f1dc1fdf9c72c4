"""Where two runs differ first."""

from dataclasses import replace

import numpy as np
import pytest

from neuroprivacy.runtime.backend import Record, RunResult
from neuroprivacy.runtime.compare import compare, first_difference
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing import random_case


@pytest.fixture
def result() -> RunResult:
    case = random_case(4, steps=6, max_neurons=6)
    return run_reference(case.program, case.spikes, record=Record(spikes=True, final=True, states=True))


def test_equal_runs_do_not_differ(result: RunResult) -> None:
    assert compare(result, result) == ()
    assert first_difference("v", "n", np.zeros((2, 3)), np.zeros((2, 3))) is None


def test_the_earliest_step_comes_first_whatever_the_sample() -> None:
    expected = np.zeros((3, 5, 2), np.int64)
    got = expected.copy()
    got[0, 4, 0], got[2, 1, 1], got[2, 1, 0], got[1, 3, 0] = 5, 7, 6, 8
    difference = first_difference("v", "n", expected, got)
    assert difference is not None
    assert (difference.index, difference.expected, difference.got, difference.total) == ((2, 1, 0), 0, 6, 4)
    assert str(difference) == "n: v differs in 4 values, first at (2, 1, 0): 0 expected, 6 found"


def test_without_steps_the_first_sample_comes_first() -> None:
    difference = first_difference("readout", "n", np.array([[1, 2], [3, 4]]), np.array([[1, 2], [0, 0]]))
    assert difference is not None
    assert (difference.index, difference.expected, difference.got, difference.total) == ((1, 0), 3, 0, 2)


def test_another_shape_is_a_difference() -> None:
    difference = first_difference("v", "n", np.zeros((1, 2)), np.zeros((1, 3)))
    assert difference is not None
    assert "v shape (1, 2) and (1, 3)" in str(difference)
    assert difference.total == 3


def test_spikes_of_another_type_are_compared_as_numbers() -> None:
    assert first_difference("spikes", "n", np.array([[1]], np.uint8), np.array([[1]], np.int64)) is None


@pytest.mark.parametrize(
    ("attribute", "quantity"),
    [
        ("spikes", "spikes in the window"), ("layer_spikes", "spikes"), ("final_u", "final u"),
        ("final_v", "final v"), ("states_u", "u"), ("states_v", "v"),
    ],
)  # fmt: skip
def test_one_changed_integer_of_each_quantity(attribute: str, quantity: str, result: RunResult) -> None:
    arrays = dict(getattr(result, attribute))
    name = next(iter(arrays))
    arrays[name] = arrays[name].copy()
    arrays[name].reshape(-1)[-1] ^= 1
    (difference,) = compare(result, replace(result, **{attribute: arrays}))
    assert (difference.quantity, difference.layer, difference.total) == (quantity, name, 1)


def test_readout_and_counts_are_always_compared(result: RunResult) -> None:
    (difference,) = compare(result, replace(result, readout=result.readout + 1))
    assert difference.quantity == "readout"
    layer = next(iter(result.counts.layers))
    for field in ("spikes", "operations", "updates"):
        counts = result.counts.layers[layer]
        changed = replace(counts, **{field: getattr(counts, field) + 1})
        other = replace(result.counts, layers={**result.counts.layers, layer: changed})
        (difference,) = compare(result, replace(result, counts=other))
        assert (difference.quantity, difference.layer) == (f"count of {field}", layer)
    seen = result.counts.layers[layer].observed
    assert seen is not None
    for field in ("max_activation", "max_current", "max_membrane", "wraps", "saturations"):
        changed = replace(result.counts.layers[layer], observed=replace(seen, **{field: getattr(seen, field) + 1}))
        other = replace(result.counts, layers={**result.counts.layers, layer: changed})
        (difference,) = compare(result, replace(result, counts=other))
        assert (difference.quantity, difference.layer) == (field, layer)


def test_what_one_side_cannot_see_is_not_compared(result: RunResult) -> None:
    blind = replace(result, layer_spikes=None, final_u=None, final_v=None, states_u=None, states_v=None)
    unseen = {name: replace(counts, observed=None) for name, counts in result.counts.layers.items()}
    blind = replace(blind, counts=replace(result.counts, layers=unseen))
    assert compare(result, blind) == compare(blind, result) == ()


def test_a_missing_output_or_layer_is_a_difference(result: RunResult) -> None:
    assert result.layer_spikes is not None
    lacking = replace(result, spikes={}, layer_spikes={}, counts=replace(result.counts, layers={}))
    found = compare(result, lacking)
    assert {d.quantity for d in found} >= {
        "spikes in the window is missing",
        "spikes is missing",
        "counts are missing",
    }
