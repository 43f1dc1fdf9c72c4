"""Bounds hold for every input, and the inputs that reach them are found by trying all of them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy.kernels import fire_and_reset, integrate_current, integrate_membrane
from neuroprivacy.kernels.neuron import DECAY_ONE, NeuronRule, Reset
from neuroprivacy.kernels.ranges import (
    UNBOUNDED,
    accumulated,
    event_limit,
    integrated_bound,
    membrane_bound,
    state_bounds,
    sum_bounds,
)

LARGEST = 2**31 - 1
WIDE = NeuronRule(
    activation_shift=6, threshold_shift=6, du_offset=1, keeps_current=True, u_half=2**40, v_lowest=-(2**40),
    v_highest=2**40, threshold_test=">",
)  # fmt: skip


@given(
    st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=1, max_size=3),
    st.integers(-3, 0),
    st.integers(0, 3),
    st.integers(1, 2),
)
def test_sum_bounds_are_the_extremes_over_all_inputs(weight: list[list[int]], low: int, high: int, window: int) -> None:
    values = np.array(list(itertools.product(range(low * window, high * window + 1), repeat=3)))
    sums = values @ np.array(weight).T
    for number in (np.int64, np.float64):
        least, most = sum_bounds(np.array(weight, number), (low, high), window=window)
        np.testing.assert_array_equal(least, sums.min(0))
        np.testing.assert_array_equal(most, sums.max(0))
        assert least.dtype == number


@pytest.mark.parametrize("reset", ["hard", "soft", None])
@given(data=st.data())
def test_no_input_leaves_the_state_bounds(reset: Reset | None, data: st.DataObject) -> None:
    integers = st.integers(-200, 200)
    low, high = sorted((data.draw(integers), data.draw(integers)))
    start, bias, du, dv = data.draw(integers), data.draw(integers), data.draw(st.integers(0, 4095)), 4095
    dv, theta, steps = data.draw(st.integers(0, 4095)), data.draw(st.integers(0, 300)), 8
    u_bounds, v_bounds = state_bounds(
        (low, high), u_init=(0, 0), v_init=(start, start), bias=(bias, bias),
        factors=(DECAY_ONE - du - WIDE.du_offset, DECAY_ONE - dv), shift=WIDE.activation_shift,
        theta=theta << WIDE.threshold_shift, reset=reset, steps=steps,
    )  # fmt: skip
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    u, v = np.zeros(50, np.int64), np.full(50, start)
    for _ in range(steps):
        activation = rng.choice([low, high], 50)
        u, _ = integrate_current(u, activation, du=du, rule=WIDE)
        v, _ = integrate_membrane(v, u, dv=dv, bias=bias, rule=WIDE)
        assert u_bounds[0] <= u.min() <= u.max() <= u_bounds[1]
        assert v_bounds[0] <= v.min() <= v.max() <= v_bounds[1]
        _, v = fire_and_reset(v, threshold=np.array([theta]), reset=reset or "hard", fires=bool(reset), rule=WIDE)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 4095), st.integers(1, 50))
def test_membrane_bounds_hold_for_the_largest_change(start: int, change: int, dv: int, steps: int) -> None:
    v = start
    for _ in range(steps):
        v = v * (DECAY_ONE - dv) // DECAY_ONE + change
        assert v <= membrane_bound(start, change, dv=dv, steps=steps)
        assert v <= membrane_bound(start, change, dv=dv) <= UNBOUNDED


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.99, 1.0])
def test_accumulated_is_the_geometric_sum(factor: float) -> None:
    assert accumulated(factor, 7) == pytest.approx(sum(factor**k for k in range(7)))


def test_integrated_bound_is_reached_by_constant_input() -> None:
    """u: 3, 4.5; v: 1 + 3 + 2, then 0.5 · 6 + 4.5 + 2."""
    bound = integrated_bound(3.0, alpha=0.5, beta=0.5, bias=2.0, u_start=0.0, v_start=2.0, steps=2)
    assert bound == 9.5


@pytest.mark.parametrize("places", [1, 4])
def test_so_many_events_fit_16_bits_whichever_they_are(places: int) -> None:
    """Against sorting: the worst events are those of the largest weights of one sign, each as often as it can fire."""
    generator = np.random.default_rng(places)
    for sources in (40, 300, 2000):
        weight = np.clip(np.rint(generator.normal(0, 60, (7, sources))), -128, 127).astype(np.int64)
        expected = LARGEST
        for one_sided in (weight, -weight):
            worst = np.sort(one_sided.clip(0), axis=1)[:, ::-1].repeat(places, axis=1).cumsum(axis=1)
            fitting = (worst <= 32767).sum(axis=1)[worst[:, -1] > 32767]
            expected = min([expected, *fitting])
        assert event_limit(weight, places) == expected
