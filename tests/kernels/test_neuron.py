"""One neuron's step, against the formula in Python's own integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy.kernels import decay, fire_and_reset, integrate_current, integrate_membrane
from neuroprivacy.kernels.neuron import DECAY_ONE, NeuronRule, Reset, crosses_threshold, decay_by_factor
from neuroprivacy.targets.spec import load_target

LOIHI, INT8 = load_target("loihi2").rule, load_target("int8").rule
STATE = st.integers(-(2**24), 2**24)
DECAY = st.integers(0, 4095)


def toward_zero(product: int) -> int:
    return int(abs(product) // 4096) * (1 if product >= 0 else -1)


def one(value: int) -> np.ndarray:
    return np.array([value], np.int64)


@pytest.mark.parametrize("by", [0, 1, 7, 128, 2048, 4095, 4096])
def test_decay_for_every_small_value(by: int) -> None:
    values = np.arange(-5000, 5001)
    assert decay(values, by=by).tolist() == [toward_zero(int(v) * (4096 - by)) for v in values]


@given(value=STATE, by=st.integers(0, 4096))
def test_decay_is_sign_symmetric_and_never_grows(value: int, by: int) -> None:
    kept = int(decay(one(value), by=by)[0])
    assert kept == -int(decay(one(-value), by=by)[0])
    assert abs(kept) <= abs(value)
    assert kept * value >= 0


@given(value=STATE, by=st.integers(0, 4096))
def test_decay_by_factor_is_the_integer_decay_where_it_truncates(value: int, by: int) -> None:
    factor = (DECAY_ONE - by) / DECAY_ONE
    real = decay_by_factor(np.array([float(value)]), factor=factor, truncates=True)
    assert real[0] == decay(one(value), by=by)[0]
    assert decay_by_factor(np.array([float(value)]), factor=factor, truncates=False)[0] == value * factor


@given(v=STATE, theta=STATE)
def test_threshold_tests_differ_at_equality_alone(v: int, theta: int) -> None:
    strict, loose = (bool(crosses_threshold(one(v), one(theta), test)[0]) for test in (">", ">="))
    assert (strict, loose) == (v > theta, v >= theta)


@given(value=STATE, by=DECAY)
def test_decay_is_monotone(value: int, by: int) -> None:
    assert int(decay(one(value), by=by)[0]) <= int(decay(one(value + 1), by=by)[0])
    assert abs(int(decay(one(value), by=by + 1)[0])) <= abs(int(decay(one(value), by=by)[0]))


@given(u=STATE, activation=st.integers(-(2**18), 2**18), du=DECAY)
def test_current_on_loihi(u: int, activation: int, du: int) -> None:
    free = toward_zero(u * (4096 - (du + 1))) + activation * 64
    expected = free - 2**24 if free > 2**23 else free + 2**24 if free <= -(2**23) else free
    found, wrapped = integrate_current(one(u), one(activation), du=du, rule=LOIHI)
    assert (found.tolist(), wrapped.tolist()) == ([expected], [int(expected != free)])


@given(u=STATE, activation=st.integers(-(2**18), 2**18), du=DECAY)
def test_current_is_the_input_alone_on_int8(u: int, activation: int, du: int) -> None:
    found, wrapped = integrate_current(one(u), one(activation), du=du, rule=INT8)
    assert (found.tolist(), wrapped.tolist()) == ([activation], [0])


@given(v=STATE, u=STATE, dv=DECAY, bias=st.integers(-(2**20), 2**20))
def test_membrane_on_loihi(v: int, u: int, dv: int, bias: int) -> None:
    free = toward_zero(v * (4096 - dv)) + u + bias
    expected = max(-(2**23) + 1, min(2**23 - 1, free))
    found, saturated = integrate_membrane(one(v), one(u), dv=dv, bias=bias, rule=LOIHI)
    assert (found.tolist(), saturated.tolist()) == ([expected], [int(expected != free)])


@pytest.mark.parametrize("rule", [LOIHI, INT8], ids=["loihi2", "int8"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_fire_and_reset_around_every_small_threshold(rule: NeuronRule, reset: Reset) -> None:
    for mantissa in range(4):
        theta = mantissa << rule.threshold_shift
        v = np.arange(theta - 3, theta + 4)
        spikes, after = fire_and_reset(v, threshold=one(mantissa), reset=reset, fires=True, rule=rule)
        expected = v > theta if rule.threshold_test == ">" else v >= theta
        assert spikes.tolist() == expected.astype(int).tolist()
        left = v - theta if reset == "soft" else np.zeros_like(v)
        assert after.tolist() == np.where(expected, left, v).tolist()


def test_a_silent_layer_keeps_its_membrane() -> None:
    v = np.array([[10**6, -(10**6)]])
    spikes, after = fire_and_reset(v, threshold=one(0), reset="hard", fires=False, rule=LOIHI)
    assert (spikes.tolist(), after.tolist()) == ([[0, 0]], v.tolist())


def test_nothing_is_done_in_place() -> None:
    u, a = np.array([2**23, 5]), np.array([1, 1])
    integrate_current(u, a, du=0, rule=LOIHI)
    integrate_membrane(u, a, dv=1, bias=one(1), rule=LOIHI)
    fire_and_reset(u, threshold=one(0), reset="soft", fires=True, rule=LOIHI)
    assert (u.tolist(), a.tolist()) == ([2**23, 5], [1, 1])


def test_constants_by_neuron_broadcast_over_samples() -> None:
    v = np.full((2, 3), 4096)
    found, _ = integrate_membrane(
        v, np.zeros((2, 3), np.int64), dv=np.array([0, 2048, 4095]), bias=np.array([0, 1, 2]), rule=INT8
    )
    assert found.tolist() == [[4096, 2049, 3]] * 2
